// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <weft/export.hpp>

#include <chrono>
#include <cstdint>
#include <limits>
#include <ratio>
#include <type_traits>

namespace weft {

/// The moment at which a blocking call gives up: the last, defaulted parameter of every call that can wait.
///
/// A deadline is made implicitly from any `std::chrono::duration` (that long from now) or from a time point of
/// `steady_clock` or `system_clock`. The default is never. A deadline in the past means "poll": the call does what it
/// can do at once. Arithmetic saturates, so `deadline(nanoseconds::max())` is never, not a moment in the past. A
/// system_clock time is converted when the deadline is made: later changes of the wall clock do not move it.
/// There is no conversion from a bare number, since a number has no unit.
///
/// @code
/// using namespace std::chrono_literals;
/// weft::deadline soon = 200ms;                                    // from now
/// weft::deadline at = std::chrono::steady_clock::now() + 1s;      // at a moment
/// weft::deadline never;                                           // wait as long as it takes
/// bool late = soon.expired() || at.expired() || never.expired();
/// (void)late;
/// @endcode
class deadline {
public:
    using clock = std::chrono::steady_clock;
    using time_point = clock::time_point;

    /// Never.
    constexpr deadline() noexcept = default;

    /// `d` from now; zero or less is already past.
    template <class Rep, class Period>
    deadline(std::chrono::duration<Rep, Period> d) noexcept : ns_(add(now_ns(), to_ns(d))) {}

    /// At that time of the steady clock.
    template <class Duration>
    constexpr deadline(std::chrono::time_point<clock, Duration> t) noexcept : ns_(to_ns(t.time_since_epoch())) {}

    /// At that time of the wall clock, as the clocks stand now.
    template <class Duration>
    deadline(std::chrono::time_point<std::chrono::system_clock, Duration> t) noexcept
        : ns_(add(now_ns(), add(to_ns(t.time_since_epoch()),
                                -to_ns(std::chrono::system_clock::now().time_since_epoch())))) {}

    [[nodiscard]] constexpr bool is_never() const noexcept { return ns_ == never_ns; }
    /// Whether the moment has come.
    [[nodiscard]] bool expired() const noexcept { return !is_never() && now_ns() >= ns_; }
    /// The moment; `time_point::max()` for never.
    [[nodiscard]] constexpr time_point time() const noexcept { return time_point(std::chrono::nanoseconds(ns_)); }
    /// What is left of it: zero when it has come, `nanoseconds::max()` for never.
    [[nodiscard]] std::chrono::nanoseconds remaining() const noexcept {
        if (is_never()) return std::chrono::nanoseconds::max();
        const std::int64_t left = add(ns_, -now_ns());
        return std::chrono::nanoseconds(left > 0 ? left : 0);
    }

    friend constexpr bool operator==(deadline, deadline) noexcept = default;
    friend constexpr auto operator<=>(deadline a, deadline b) noexcept { return a.ns_ <=> b.ns_; }

private:
    static constexpr std::int64_t never_ns = std::numeric_limits<std::int64_t>::max();
    static constexpr std::int64_t lowest_ns = -never_ns; // so that negation never overflows

    static std::int64_t now_ns() noexcept {
        return std::chrono::duration_cast<std::chrono::nanoseconds>(clock::now().time_since_epoch()).count();
    }
    static constexpr std::int64_t add(std::int64_t a, std::int64_t b) noexcept {
        if (a == never_ns || b == never_ns) return never_ns;
        std::int64_t sum = 0;
        if (__builtin_add_overflow(a, b, &sum)) return b > 0 ? never_ns : lowest_ns;
        return sum < lowest_ns ? lowest_ns : sum;
    }
    template <class Rep, class Period>
    static constexpr std::int64_t to_ns(std::chrono::duration<Rep, Period> d) noexcept {
        // long double holds every 64-bit count exactly; what lies outside, or is not a number, saturates.
        const long double ns = static_cast<long double>(d.count()) * Period::num * 1e9L / Period::den;
        if (!(ns < 9223372036854775807.0L)) return never_ns;
        if (ns <= -9223372036854775807.0L) return lowest_ns;
        // Exact where neither the count nor what multiplies it can overflow on the way.
        using factor = std::ratio_divide<Period, std::nano>;
        if constexpr (std::is_floating_point_v<Rep> || (factor::num != 1 && factor::den != 1))
            return static_cast<std::int64_t>(ns);
        else return std::chrono::duration_cast<std::chrono::nanoseconds>(d).count();
    }

    std::int64_t ns_ = never_ns;
};

namespace rt {

/// A deadline at a time of any clock; of clocks other than std's two, as they stand now.
template <class Clock, class Duration>
deadline deadline_at(const std::chrono::time_point<Clock, Duration>& t) {
    if constexpr (std::is_constructible_v<deadline, const std::chrono::time_point<Clock, Duration>&>) return deadline(t);
    else return deadline(t - Clock::now());
}

} // namespace rt

} // namespace weft
