// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <weft/deadline.hpp>
#include <weft/detail/invoke.hpp>
#include <weft/detail/timer.hpp>
#include <weft/errors.hpp>
#include <weft/export.hpp>

#include <optional>
#include <type_traits>
#include <utility>

namespace weft {

namespace rt {
WEFT_API void enter_scope(timeout_scope& s, deadline d);
WEFT_API void leave_scope(timeout_scope& s) noexcept;
WEFT_API bool has_expired(timeout_scope& s) noexcept;
[[noreturn]] WEFT_API void throw_expired(const timeout_scope& s);
struct scope_access;
} // namespace rt

/// A limit on everything the calling fiber waits for until the scope ends.
///
/// When the deadline comes, the call that the fiber waits in, or else its next call that may wait, throws a `timeout_error`
/// `e` for which `e.is(t)`. It is thrown once. Scopes nest; where several have expired the earliest is thrown
/// first. Inside a C library the interrupted system call fails with ETIMEDOUT instead, and goes on failing until the library
/// has returned to C++ and that makes a weft call. A scope that ends without another weft call throws nothing: ask
/// `expired()`. It belongs to the fiber that made it and must end there; scopes end in the reverse order.
///
/// @code
/// using namespace std::chrono_literals;
/// weft::timeout limit(5s);
/// try {
///     (void)limit.pending(); // wait for something here
/// } catch (const weft::timeout_error& e) {
///     if (!e.is(limit)) throw;
/// }
/// std::string answer = weft::with_timeout(1s, weft::value_on_timeout{std::string("none")}, [] {
///     return std::string("yes");
/// });
/// @endcode
class timeout {
public:
    explicit timeout(deadline d) { rt::enter_scope(scope_, d); }
    timeout(const timeout&) = delete;
    timeout& operator=(const timeout&) = delete;
    ~timeout() { rt::leave_scope(scope_); }

    /// From now on it never interrupts; what was thrown stays thrown.
    void cancel() noexcept {
        (void)rt::has_expired(scope_);
        rt::leave_scope(scope_);
    }
    /// Whether it may still interrupt: neither expired nor cancelled.
    [[nodiscard]] bool pending() noexcept { return scope_.owner != nullptr && !rt::has_expired(scope_); }
    /// Whether the deadline came while the scope was in force.
    [[nodiscard]] bool expired() noexcept { return rt::has_expired(scope_); }

private:
    friend class timeout_error;
    friend struct rt::scope_access;

    rt::timeout_scope scope_;
};

/// For with_timeout.
struct rt::scope_access {
    /// A C library's call was made to fail because of it, and nobody has heard of it yet.
    static bool unheard(const timeout& t) noexcept { return t.scope_.failed_call && !t.scope_.thrown; }
    static const timeout_scope& of(const timeout& t) noexcept { return t.scope_; }
};

/// For with_timeout: what to return instead of throwing.
template <class T>
struct value_on_timeout {
    T value;
};
template <class T>
value_on_timeout(T) -> value_on_timeout<T>;

/// The result of `fn(args...)`, or `timeout_error` when the deadline ended a wait in it. A call of a C library that was made
/// to fail by the deadline counts: then it throws when fn returns.
template <class F, class... Args>
auto with_timeout(deadline d, F&& fn, Args&&... args) -> std::invoke_result_t<F, Args...> {
    timeout limit(d);
    if constexpr (std::is_void_v<std::invoke_result_t<F, Args...>>) {
        rt::invoke(std::forward<F>(fn), std::forward<Args>(args)...);
        if (rt::scope_access::unheard(limit)) rt::throw_expired(rt::scope_access::of(limit));
    } else {
        decltype(auto) result = rt::invoke(std::forward<F>(fn), std::forward<Args>(args)...);
        if (rt::scope_access::unheard(limit)) rt::throw_expired(rt::scope_access::of(limit));
        return std::forward<decltype(result)>(result);
    }
}

/// The same, but a deadline of this call (not of an outer scope) gives `otherwise.value`.
template <class T, class F, class... Args>
    requires(!std::is_void_v<std::invoke_result_t<F, Args...>>)
auto with_timeout(deadline d, value_on_timeout<T> otherwise, F&& fn, Args&&... args)
    -> std::common_type_t<T, std::invoke_result_t<F, Args...>> {
    timeout limit(d);
    try {
        decltype(auto) result = rt::invoke(std::forward<F>(fn), std::forward<Args>(args)...);
        if (!rt::scope_access::unheard(limit)) return std::forward<decltype(result)>(result);
    } catch (const timeout_error& e) {
        if (!e.is(limit)) throw;
    }
    return std::move(otherwise.value);
}

/// Of a function that returns nothing: `otherwise.value` at the deadline, nothing if it returned in time.
template <class T, class F, class... Args>
    requires std::is_void_v<std::invoke_result_t<F, Args...>>
std::optional<T> with_timeout(deadline d, value_on_timeout<T> otherwise, F&& fn, Args&&... args) {
    timeout limit(d);
    try {
        rt::invoke(std::forward<F>(fn), std::forward<Args>(args)...);
        if (!rt::scope_access::unheard(limit)) return std::nullopt;
    } catch (const timeout_error& e) {
        if (!e.is(limit)) throw;
    }
    return std::move(otherwise.value);
}

} // namespace weft
