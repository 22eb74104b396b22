// SPDX-License-Identifier: Apache-2.0
#pragma once

// Several messages by one call.

#include <ctime>

#include <sys/socket.h>

namespace weft::shim::messages {

int recvmmsg(int fd, mmsghdr* messages, unsigned count, int flags, timespec* timeout) noexcept;
int sendmmsg(int fd, mmsghdr* messages, unsigned count, int flags) noexcept;

} // namespace weft::shim::messages
