// SPDX-License-Identifier: Apache-2.0
// Sleeps and yields.
#include "calls/time.hpp"

#include "calls/blocking.hpp"
#include "calls/wait.hpp"
#include "core/serve.hpp"
#include "threads/cpu_time.hpp"

#include "core/private_fd.hpp"
#include "core/sys.hpp"

#include <weft/export.hpp>

#include <algorithm>

#include <sys/timerfd.h>

namespace weft::shim {

namespace {

constexpr std::int64_t second = 1'000'000'000;

constexpr bool valid(const timespec& t) noexcept { return t.tv_sec >= 0 && t.tv_nsec >= 0 && t.tv_nsec < second; }

std::chrono::nanoseconds duration_of(const timespec& t) noexcept {
    constexpr std::int64_t most_seconds = INT64_MAX / second - 1;
    if (t.tv_sec > most_seconds) return std::chrono::nanoseconds::max();
    return std::chrono::nanoseconds(t.tv_sec * second + t.tv_nsec);
}

/// Of the steady clock.
deadline deadline_at(const timespec& t) noexcept {
    const std::chrono::nanoseconds d = duration_of(t);
    return d == std::chrono::nanoseconds::max() ? deadline() : deadline(deadline::clock::time_point(d));
}

timespec timespec_of(std::chrono::nanoseconds d) noexcept {
    return {d.count() / second, d.count() % second};
}

timespec later(const timespec& t, const timespec& by) noexcept {
    timespec sum{0, t.tv_nsec + by.tv_nsec};
    if (__builtin_add_overflow(t.tv_sec + sum.tv_nsec / second, by.tv_sec, &sum.tv_sec)) return {INT64_MAX, 0};
    sum.tv_nsec %= second;
    return sum;
}

/// Suspends the fiber once, as long as `pause()` does. 0 when it says that the time has come, or the errno with which the call must fail;
/// any handler ends a sleep.
template <class Pause>
int sleep_by(Pause pause) noexcept {
    signals::wait signals;
    for (;;) {
        if (const int error = refused_wait(); error != 0) return error;
        if (pause()) return 0;
        if (const int error = rt::interruption_errno(true); error != 0) return error;
        if (signals.interrupted(false)) return EINTR;
    }
}

int sleep_until(deadline until) noexcept {
    return sleep_by([until]() noexcept {
        if (until.expired()) {
            rt::yield_quietly();
            return true;
        }
        rt::waiter w("a sleep");
        if (until.is_never()) w.mark_external(); // a signal ends it
        return w.suspend(until) == rt::wake_reason::deadline;
    });
}

/// Sleeps so long; what is left of it in `rest` if it fails.
int sleep_for(std::chrono::nanoseconds d, std::chrono::nanoseconds& rest) noexcept {
    const deadline until(d);
    const int error = sleep_until(until);
    rest = error == 0 ? std::chrono::nanoseconds(0) : std::max(until.remaining(), std::chrono::nanoseconds(0));
    return error == EINTR && rest.count() == 0 ? 0 : error; // it was over all the same
}

/// Until a clock that may be set, or runs while the machine is suspended, says so: the kernel follows it, in a timerfd.
int sleep_until_clock(clockid_t clock, timespec at) noexcept {
    timespec now{};
    ::clock_gettime(clock, &now);
    const std::chrono::nanoseconds left = duration_of(at) - duration_of(now);
    if (left.count() <= 0) return sleep_until(deadline(std::chrono::nanoseconds(0)));
    if (clock == CLOCK_TAI) { // it has no timerfd; it goes ahead of the wall clock by whole seconds
        timespec wall{};
        ::clock_gettime(CLOCK_REALTIME, &wall);
        at.tv_sec -= (duration_of(now) - duration_of(wall) + std::chrono::milliseconds(500)) / std::chrono::seconds(1);
        clock = CLOCK_REALTIME;
    }
    int fd = rt::make_private(static_cast<int>(
        std::max(-1L, rt::sys::call(SYS_timerfd_create, clock, TFD_CLOEXEC | TFD_NONBLOCK))));
    if (fd < 0) return sleep_until(deadline(left)); // no descriptor left
    const itimerspec when{{}, at};
    rt::sys::call(SYS_timerfd_settime, fd, TFD_TIMER_ABSTIME, rt::sys::arg(&when), 0);
    rt::readiness::opened(fd);
    const int error = sleep_by([fd]() noexcept {
        rt::readiness::wait(fd, EPOLLIN, {});
        std::uint64_t times = 0;
        return rt::sys::call(SYS_read, fd, rt::sys::arg(&times), sizeof times) > 0;
    });
    rt::readiness::closing(fd);
    rt::forget_private(fd);
    return error;
}

/// A thread's own CPU clock does not run while it sleeps: the kernel refuses, but would not if another thread asked.
bool is_own_cpu_clock(clockid_t clock) noexcept {
    constexpr clockid_t of_thread = 4;
    return clock < 0 && (clock & of_thread) != 0 && (~(clock >> 3) == 0 || ~(clock >> 3) == rt::sys::gettid());
}

/// A clock that only the kernel can follow: CPU time, alarms. As the original, it returns the error number.
int sleep_on_kernel_thread(clockid_t clock, int flags, timespec t, timespec* left) noexcept {
    timespec rest = t;
    const int result = blocking_call(false, [&]() noexcept {
        const int error = real().clock_nanosleep(clock, flags, &t, &rest);
        if (error == EINTR && (flags & TIMER_ABSTIME) == 0) t = rest;
        return error == 0 ? 0 : fail(error);
    });
    if (result == 0) return 0;
    const int error = errno;
    return left == nullptr || (flags & TIMER_ABSTIME) != 0 || error == EINVAL || copy_to_caller(left, &rest, sizeof rest) ? error : EFAULT;
}

/// By another green thread's processor time, which goes no faster than time itself.
int sleep_until_used(clockid_t clock, bool absolute, const timespec& t, timespec* left) noexcept {
    const std::int64_t begin = cpu_time::read(clock), wanted = duration_of(t).count();
    if (begin < 0) return EINVAL;
    std::int64_t end = INT64_MAX;
    if (absolute || !__builtin_add_overflow(begin, wanted, &end)) end = absolute ? wanted : end;
    for (;;) {
        const std::int64_t now = cpu_time::read(clock);
        if (now < 0 || now >= end) return 0;
        std::chrono::nanoseconds rest{};
        constexpr std::int64_t least = 1'000'000;
        const int error = sleep_for(std::chrono::nanoseconds(std::max(end - now, least)), rest);
        if (error == 0) continue;
        if (left == nullptr || absolute) return error;
        const timespec missing = timespec_of(std::chrono::nanoseconds(end - now));
        return copy_to_caller(left, &missing, sizeof missing) ? error : EFAULT;
    }
}

/// The error of a sleep that was cut short, once the caller has been told what is left.
int cut_short(int error, std::chrono::nanoseconds rest, timespec* left) noexcept {
    if (error == 0 || left == nullptr) return error;
    const timespec t = timespec_of(rest);
    return copy_to_caller(left, &t, sizeof t) ? error : EFAULT;
}

} // namespace

namespace time {

int nanosleep(const timespec* wanted, timespec* left) noexcept {
    const int saved_errno = errno;
    timespec t{};
    if (!copy_from_caller(&t, wanted, sizeof t)) return -1;
    if (!valid(t)) return fail(EINVAL);
    std::chrono::nanoseconds rest{};
    const int error = cut_short(sleep_for(duration_of(t), rest), rest, left);
    errno = saved_errno;
    return error == 0 ? 0 : fail(error);
}

int clock_nanosleep(clockid_t clock, int flags, const timespec* wanted, timespec* left) noexcept {
    const bool absolute = (flags & TIMER_ABSTIME) != 0;
    const int saved_errno = errno;
    timespec t{};
    const bool readable = copy_from_caller(&t, wanted, sizeof t);
    errno = saved_errno;
    if (!readable || !valid(t) || is_own_cpu_clock(clock)) return real().clock_nanosleep(clock, flags, wanted, left); // fails at once
    if (cpu_time::is_own(clock)) return EINVAL;
    int error = 0;
    std::chrono::nanoseconds rest{};
    switch (clock) {
    case CLOCK_REALTIME:
    case CLOCK_TAI:
        if (absolute) error = sleep_until_clock(clock, t);
        else error = cut_short(sleep_for(duration_of(t), rest), rest, left); // of these a set clock changes nothing
        break;
    case CLOCK_MONOTONIC:
        if (absolute) error = sleep_until(deadline_at(t));
        else error = cut_short(sleep_for(duration_of(t), rest), rest, left);
        break;
    case CLOCK_BOOTTIME: {
        timespec now{};
        ::clock_gettime(clock, &now);
        if (absolute) {
            error = sleep_until_clock(clock, t);
            break;
        }
        const timespec end = later(now, t);
        error = sleep_until_clock(clock, end);
        ::clock_gettime(clock, &now);
        rest = std::max(duration_of(end) - duration_of(now), std::chrono::nanoseconds(0));
        error = error == EINTR && rest.count() == 0 ? 0 : cut_short(error, rest, left);
        break;
    }
    default:
        error = cpu_time::is_green(clock) ? sleep_until_used(clock, absolute, t, left) : sleep_on_kernel_thread(clock, flags, t, left);
    }
    errno = saved_errno;
    return error;
}

/// The thread that asks is the only one, perhaps not on the kernel thread that has its number. A kernel thread may be cancelled in it.
int nanosleep_unserved(clockid_t clock, int flags, const timespec* wanted, timespec* left) {
    if (clock < 0 && cpu_time::is_green(clock) && cpu_time::is_own(clock)) return EINVAL;
    return real().clock_nanosleep(clock, flags, wanted, left);
}

int thrd_sleep(const timespec* wanted, timespec* left) noexcept {
    switch (time::clock_nanosleep(CLOCK_REALTIME, 0, wanted, left)) {
    case 0: return 0;
    case EINTR: return -1;
    default: return -2;
    }
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
    const signals::wait signals; // handlers of what comes meanwhile have run when it returns
    rt::yield_quietly();
    return 0;
}

} // namespace time

} // namespace weft::shim

