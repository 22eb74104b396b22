// SPDX-License-Identifier: Apache-2.0
#pragma once

// The initial values of thread-local variables: what a module's file says of its block in static TLS. libc's own block is left out: it
// stays warm when a frame is used again.

#include <cstddef>

namespace weft::rt {
struct tls_layout;
}

namespace weft::rt::tls_images {

struct image {
    std::size_t module = 0;      // its number
    std::ptrdiff_t offset = 0;   // of the block, from the thread pointer
    const void* values = nullptr;
    std::size_t filled = 0;      // bytes of values; the rest is zero
    std::size_t size = 0;

    void write(char* thread_pointer) const noexcept;
    bool operator==(const image&) const = default;
};

/// Gives every module's block in that frame its initial values, and lets go of blocks that were made on demand. False: no memory.
bool write_all(char* thread_pointer) noexcept;

/// Before all else.
void begin(const tls_layout& layout) noexcept;

/// +1 and -1: somebody has libc's lock of the list of modules meanwhile, and may wait with it. No module comes or goes then, and write_all does not
/// look for any.
void stay(int change) noexcept;
/// In the child of fork: so many times the calling thread has it.
void only_stay(int times) noexcept;

/// In the child of fork, whose one thread libc knows by that number. libc's lock of the list is free if it was another's.
void after_fork(int tid) noexcept;

} // namespace weft::rt::tls_images
