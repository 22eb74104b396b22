// SPDX-License-Identifier: Apache-2.0
#pragma once

// Until when a lock is waited for: an absolute time of one of the two clocks that POSIX lets one choose, or never.

#include <weft/deadline.hpp>

#include <cerrno>
#include <cstdint>

#include <time.h>

namespace weft::shim {

struct limit {
    clockid_t clock = CLOCK_MONOTONIC;
    const timespec* at = nullptr; // null: never

    /// 0, or the errno that a wait with such a limit ends with at once.
    [[nodiscard]] int refusal() const noexcept {
        if (at == nullptr) return 0;
        if (at->tv_nsec < 0 || at->tv_nsec >= 1'000'000'000) return at->tv_sec < 0 ? ETIMEDOUT : EINVAL;
        return at->tv_sec < 0 ? ETIMEDOUT : 0;
    }
    /// The same as a time of the steady clock, as the clocks stand now.
    [[nodiscard]] deadline to_deadline() const noexcept {
        constexpr std::int64_t second = 1'000'000'000;
        if (at == nullptr || at->tv_sec > INT64_MAX / second - 1) return {};
        const std::chrono::nanoseconds wanted(at->tv_sec * second + at->tv_nsec);
        if (clock == CLOCK_MONOTONIC) return deadline::time_point(wanted);
        timespec now{};
        ::clock_gettime(clock, &now);
        return wanted - std::chrono::nanoseconds(now.tv_sec * second + now.tv_nsec);
    }
    static bool knows(clockid_t clock) noexcept { return clock == CLOCK_MONOTONIC || clock == CLOCK_REALTIME; }
};

} // namespace weft::shim
