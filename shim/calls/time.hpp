// SPDX-License-Identifier: Apache-2.0
#pragma once

// The served sleeps.

#include <ctime>

#include <unistd.h>

namespace weft::shim::time {

int nanosleep(const timespec* wanted, timespec* left) noexcept;
/// Returns the error number, as the original does.
int clock_nanosleep(clockid_t clock, int flags, const timespec* wanted, timespec* left) noexcept;
/// In C11's words: -1 for a signal, -2 for what else is wrong.
int thrd_sleep(const timespec* wanted, timespec* left) noexcept;
unsigned sleep(unsigned seconds) noexcept;
int usleep(useconds_t microseconds) noexcept;
int sched_yield() noexcept;

} // namespace weft::shim::time
