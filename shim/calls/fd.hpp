// SPDX-License-Identifier: Apache-2.0
#pragma once

// Descriptors begin, change and end. None of it waits; the runtime must know, because numbers are used again.

#include <cstddef>

#include <sys/socket.h>

namespace weft::shim::fd {

/// A call made a new descriptor (or failed, with -1): passes the number on. Those that weft itself makes are moved up.
int made(int fd) noexcept;
int made_pair(int result, const int fds[2]) noexcept;
/// A descriptor that may come from elsewhere: opened, or another name of `original`.
int received(int fd) noexcept;
int duplicated(int original, int fd) noexcept;
/// close: whoever waits for the descriptor gets EBADF before the number can be used again. weft's own are no descriptors of
/// the program: EBADF.
int close(int fd);
/// dup2 and dup3.
int replace(int from, int to, int flags, bool with_flags) noexcept;
int set_option(int fd, int level, int name, const void* value, socklen_t size) noexcept;
/// What fcntl, ioctl or recvmsg did may have begun or changed descriptors: notes it and passes the result on.
int controlled(int result, int fd, int command) noexcept;
int line_controlled(int result, int fd, unsigned long request) noexcept;
ssize_t brought(ssize_t result, const msghdr* message) noexcept;
/// The same of a message that was sent: whoever receives a descriptor may change its flags.
ssize_t took(ssize_t result, const msghdr* message) noexcept;
/// The numbers from `first` to `last`, but not weft's own.
int close_range(unsigned first, unsigned last, int flags) noexcept;
void closefrom(int first) noexcept;

} // namespace weft::shim::fd
