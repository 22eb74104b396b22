// SPDX-License-Identifier: Apache-2.0
#pragma once

// Names of threads: 15 bytes, inherited from whoever makes the thread. The main thread's is the kernel's own.

#include "threads/green.hpp"

namespace weft::shim::names {

constexpr std::size_t size = sizeof(green_thread::name);

/// Before the first green thread, on the main thread.
void remember(green_thread& main) noexcept;
/// A new thread has its maker's.
void inherit(green_thread& made, const green_thread* maker) noexcept;

/// prctl(PR_SET_NAME) and (PR_GET_NAME), and what libc's functions are: 0 or an error.
int set(green_thread& t, const char* name) noexcept;
int get(const green_thread& t, char (&out)[size]) noexcept;

/// Of the child of a fork, whose first thread the caller is now.
void after_fork(green_thread& me) noexcept;

/// prctl(2): the kernel's result.
long prctl(int option, long a, long b, long c, long d) noexcept;

} // namespace weft::shim::names
