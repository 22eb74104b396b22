// SPDX-License-Identifier: Apache-2.0
// Sleeps and yields.
#include "calls/time.hpp"

#include "calls/wait.hpp"
#include "core/serve.hpp"

#include <weft/export.hpp>

#include <algorithm>

namespace weft::shim {

namespace {

constexpr std::int64_t second = 1'000'000'000;

constexpr bool valid(const timespec& t) noexcept { return t.tv_sec >= 0 && t.tv_nsec >= 0 && t.tv_nsec < second; }

std::chrono::nanoseconds duration_of(const timespec& t) noexcept {
    constexpr std::int64_t most_seconds = INT64_MAX / second - 1;
    if (t.tv_sec > most_seconds) return std::chrono::nanoseconds::max();
    return std::chrono::nanoseconds(t.tv_sec * second + t.tv_nsec);
}

timespec timespec_of(std::chrono::nanoseconds d) noexcept {
    return {d.count() / second, d.count() % second};
}

/// Sleeps. 0, or the errno with which the call must fail; any handler ends a sleep.
int sleep_until(deadline until) noexcept {
    signals::wait signals;
    for (;;) {
        if (const int error = refused_wait(); error != 0) return error;
        if (until.expired()) {
            rt::yield_quietly();
            return 0;
        }
        rt::waiter w("a sleep");
        if (w.suspend(until) == rt::wake_reason::deadline) return 0;
        if (const int error = rt::interruption_errno(true); error != 0) return error;
        if (signals.interrupted(false)) return EINTR;
    }
}

/// Sleeps so long; what is left of it in `rest` if it fails.
int sleep_for(std::chrono::nanoseconds d, std::chrono::nanoseconds& rest) noexcept {
    const deadline until(d);
    const int error = sleep_until(until);
    rest = error == 0 ? std::chrono::nanoseconds(0) : until.remaining();
    return error;
}

} // namespace

namespace time {

int nanosleep(const timespec* wanted, timespec* left) noexcept {
    const int saved_errno = errno;
    timespec t{};
    if (!copy_from_caller(&t, wanted, sizeof t)) return -1;
    if (!valid(t)) return fail(EINVAL);
    std::chrono::nanoseconds rest{};
    const int error = sleep_for(duration_of(t), rest);
    if (error != 0 && left != nullptr) *left = timespec_of(rest);
    errno = saved_errno;
    return error == 0 ? 0 : fail(error);
}

int clock_nanosleep(clockid_t clock, int flags, const timespec* wanted, timespec* left) noexcept {
    const bool wall = clock == CLOCK_REALTIME || clock == CLOCK_TAI;
    const int saved_errno = errno;
    timespec t{};
    if ((!wall && clock != CLOCK_MONOTONIC && clock != CLOCK_BOOTTIME) || !copy_from_caller(&t, wanted, sizeof t) || !valid(t)) {
        errno = saved_errno;
        return real().clock_nanosleep(clock, flags, wanted, left);
    }
    int error = 0;
    if ((flags & TIMER_ABSTIME) != 0) {
        timespec now{};
        ::clock_gettime(clock, &now);
        const auto until = duration_of(t);
        const auto at = duration_of(now);
        error = sleep_until(until == std::chrono::nanoseconds::max() ? deadline() : deadline(until - at));
    } else {
        std::chrono::nanoseconds rest{};
        error = sleep_for(duration_of(t), rest);
        if (error != 0 && left != nullptr) *left = timespec_of(rest);
    }
    errno = saved_errno;
    return error;
}

unsigned sleep(unsigned seconds) noexcept {
    std::chrono::nanoseconds rest{};
    const int saved_errno = errno;
    const int error = sleep_for(std::chrono::seconds(seconds), rest);
    errno = error == 0 ? saved_errno : error;
    return static_cast<unsigned>(rest.count() / second);
}

int usleep(useconds_t microseconds) noexcept {
    std::chrono::nanoseconds rest{};
    const int saved_errno = errno;
    const int error = sleep_for(std::chrono::microseconds(microseconds), rest);
    errno = saved_errno;
    return error == 0 ? 0 : fail(error);
}

int sched_yield() noexcept {
    rt::yield_quietly();
    return 0;
}

} // namespace time

} // namespace weft::shim

using weft::shim::call;
using weft::shim::serve;

extern "C" {

WEFT_API unsigned sleep(unsigned seconds) { return serve<call::sleep>(weft::shim::time::sleep, seconds); }
WEFT_API int usleep(useconds_t microseconds) { return serve<call::usleep>(weft::shim::time::usleep, microseconds); }
WEFT_API int nanosleep(const timespec* wanted, timespec* left) {
    return serve<call::nanosleep>(weft::shim::time::nanosleep, wanted, left);
}
WEFT_API int clock_nanosleep(clockid_t clock, int flags, const timespec* wanted, timespec* left) {
    return serve<call::clock_nanosleep>(weft::shim::time::clock_nanosleep, clock, flags, wanted, left);
}
WEFT_API int sched_yield() noexcept { return serve<call::sched_yield>(weft::shim::time::sched_yield); }

} // extern "C"
