// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <weft/deadline.hpp>
#include <weft/detail/fiber_api.hpp>
#include <weft/detail/invoke.hpp>
#include <weft/detail/waitable.hpp>
#include <weft/errors.hpp>
#include <weft/export.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

/// Fibers: functions that run by turns on one kernel thread, each on a stack of its own.
///
/// There is no run(): the main thread gets its hub with its first weft call that can wait, any other kernel thread with
/// its first spawn; the thread's own stack is the hub's main fiber. When main returns, the fibers left are abandoned; a
/// kernel thread that ends kills its own and waits for them. Every call that may wait throws `fiber_exit` in a killed
/// fiber, and `timeout_error` when a `timeout` scope around it has expired.
///
/// @code
/// using namespace std::chrono_literals;
/// auto f = weft::spawn([](int a, int b) { return a + b; }, 2, 3);
/// auto g = weft::spawn({.name = "slow", .stack_size = 64 * 1024}, [] { weft::this_fiber::sleep_for(10ms); });
/// int five = f.get();
/// if (!g.join(1s)) g.kill();
/// (void)five;
/// @endcode
namespace weft {

/// How to make a fiber. Members stay in this order.
struct fiber_options {
    std::string_view name = {};   ///< for reports; empty: "fiber-<id>"
    std::size_t stack_size = 0;   ///< bytes, rounded up to a power of two; 0: 256 KiB
    bool own_tls = false;         ///< thread-local storage of its own; spawn throws ENOTSUP where libc is not known well enough
};

/// A handle to a fiber of any result type. Handles are counted and copyable; dropping the last one does not end the fiber.
class any_fiber {
public:
    any_fiber() noexcept = default;
    explicit any_fiber(rt::fiber_ref ref) noexcept : ref_(std::move(ref)) {}

    /// Whether the handle refers to a fiber; the others require it.
    explicit operator bool() const noexcept { return ref_.get() != nullptr; }

    /// Waits for its end. False: it still runs at the deadline. Throws std::logic_error for the calling fiber itself.
    bool join(deadline d = {}) const { return rt::join_fiber(ref_.get(), d); }
    /// Throws fiber_exit inside it and waits for its end; one that has not started never runs. False: it still runs at the
    /// deadline. A fiber that kills itself gets fiber_exit from this call.
    bool kill(deadline d = {}) const { return rt::kill_fiber(ref_.get(), nullptr, d); }
    /// The same with another exception.
    bool kill_with(std::exception_ptr exception, deadline d = {}) const {
        return rt::kill_fiber(ref_.get(), std::move(exception), d);
    }
    /// Does not wait.
    void kill_async() const noexcept { rt::kill_fiber_async(ref_.get(), nullptr); }

    /// It has ended, in whatever way.
    [[nodiscard]] bool ready() const noexcept { return rt::is_ready(ref_.get()); }
    /// It has ended with a value.
    [[nodiscard]] bool successful() const noexcept { return rt::is_successful(ref_.get()); }
    /// Its function was entered.
    [[nodiscard]] bool started() const noexcept { return rt::is_started(ref_.get()); }
    /// It will never run again.
    [[nodiscard]] bool dead() const noexcept { return rt::is_dead(ref_.get()); }
    /// What ended it; null if it runs, succeeded, or was killed by fiber_exit.
    [[nodiscard]] std::exception_ptr exception() const noexcept { return rt::exception_of(ref_.get()); }

    /// A number of its own, never used again in this process.
    [[nodiscard]] std::uint64_t id() const noexcept { return rt::id_of(ref_.get()); }
    [[nodiscard]] std::string name() const { return rt::name_of(ref_.get()); }
    void set_name(std::string_view name) const { rt::set_name_of(ref_.get(), name); }

