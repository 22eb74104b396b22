// SPDX-License-Identifier: Apache-2.0
#pragma once

// Waiting for the end of a kernel thread of the program's, as pthread_join and its kin. A join is never failed by a kill.

#include <pthread.h>
#include <threads.h>
#include <time.h>

namespace weft::shim::join {

int wait(pthread_t thread, void** result);
int timed(pthread_t thread, void** result, const timespec* at);
int clocked(pthread_t thread, void** result, clockid_t clock, const timespec* at);
int c11(thrd_t thread, int* result);

} // namespace weft::shim::join
