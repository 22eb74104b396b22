// SPDX-License-Identifier: Apache-2.0
#pragma once

// System calls by number, as syscall(2) and the trap get them: those that weft serves under a name are served by the same policies,
// with the kernel's own arguments and results.

#include <cstddef>

namespace weft::shim::syscalls {

struct arguments {
    long at[6];
    long operator[](std::size_t i) const noexcept { return at[i]; }
};

/// Serves one call; the kernel's result, so an error is -errno. May change errno.
using policy = long (*)(const arguments& a) noexcept;

/// The policy of that call; nullptr where the kernel's own is to be made: it is none that weft serves, or not here and now.
policy find(long number) noexcept;

/// Serves the call or makes it. The kernel's result.
long serve(long number, long a, long b, long c, long d, long e, long f) noexcept;

} // namespace weft::shim::syscalls