    /// `callback(any_fiber)` runs in a fiber of its own after the end, also if that was before.
    template <class F>
    void link(F&& callback) const {
        add_link<any_fiber>(rt::link_record::when::always, std::forward<F>(callback));
    }
    /// Only if it ended with a value.
    template <class F>
    void link_value(F&& callback) const {
        add_link<any_fiber>(rt::link_record::when::value, std::forward<F>(callback));
    }
    /// Only if it ended by an exception or was killed.
    template <class F>
    void link_exception(F&& callback) const {
        add_link<any_fiber>(rt::link_record::when::exception, std::forward<F>(callback));
    }
    /// Forgets the callbacks that have not run.
    void unlink_all() const noexcept { rt::remove_links(ref_.get()); }

    operator waitable() const {
        static constexpr rt::watch_operations operations{
            [](void* f, rt::wait_node& n) noexcept { return rt::watch_end(static_cast<rt::fiber_core*>(f), n); },
            [](void* f, rt::wait_node& n) noexcept { rt::unwatch_end(static_cast<rt::fiber_core*>(f), n); }};
        return waitable(ref_.get(), operations, std::make_shared<rt::fiber_ref>(ref_));
    }

    /// Whether both are the same fiber.
    friend bool operator==(const any_fiber& a, const any_fiber& b) noexcept { return a.ref_.get() == b.ref_.get(); }

    /// For weft's own use.
    [[nodiscard]] rt::fiber_core* core() const noexcept { return ref_.get(); }

protected:
    template <class Handle, class F>
    void add_link(rt::link_record::when condition, F&& callback) const {
        struct record final : rt::link_record {
            record(when w, F&& c) : link_record(w), fn(std::forward<F>(c)) {}
            void call(rt::fiber_core& ended) override {
                rt::invoke(fn, Handle(rt::fiber_ref::share(&ended)));
            }
            std::decay_t<F> fn;
        };
        rt::add_link(ref_.get(), new record(condition, std::forward<F>(callback)));
    }

private:
    rt::fiber_ref ref_;
};

namespace rt {

/// A task with a place for its result.
template <class R>
class result_task : public task_base {
public:
    using stored = std::conditional_t<std::is_reference_v<R>, std::add_pointer_t<R>,
                                      std::conditional_t<std::is_void_v<R>, std::monostate, R>>;
    [[nodiscard]] std::add_lvalue_reference_t<R> value() noexcept {
        if constexpr (std::is_reference_v<R>) return **result_;
        else if constexpr (!std::is_void_v<R>) return *result_;
    }

protected:
    std::optional<stored> result_;
};

template <class R>
using lasting_result_t = std::conditional_t<std::is_rvalue_reference_v<R>, std::remove_cvref_t<R>, R>; // what R&& refers to may go with the arguments

template <class F, class... Args>
using spawn_result_t = lasting_result_t<std::invoke_result_t<std::decay_t<F>, std::decay_t<Args>...>>;

template <class F, class... Args>
class call_task final : public result_task<spawn_result_t<F, Args...>> {
    using R = spawn_result_t<F, Args...>;

public:
    template <class... Given>
    explicit call_task(Given&&... given) : call_(std::in_place, std::forward<Given>(given)...) {}

    void run() override {
        // The function and its arguments go when it ends, not with the last handle.
        struct drop {
            std::optional<std::tuple<std::decay_t<F>, std::decay_t<Args>...>>& call;
            ~drop() { call.reset(); }
        } const at_end{call_};
        auto call = [this]() -> R {
            return std::apply([](auto&&... parts) -> R { return rt::invoke(std::move(parts)...); }, *call_);
        };
        if constexpr (std::is_void_v<R>) call();
        else if constexpr (std::is_reference_v<R>) this->result_.emplace(&call());
        else this->result_.emplace(call());
    }

    void abandon() noexcept override { call_.reset(); }

private:
    std::optional<std::tuple<std::decay_t<F>, std::decay_t<Args>...>> call_;
};

template <class F, class... Args>
fiber_ref make_fiber(const fiber_options& options, deadline when, bool timed, F&& fn, Args&&... args) {
    using task = call_task<F, Args...>;
    void* place = nullptr;
    fiber_core* core = create_fiber(options, sizeof(task), alignof(task), place);
    task* made = nullptr;
    try {
        made = ::new (place) task(std::forward<F>(fn), std::forward<Args>(args)...);
    } catch (...) {
        discard_fiber(core);
        throw;
    }
    start_fiber(core, made, when, timed);
    return fiber_ref::adopt(core);
}

} // namespace rt

/// A handle to a fiber whose function returns R.
template <class R>
class fiber : public any_fiber {
public:
    using any_fiber::any_fiber;

