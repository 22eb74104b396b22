// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <weft/deadline.hpp>
#include <weft/export.hpp>

namespace weft {

/// Suspends the calling fiber until a read of the descriptor would not wait: there is data, a connection to accept, the end of the
/// stream or an error. A regular file is always ready. Another fiber may be faster, so the read itself should not rely on it.
///
/// False: the deadline came first; one in the past asks without waiting.
/// Throws std::system_error: EBADF if it is no descriptor or is closed meanwhile (through a patched close), ECANCELED if cancel_wait ends the
/// wait. Kill and timeout scopes interrupt it. On a kernel thread without a hub it blocks that thread, and cancel_wait does not reach it.
///
/// @code
/// bool there = weft::wait_readable(0, std::chrono::seconds(1)); // somebody has typed something
/// (void)there;
/// @endcode
WEFT_API bool wait_readable(int fd, deadline d = {});

/// The same until a write would not wait, a connect is done, or there is an error.
WEFT_API bool wait_writable(int fd, deadline d = {});

/// Ends every wait for the descriptor that is going on now, in whatever fiber: wait_readable and wait_writable throw, a patched libc
/// call fails, both with ECANCELED. The descriptor itself is untouched: a later wait waits again. Never throws.
WEFT_API void cancel_wait(int fd) noexcept;

} // namespace weft
