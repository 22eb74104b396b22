// SPDX-License-Identifier: Apache-2.0
#pragma once

// weft's own descriptors. They are close-on-exec and lie above the program's soft limit if the hard one leaves room, else high below
// it: out of the way of programs that expect the lowest number, choose a high one, or open as many as they may.

#include <weft/export.hpp>

namespace weft::rt {

/// Moves a new descriptor up and notes it as ours. Returns the new number; -1 stays -1 (with errno).
WEFT_API int make_private(int fd) noexcept;
/// Closes one of ours; -1 is ignored.
WEFT_API void forget_private(int& fd) noexcept;
/// Whether a number is one of ours, so that a program's "close everything" loop leaves it alone.
[[nodiscard]] WEFT_API bool is_private(int fd) noexcept;
/// The first of ours that is not below `fd`; INT_MAX: there is none.
[[nodiscard]] WEFT_API int next_private(int fd) noexcept;
/// Whether that many hubs leave the program most of the descriptors that it may open.
[[nodiscard]] WEFT_API bool private_fds_fit(int hubs) noexcept;
/// In the child of fork, where nobody else is about to move one: what that had changed is put back.
void private_fds_after_fork() noexcept;

} // namespace weft::rt