    /// Its result, once it has ended: R& (void for void), R moved out from a temporary handle. Rethrows its exception;
    /// throws timeout_error past the deadline and fiber_killed if it was killed.
    std::add_lvalue_reference_t<R> get(deadline d = {}) const& {
        rt::await_value(core(), d);
        return static_cast<rt::result_task<R>*>(rt::task_of(core()))->value();
    }
    R get(deadline d = {}) && {
        rt::await_value(core(), d);
        auto* task = static_cast<rt::result_task<R>*>(rt::task_of(core()));
        if constexpr (std::is_reference_v<R>) return static_cast<R>(task->value());
        else if constexpr (!std::is_void_v<R>) return std::move(task->value());
    }

    /// As any_fiber's, but the callback may take a fiber<R>.
    template <class F>
    void link(F&& callback) const {
        add_link<fiber>(rt::link_record::when::always, std::forward<F>(callback));
    }
    template <class F>
    void link_value(F&& callback) const {
        add_link<fiber>(rt::link_record::when::value, std::forward<F>(callback));
    }
    template <class F>
    void link_exception(F&& callback) const {
        add_link<fiber>(rt::link_record::when::exception, std::forward<F>(callback));
    }
};

/// Runs `fn(args...)` in a new fiber from the next turn on. Function and arguments are copied or moved in, as std::thread does.
/// Throws std::system_error (ENOMEM) without memory for a stack.
template <class F, class... Args>
    requires std::invocable<std::decay_t<F>, std::decay_t<Args>...>
auto spawn(F&& fn, Args&&... args) {
    using R = rt::spawn_result_t<F, Args...>;
    return fiber<R>(rt::make_fiber({}, {}, false, std::forward<F>(fn), std::forward<Args>(args)...));
}
template <class F, class... Args>
    requires std::invocable<std::decay_t<F>, std::decay_t<Args>...>
auto spawn(fiber_options options, F&& fn, Args&&... args) {
    using R = rt::spawn_result_t<F, Args...>;
    return fiber<R>(rt::make_fiber(options, {}, false, std::forward<F>(fn), std::forward<Args>(args)...));
}

/// The same, but it starts at `when`; kill it before and it never runs.
template <class F, class... Args>
    requires std::invocable<std::decay_t<F>, std::decay_t<Args>...>
auto spawn_later(deadline when, F&& fn, Args&&... args) {
    using R = rt::spawn_result_t<F, Args...>;
    return fiber<R>(rt::make_fiber({}, when, true, std::forward<F>(fn), std::forward<Args>(args)...));
}

/// What the calling fiber does with itself.
namespace this_fiber {
/// Lets the other ready fibers run, each for a turn.
WEFT_API void yield();
/// Waits at least that long; zero or less is a yield.
WEFT_API void sleep_until(deadline t);
template <class Rep, class Period>
void sleep_for(std::chrono::duration<Rep, Period> d) {
    sleep_until(deadline(d));
}
/// Throws std::logic_error on a kernel thread without a hub, unless it is the main thread.
inline any_fiber self() { return any_fiber(rt::fiber_ref::share(rt::current_fiber())); }
inline std::uint64_t id() { return rt::id_of(rt::current_fiber()); }
inline std::string name() { return rt::name_of(rt::current_fiber()); }
} // namespace this_fiber

/// Waits until the hub has nothing else to run at once.
WEFT_API void idle();

} // namespace weft

#include <weft/coroutine.hpp>       // coroutine, generator
#include <weft/detail/several.hpp> // wait, iwait, joinall, killall, gather
