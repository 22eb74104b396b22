// SPDX-License-Identifier: Apache-2.0
#pragma once

// The initial values of thread-local variables: what a module's file says of its block in static TLS. libc's own block is left out: it
// stays warm when a frame is used again.

#include <cstddef>

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

/// Gives every module's block in that frame its initial values, and lets go of blocks that were made on demand.
void write_all(char* thread_pointer) noexcept;

/// Calls tell (may be null) for each module with static TLS that has been loaded since the last call.
void find_new(void (*tell)(const image&));

/// In the child of fork.
void after_fork() noexcept;

} // namespace weft::rt::tls_images
