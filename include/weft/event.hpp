// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <weft/deadline.hpp>
#include <weft/detail/invoke.hpp>
#include <weft/detail/result_core.hpp>
#include <weft/detail/waitable.hpp>
#include <weft/detail/waiter.hpp>
#include <weft/errors.hpp>
#include <weft/export.hpp>
#include <weft/fiber.hpp>

#include <concepts>
#include <exception>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

/// Things that happen once, or again and again, and that others wait for. Between the fibers of all hubs and any kernel threads.
/// A call that waits throws as those of <weft/sync.hpp> do.
///
/// @code
/// weft::event stop;
/// auto worker = weft::spawn([&] {
///     while (!stop.wait(100ms)) { /* every tenth of a second */ }
/// });
/// stop.set();
/// worker.join();
///
/// weft::async_result<int> answer;
/// weft::spawn([answer] { answer.set(42); });
/// int n = answer.get(1s);
/// (void)n;
/// @endcode
namespace weft {

/// A flag to wait for. Not copied nor moved. It may be destroyed as soon as set() has returned, or a wait: neither touches it later.
class WEFT_API event {
public:
    constexpr event() noexcept = default;
    event(const event&) = delete;
    event& operator=(const event&) = delete;

    /// Raises the flag and wakes all that wait; they return true even if it is cleared before they run.
    void set() noexcept;
    void clear() noexcept;
    [[nodiscard]] bool is_set() const noexcept;
    /// Waits until it is set. False: the deadline came first.
    bool wait(deadline d = {});
    /// Ready while it is set.
    operator waitable() const;

private:
    bool set_ = false;
    rt::wait_list waiting_;
};

namespace rt {

template <class T>
struct result_state final : result_core {
    using stored = std::conditional_t<std::is_reference_v<T>, std::add_pointer_t<T>,
                                      std::conditional_t<std::is_void_v<T>, bool, T>>;
    std::optional<stored> value;
};

} // namespace rt

/// A value that somebody will deliver: a copyable handle, of which the first to deliver counts. T may be void, a reference, or
/// move-only.
template <class T = void>
class async_result {
public:
    /// A new one, without a value.
    async_result() : state_(std::make_shared<rt::result_state<T>>()) {}
    /// For weft's own use.
    explicit async_result(std::shared_ptr<rt::result_state<T>> state) noexcept : state_(std::move(state)) {}

    /// Delivers a value. False: there was a result already, and it stays.
    template <class Value = T>
        requires(!std::is_void_v<T> && std::constructible_from<T, Value>)
    bool set(Value&& value) const {
        return store([&](auto& place) {
            if constexpr (std::is_reference_v<T>) place.emplace(std::addressof(value));
            else place.emplace(std::forward<Value>(value));
        });
    }
    bool set() const
        requires std::is_void_v<T>
    {
        return store([](auto& place) { place.emplace(true); });
    }
    /// Delivers a failure: get() throws it.
    bool set_exception(std::exception_ptr e) const noexcept { return state_->fail(std::move(e)); }
    /// Says that nobody wants it: get() throws fiber_killed, and what would deliver it may leave that. False: it has a result.
    bool cancel() const noexcept { return state_->fail(nullptr, rt::result_core::status::cancelled); }

    /// Waits for it: T& (void for void), T moved out from a temporary handle. Rethrows the exception delivered; throws timeout_error past
    /// the deadline, fiber_killed if it was cancelled.
    std::add_lvalue_reference_t<T> get(deadline d = {}) const& {
        state_->wait(d);
        return get_nowait();
    }
    T get(deadline d = {}) && {
        state_->wait(d);
        state_->check();
        if constexpr (std::is_reference_v<T>) return static_cast<T>(**state_->value);
        else if constexpr (!std::is_void_v<T>) return std::move(*state_->value);
    }
    /// The same without waiting: throws timeout_error if there is none yet.
    std::add_lvalue_reference_t<T> get_nowait() const {
        state_->check();
        if constexpr (std::is_reference_v<T>) return **state_->value;
        else if constexpr (!std::is_void_v<T>) return *state_->value;
    }
    /// Waits without looking at it. False: the deadline came first.
    bool wait(deadline d = {}) const { return state_->wait(d); }

    /// It has a value, an exception, or was cancelled.
    [[nodiscard]] bool ready() const noexcept { return state_->ready(); }
    /// It has a value.
    [[nodiscard]] bool successful() const noexcept { return state_->state() == rt::result_core::status::value; }
    [[nodiscard]] bool cancelled() const noexcept { return state_->state() == rt::result_core::status::cancelled; }
    /// The exception delivered, or null.
    [[nodiscard]] std::exception_ptr exception() const noexcept { return state_->exception(); }

    /// `callback(async_result<T>)` runs once it is ready, in a fiber of the hub that calls this, also if it is ready already.
    template <class F>
        requires std::invocable<std::decay_t<F>&, async_result>
    void link(F&& callback) const {
        spawn({.name = "async_result link"}, [result = *this, fn = std::forward<F>(callback)]() mutable {
            result.wait();
            rt::invoke(fn, result);
        });
    }

    operator waitable() const { return waitable(state_.get(), rt::result_core::watching, state_); }
    /// Whether both are handles of the same result.
    friend bool operator==(const async_result&, const async_result&) noexcept = default;

private:
    template <class Emplace>
    bool store(Emplace emplace) const {
        if (!state_->claim()) return false;
        try {
            emplace(state_->value);
        } catch (...) {
            state_->unclaim();
            throw;
        }
        state_->publish();
        return true;
    }

    std::shared_ptr<rt::result_state<T>> state_;
};

} // namespace weft