using weft::shim::call;
using weft::shim::serve;
using weft::shim::serve_or;

extern "C" {

WEFT_API unsigned sleep(unsigned seconds) { return serve<call::sleep>(weft::shim::time::sleep, seconds); }
WEFT_API int usleep(useconds_t microseconds) { return serve<call::usleep>(weft::shim::time::usleep, microseconds); }
WEFT_API int nanosleep(const timespec* wanted, timespec* left) {
    return serve<call::nanosleep>(weft::shim::time::nanosleep, wanted, left);
}
WEFT_API int clock_nanosleep(clockid_t clock, int flags, const timespec* wanted, timespec* left) {
    return serve_or<call::clock_nanosleep>(weft::shim::time::clock_nanosleep, weft::shim::time::nanosleep_unserved, clock, flags, wanted, left);
}
WEFT_API int __nanosleep(const timespec* wanted, timespec* left) {
    return serve<call::__nanosleep>(weft::shim::time::nanosleep, wanted, left);
}
WEFT_API int thrd_sleep(const timespec* wanted, timespec* left) {
    return serve<call::thrd_sleep>(weft::shim::time::thrd_sleep, wanted, left);
}
WEFT_API void thrd_yield() {
    serve<call::thrd_yield>([]() noexcept { static_cast<void>(weft::shim::time::sched_yield()); });
}
// Old binaries' name, which the header gives to sched_yield.
WEFT_API int weft_old_pthread_yield() noexcept __asm__("pthread_yield");
WEFT_API int weft_old_pthread_yield() noexcept { return serve<call::pthread_yield>(weft::shim::time::sched_yield); }
WEFT_API int sched_yield() noexcept { return serve<call::sched_yield>(weft::shim::time::sched_yield); }

} // extern "C"
