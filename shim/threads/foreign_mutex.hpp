// SPDX-License-Identifier: Apache-2.0
#pragma once

// Robust mutexes and those with a priority protocol. The kernel knows their owner, a kernel thread, and acts when it ends or is boosted, so
// libc's functions take and release them. What is added: which fiber of that thread has it, and how the others wait.

#include "threads/limit.hpp"

#include <pthread.h>

namespace weft::shim::foreign_mutex {

int lock(pthread_mutex_t* m, const limit& until) noexcept;
int trylock(pthread_mutex_t* m) noexcept;
int unlock(pthread_mutex_t* m) noexcept;

} // namespace weft::shim::foreign_mutex
