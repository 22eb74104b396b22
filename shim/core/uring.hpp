// SPDX-License-Identifier: Apache-2.0
#pragma once

// accept and connect have no flag that says "do not wait", and O_NONBLOCK belongs to everyone who shares the description
// (invariant 9). io_uring can do both without waiting; one small ring a kernel thread, used synchronously.

#include <sys/socket.h>

namespace weft::shim::uring {

/// As accept4, but EAGAIN instead of waiting. -1 with errno; ENOSYS where the kernel cannot do it.
int accept_nowait(int fd, sockaddr* address, socklen_t* size, int flags) noexcept;
/// As connect, but EINPROGRESS instead of waiting.
int connect_nowait(int fd, const sockaddr* address, socklen_t size) noexcept;

} // namespace weft::shim::uring
