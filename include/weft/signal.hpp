// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <weft/export.hpp>

#include <concepts>
#include <csignal>
#include <memory>
#include <type_traits>
#include <utility>

namespace weft {

namespace rt {

/// What a signal_handler calls; it may be in use after that has gone.
struct WEFT_API signal_callback {
    virtual ~signal_callback() = default;
    virtual void call(int signal) = 0;

protected:
    signal_callback() = default;
    signal_callback(const signal_callback&) = default;
    signal_callback& operator=(const signal_callback&) = default;
};

class signal_registration;

} // namespace rt

/// As long as it lives, `fn()` or `fn(int signal)` runs in a fiber of its own, on the hub of the thread that made it, whenever the signal comes: an ordinary
/// fiber that may do whatever fibers do. Several handlers of one signal all run, in the order they were made. With the last one of a
/// signal the action that was there before comes back.
///
/// It does not keep `weft::wait()` or `hub::join` waiting, and a program that waits for a signal is not deadlocked. The handler has SA_RESTART. In a child of
/// fork the handlers of the hub that lives on there go on. One whose `fn` runs may be cancelled by it; that call goes on.
///
/// Throws std::system_error: EINVAL for a number that is no signal or cannot be handled, or that a fault raises (SIGSEGV and its kin).
///
/// @code
/// #include <weft/fiber.hpp>
/// bool go_on = true;
/// weft::signal_handler interrupt(SIGINT, [&] { go_on = false; });
/// while (go_on) weft::this_fiber::sleep_for(10ms);
/// interrupt.cancel();
/// @endcode
class WEFT_API signal_handler {
public:
    template <class F>
        requires std::invocable<std::decay_t<F>&> || std::invocable<std::decay_t<F>&, int>
    [[nodiscard]] signal_handler(int signal, F&& fn) : signal_handler(signal, make(std::forward<F>(fn)), 0) {}
    signal_handler(const signal_handler&) = delete;
    signal_handler& operator=(const signal_handler&) = delete;
    /// cancel()
    ~signal_handler() { cancel(); }

    /// No call of fn begins after it. From any thread; again does nothing.
    void cancel() noexcept;
    /// Whether it has not been cancelled.
    [[nodiscard]] bool active() const noexcept;
    [[nodiscard]] int signal() const noexcept { return signal_; }

private:
    template <class F>
    static std::shared_ptr<rt::signal_callback> make(F&& fn) {
        struct callback final : rt::signal_callback {
            explicit callback(F&& given) : f(std::forward<F>(given)) {}
            void call([[maybe_unused]] int number) override {
                if constexpr (std::invocable<std::decay_t<F>&, int>) f(number);
                else f();
            }
            std::decay_t<F> f;
        };
        return std::make_shared<callback>(std::forward<F>(fn));
    }
    signal_handler(int signal, std::shared_ptr<rt::signal_callback> callback, int);

    int signal_;
    std::shared_ptr<rt::signal_registration> registration_;
};

} // namespace weft
