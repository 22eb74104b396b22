// SPDX-License-Identifier: Apache-2.0
#pragma once

// Robust mutexes, and those with priority inheritance, that processes share. The kernel has to know who holds them: when a process dies it marks its
// robust ones, and only the kernel thread whose number is in the word may hand over one that inherits. Green threads have no numbers that the kernel
// knows, and move between kernel threads. So a kernel thread of its own, the keeper, holds these mutexes for all fibers of the process: its number
// is in the word and they are in the list that it has registered. It is made at the first use, sleeps, and makes the system calls that only the holder
// can make. Which fiber has one is the caller's to tell (foreign_mutex.hpp).

#include <cstdint>

#include <pthread.h>

namespace weft::shim::keeper {

/// The number in the word of what fibers of this process hold; 0: there is no keeper, so they hold nothing.
std::uint32_t tid() noexcept;

/// Which fiber has a mutex that the keeper holds: a field that libc does not use for these kinds.
std::uint32_t* fiber_of(pthread_mutex_t* m) noexcept;

/// For a mutex that no fiber of this process holds. 0, EOWNERDEAD, EBUSY, ENOTRECOVERABLE; EAGAIN: no keeper could be made.
int try_lock(pthread_mutex_t* m, std::uint32_t fiber) noexcept;
/// Lets go of one that the keeper holds, whatever its count.
void unlock(pthread_mutex_t* m) noexcept;
/// The fiber ends: what it has is its legacy, and who waits is told.
void leave_behind(std::uint32_t fiber) noexcept;

/// In the child of fork, which holds nothing.
void after_fork() noexcept;

} // namespace weft::shim::keeper
