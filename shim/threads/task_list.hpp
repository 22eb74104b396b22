// SPDX-License-Identifier: Apache-2.0
#pragma once

// The program's threads, as the kernel would list them in /proc/self/task: main, green threads by their numbers, kernel threads that are not
// weft's own.

#include "threads/green.hpp"

#include <cstddef>
#include <string_view>

namespace weft::shim::task_list {

/// Whether there are, or have been, green threads in this process, so that the kernel's list is not the program's.
bool differs() noexcept;

/// The numbers from `first` on, in ascending order and without main's: as many as there are, at most `room`.
std::size_t from(int first, int* numbers, std::size_t room) noexcept;

/// How many threads there are, main included.
int count() noexcept;

/// Calls f(number, context) for each kernel thread of the program but main's, and of weft's own if they are wanted, too.
void kernel_threads(bool own, void (*f)(int, void*) noexcept, void* context) noexcept;

/// Reads a small file past all that is intercepted: bytes, or a negative error.
long read_file(const char* path, char* to, std::size_t room) noexcept;

} // namespace weft::shim::task_list
