// SPDX-License-Identifier: Apache-2.0
#pragma once

// Robust mutexes that a green thread has when it ends. libc puts them in a list behind its thread pointer; of a kernel thread the kernel reads
// that list when the thread ends, of a green thread nobody would. Those that processes share are in the keeper's list (keeper.hpp).

#include <cstddef>
#include <cstdint>

namespace weft::shim::robust {

/// Finds out where the list lies. On a kernel thread.
void initialise() noexcept;

/// The list of the thread with that thread pointer, as get_robust_list(2) gives it; null: unknown.
void* head_of(char* thread_pointer) noexcept;
constexpr std::size_t head_size = 24;

/// Of the thread that ends, which calls this: marks all that are in the list of its frame as their owner's legacy and tells who waits, as the kernel does; the list is empty then.
void leave_behind(char* thread_pointer) noexcept;

} // namespace weft::shim::robust
