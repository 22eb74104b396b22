// SPDX-License-Identifier: Apache-2.0
#pragma once

// Kernel threads of weft's own are known by their names, which begin with "weft-": who counts the program's threads leaves them out.
// Between its making and its first steps one has its maker's name; how many are so is counted.

#include <weft/export.hpp>

#include <atomic>

#include <pthread.h>

namespace weft::rt {

extern WEFT_API constinit std::atomic<int> own_threads_unnamed;

/// Before one is made. Where that fails: own_thread_failed().
inline void own_thread_begins() noexcept { own_threads_unnamed.fetch_add(1, std::memory_order_relaxed); }
inline void own_thread_failed() noexcept { own_threads_unnamed.fetch_sub(1, std::memory_order_relaxed); }

/// How carriers are made: by libc's function, which the shim knows. A sanitizer's takes a lock that a thread may have which waits for a carrier.
extern WEFT_API constinit decltype(&::pthread_create) make_kernel_thread;

/// The first thing that one does.
WEFT_API void name_own_thread(const char* name) noexcept;

} // namespace weft::rt
