// SPDX-License-Identifier: Apache-2.0
#pragma once

// POSIX semaphores, in libc's own format: value and number of waiters in one word. Threads wait by libc's own calls, fibers in the table; for
// one that processes share a helper thread takes the token. sem_post may be called in signal handlers.

#include <semaphore.h>
#include <time.h>

namespace weft::shim::sem {

// The waits are cancellation points of threads, so they may be unwound.
int wait(sem_t* s);
int timedwait(sem_t* s, const timespec* at);
int clockwait(sem_t* s, clockid_t clock, const timespec* at);
int post(sem_t* s) noexcept;

} // namespace weft::shim::sem
