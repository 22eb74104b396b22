// SPDX-License-Identifier: Apache-2.0
#pragma once

// The processor time of green threads. The kernel counts that of the kernel thread which runs them all, so it is counted where fibers are switched,
// for threads whose clock somebody has asked for, and for all that are made after the first such call: two system calls more at each of their switches.
// Until then nothing is counted. What an older thread used before it was asked is not known: it begins with what its kernel thread has used, at
// most as long as it lives.

#include <atomic>
#include <cstdint>

#include <sys/resource.h>
#include <time.h>

namespace weft::shim {

struct green_thread;

namespace cpu_time {

/// What is kept of a thread.
struct account {
    static constexpr std::int64_t stands = -1;
    std::atomic<bool> counted{false};
    std::atomic<std::int64_t> used{0};        // up to `since`
    std::atomic<std::int64_t> since{stands};  // while it runs: the clock of its kernel thread when it began to
    std::atomic<int> runs_on{0};              // and the number of that
    std::int64_t born = 0;
};

/// A new thread, before it runs.
void begin(green_thread& t) noexcept;
/// In the child of fork, where its time begins anew: the only thread.
void after_fork(green_thread& t) noexcept;

/// Its clock, which says whose it is by the thread's number.
clockid_t clock_of(const green_thread& t) noexcept;
/// Whether it is such a clock, or the caller's own.
bool is_green(clockid_t clock) noexcept;
/// Whether that clock is the caller's.
bool is_own(clockid_t clock) noexcept;
/// Nanoseconds; -EINVAL: there is no such thread.
std::int64_t read(clockid_t clock) noexcept;

/// What a timer is to be made for: it cannot follow a green thread's clock, and gets the process's, as long as the thread has not more than one.
clockid_t timer_clock(clockid_t clock) noexcept;

/// The system calls, with the kernel's results.
long clock_gettime(clockid_t clock, timespec* out) noexcept;
long clock_getres(clockid_t clock, timespec* out) noexcept;
long getrusage(int whose, rusage* out) noexcept;

} // namespace cpu_time

} // namespace weft::shim
