// SPDX-License-Identifier: Apache-2.0
#pragma once

// The socket calls of an attempt that does not wait (MSG_DONTWAIT). libc's own are points of cancellation, for which each prepares libc's record of
// the thread with two locked instructions on a cache line that nothing else needs; an attempt is none, so it is made by instruction. Where
// another library's function comes before libc's, that is called.

#include "core/real.hpp"

#include "core/sys.hpp"

#include <cerrno>

namespace weft::shim::attempt {

/// All four are libc's. False until they have been looked up.
extern constinit bool libc_is_next;
void look_who_is_next() noexcept;

inline ssize_t result_of(long r) noexcept {
    if (r >= 0) return r;
    errno = static_cast<int>(-r);
    return -1;
}

inline ssize_t recvfrom(int fd, void* buffer, std::size_t size, int flags, sockaddr* from, socklen_t* from_size) noexcept {
    if (!libc_is_next) return real().recvfrom(fd, buffer, size, flags, from, from_size);
    using rt::sys::arg;
    return result_of(rt::sys::call(SYS_recvfrom, fd, arg(buffer), static_cast<long>(size), flags, arg(from), arg(from_size)));
}

inline ssize_t sendto(int fd, const void* buffer, std::size_t size, int flags, const sockaddr* to, socklen_t to_size) noexcept {
    if (!libc_is_next) return real().sendto(fd, buffer, size, flags, to, to_size);
    using rt::sys::arg;
    return result_of(rt::sys::call(SYS_sendto, fd, arg(buffer), static_cast<long>(size), flags, arg(to), static_cast<long>(to_size)));
}

inline ssize_t recvmsg(int fd, msghdr* message, int flags) noexcept {
    if (!libc_is_next) return real().recvmsg(fd, message, flags);
    return result_of(rt::sys::call(SYS_recvmsg, fd, rt::sys::arg(message), flags));
}

inline ssize_t sendmsg(int fd, const msghdr* message, int flags) noexcept {
    if (!libc_is_next) return real().sendmsg(fd, message, flags);
    return result_of(rt::sys::call(SYS_sendmsg, fd, rt::sys::arg(message), flags));
}

} // namespace weft::shim::attempt
