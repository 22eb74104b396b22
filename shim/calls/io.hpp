// SPDX-License-Identifier: Apache-2.0
#pragma once

// The served forms of the calls that move bytes: what the exported stubs call on a fiber, and what tests may call. Each has
// the contract of its POSIX namesake; where that blocks the kernel thread, it suspends the fiber.

#include <cstddef>

#include <sys/socket.h>
#include <sys/uio.h>

namespace weft::shim::io {

ssize_t read(int fd, void* buffer, std::size_t size) noexcept;
ssize_t readv(int fd, const iovec* v, int count) noexcept;
ssize_t write(int fd, const void* buffer, std::size_t size) noexcept;
ssize_t writev(int fd, const iovec* v, int count) noexcept;

ssize_t recvfrom(int fd, void* buffer, std::size_t size, int flags, sockaddr* from, socklen_t* from_size) noexcept;
inline ssize_t recv(int fd, void* buffer, std::size_t size, int flags) noexcept {
    return recvfrom(fd, buffer, size, flags, nullptr, nullptr);
}
ssize_t recvmsg(int fd, msghdr* message, int flags) noexcept;
ssize_t sendto(int fd, const void* buffer, std::size_t size, int flags, const sockaddr* to, socklen_t to_size) noexcept;
inline ssize_t send(int fd, const void* buffer, std::size_t size, int flags) noexcept {
    return sendto(fd, buffer, size, flags, nullptr, 0);
}
ssize_t sendmsg(int fd, const msghdr* message, int flags) noexcept;

int accept4(int fd, sockaddr* address, socklen_t* size, int flags) noexcept;
inline int accept(int fd, sockaddr* address, socklen_t* size) noexcept { return io::accept4(fd, address, size, 0); }
int connect(int fd, const sockaddr* address, socklen_t size) noexcept;

} // namespace weft::shim::io
