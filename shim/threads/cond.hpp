// SPDX-License-Identifier: Apache-2.0
#pragma once

// pthread condition variables. Who waits for a private one is in the table, under its address, fiber and thread alike; the object itself is
// not used, so libc's own functions may be called on it beside ours. One that processes share is libc's; there a fiber's wait is
// made by a helper thread.

#include <pthread.h>
#include <time.h>

namespace weft::shim::cond {

// The waits are cancellation points of threads, so they may be unwound.
int wait(pthread_cond_t* c, pthread_mutex_t* m);
int timedwait(pthread_cond_t* c, pthread_mutex_t* m, const timespec* at);
int clockwait(pthread_cond_t* c, pthread_mutex_t* m, clockid_t clock, const timespec* at);
int signal(pthread_cond_t* c) noexcept;
int broadcast(pthread_cond_t* c) noexcept;
int destroy(pthread_cond_t* c) noexcept;

} // namespace weft::shim::cond
