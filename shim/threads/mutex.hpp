// SPDX-License-Identifier: Apache-2.0
#pragma once

// pthread mutexes, in libc's own format, so that static initialisers, libc's inner code and other processes agree with us. Every thread and fiber
// takes them here. A fiber owns what it took: another fiber of the same kernel thread waits for it, suspended.
//
// Robust mutexes and those with a priority protocol are libc's, whose owner is the kernel thread; which of its fibers has it is kept in
// a field that libc does not use for them.

#include "threads/limit.hpp"

#include <pthread.h>

namespace weft::shim::mutex {

int lock(pthread_mutex_t* m) noexcept;
int trylock(pthread_mutex_t* m) noexcept;
int clocklock(pthread_mutex_t* m, clockid_t clock, const timespec* at) noexcept;
int timedlock(pthread_mutex_t* m, const timespec* at) noexcept;
int unlock(pthread_mutex_t* m) noexcept;

/// For a wait for a condition: the mutex stays in use meanwhile.
int unlock_to_wait(pthread_mutex_t* m) noexcept;
int lock_after_wait(pthread_mutex_t* m) noexcept;

/// Whether processes share it, and it is none of those that are libc's (foreign_mutex.hpp).
bool is_shared(const pthread_mutex_t* m) noexcept;

} // namespace weft::shim::mutex
