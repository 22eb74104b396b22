// SPDX-License-Identifier: Apache-2.0
#pragma once

// What libc exports, read from its own tables. Asking dlsym for a name that is not there allocates an error text, and our first call may
// come from within the program's allocator (jemalloc's makes system calls by syscall() while it holds a lock).

namespace weft::shim {

enum class libc_name {
    unknown, ///< libc does not have it, or its tables could not be read
    current, ///< dlsym finds it
    old,     ///< kept for old binaries only: dlvsym with its version finds it
};

/// Allocates nothing, and calls nothing that could be intercepted.
libc_name look_up_in_libc(const char* name) noexcept;

} // namespace weft::shim
