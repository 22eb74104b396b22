// SPDX-License-Identifier: Apache-2.0
#pragma once

// Futexes for fibers and threads alike. A fiber waits in the table; a thread without one waits in the kernel; whoever wakes looks at both.
// A word in memory that other processes share is waited for in the kernel only, for a fiber by a helper thread.

#include "threads/limit.hpp"
#include "threads/table.hpp"

#include <cstdint>

#include <time.h>

namespace weft::shim::futex {

/// Waits while the word is `expected`. 0: woken, or it was not; else ETIMEDOUT, or EINTR as `p` says.
int wait(std::uint32_t* word, std::uint32_t expected, bool shared, const limit& until, const char* what, patience p = endless) noexcept;
/// Wakes up to `count`; whoever waits in the kernel and whoever waits in the table take turns. How many.
int wake(std::uint32_t* word, int count, bool shared, std::uint32_t bitset = ~std::uint32_t{0}) noexcept;

/// The wait of the calling kernel thread, which is counted so that it has its turn. As the system call: 0 or a negative errno.
long wait_in_kernel(std::uint32_t* word, std::uint32_t expected, bool shared, const limit& until,
                    std::uint32_t bitset = ~std::uint32_t{0}) noexcept;
/// Wakes in the kernel only; how many, or a negative errno.
long wake_in_kernel(std::uint32_t* word, int count, bool shared, std::uint32_t bitset = ~std::uint32_t{0}) noexcept;

/// The program makes kernel threads past libc's threads (clone(2)): they, or the kernel at their end, may wake words out of our sight.
/// From now on every word that is not marked private is waited for in the kernel.
void others_begin() noexcept;

/// SYS_futex: the kernel's arguments, the kernel's result. `timeout` is a number for the operations that have one there.
long serve(std::uint32_t* word, int operation, std::uint32_t value, const timespec* timeout, std::uint32_t* other,
           std::uint32_t value3) noexcept;
/// SYS_futex_waitv.
long serve_waitv(const void* waiters, unsigned count, unsigned flags, const timespec* timeout, clockid_t clock) noexcept;

} // namespace weft::shim::futex
