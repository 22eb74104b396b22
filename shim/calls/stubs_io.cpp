// SPDX-License-Identifier: Apache-2.0
// The exported names of the io family: stubs only, the policy is behind them.
#include "calls/fd.hpp"
#include "calls/io.hpp"
#include "core/gate.hpp"
#include "core/real.hpp"

#include <weft/export.hpp>

using weft::shim::family;
using weft::shim::gate;
using weft::shim::real;
namespace io = weft::shim::io;
namespace fd = weft::shim::fd;

extern "C" {

WEFT_API ssize_t read(int fd, void* buffer, std::size_t size) {
    return gate::open(family::io) ? io::read(fd, buffer, size) : real().read(fd, buffer, size);
}
WEFT_API ssize_t __read_chk(int fd, void* buffer, std::size_t size, std::size_t capacity) {
    return gate::open(family::io) && size <= capacity ? io::read(fd, buffer, size)
                                                      : real().__read_chk(fd, buffer, size, capacity);
}
WEFT_API ssize_t readv(int fd, const iovec* v, int count) {
    return gate::open(family::io) ? io::readv(fd, v, count) : real().readv(fd, v, count);
}
WEFT_API ssize_t write(int fd, const void* buffer, std::size_t size) {
    return gate::open(family::io) ? io::write(fd, buffer, size) : real().write(fd, buffer, size);
}
WEFT_API ssize_t writev(int fd, const iovec* v, int count) {
    return gate::open(family::io) ? io::writev(fd, v, count) : real().writev(fd, v, count);
}
WEFT_API ssize_t recv(int fd, void* buffer, std::size_t size, int flags) {
    return gate::open(family::io) ? io::recvfrom(fd, buffer, size, flags, nullptr, nullptr)
                                  : real().recv(fd, buffer, size, flags);
}
WEFT_API ssize_t __recv_chk(int fd, void* buffer, std::size_t size, std::size_t capacity, int flags) {
    return gate::open(family::io) && size <= capacity ? io::recvfrom(fd, buffer, size, flags, nullptr, nullptr)
                                                      : real().__recv_chk(fd, buffer, size, capacity, flags);
}
WEFT_API ssize_t recvfrom(int fd, void* buffer, std::size_t size, int flags, sockaddr* from, socklen_t* from_size) {
    return gate::open(family::io) ? io::recvfrom(fd, buffer, size, flags, from, from_size)
                                  : real().recvfrom(fd, buffer, size, flags, from, from_size);
}
WEFT_API ssize_t __recvfrom_chk(int fd, void* buffer, std::size_t size, std::size_t capacity, int flags, sockaddr* from,
                                socklen_t* from_size) {
    return gate::open(family::io) && size <= capacity
               ? io::recvfrom(fd, buffer, size, flags, from, from_size)
               : real().__recvfrom_chk(fd, buffer, size, capacity, flags, from, from_size);
}
WEFT_API ssize_t recvmsg(int fd, msghdr* message, int flags) {
    return gate::open(family::io) ? io::recvmsg(fd, message, flags) : real().recvmsg(fd, message, flags);
}
WEFT_API ssize_t send(int fd, const void* buffer, std::size_t size, int flags) {
    return gate::open(family::io) ? io::sendto(fd, buffer, size, flags, nullptr, 0)
                                  : real().send(fd, buffer, size, flags);
}
WEFT_API ssize_t sendto(int fd, const void* buffer, std::size_t size, int flags, const sockaddr* to, socklen_t to_size) {
    return gate::open(family::io) ? io::sendto(fd, buffer, size, flags, to, to_size)
                                  : real().sendto(fd, buffer, size, flags, to, to_size);
}
WEFT_API ssize_t sendmsg(int fd, const msghdr* message, int flags) {
    return gate::open(family::io) ? io::sendmsg(fd, message, flags) : real().sendmsg(fd, message, flags);
}
WEFT_API int accept(int fd, sockaddr* address, socklen_t* size) {
    return fd::made(gate::open(family::io) ? io::accept4(fd, address, size, 0) : real().accept(fd, address, size));
}
WEFT_API int accept4(int fd, sockaddr* address, socklen_t* size, int flags) {
    return fd::made(gate::open(family::io) ? io::accept4(fd, address, size, flags)
                                           : real().accept4(fd, address, size, flags));
}
WEFT_API int connect(int fd, const sockaddr* address, socklen_t size) {
    return gate::open(family::io) ? io::connect(fd, address, size) : real().connect(fd, address, size);
}

// --- Descriptors begin, change and end: noted on every thread, also off fibers ---

WEFT_API int socket(int domain, int type, int protocol) noexcept {
    return fd::made(real().socket(domain, type, protocol));
}
WEFT_API int socketpair(int domain, int type, int protocol, int fds[2]) noexcept {
    return fd::made_pair(real().socketpair(domain, type, protocol, fds), fds);
}
WEFT_API int shutdown(int fd, int how) noexcept { return real().shutdown(fd, how); }
WEFT_API int setsockopt(int fd, int level, int name, const void* value, socklen_t size) noexcept {
    return fd::set_option(fd, level, name, value, size);
}
WEFT_API int close(int fd) { return fd::close(fd); }
WEFT_API int fclose(FILE* file) { return fd::close_file(file); }
WEFT_API int dup(int fd) noexcept { return fd::made(real().dup(fd)); }
WEFT_API int dup2(int from, int to) noexcept { return fd::replace(from, to, 0, false); }
WEFT_API int dup3(int from, int to, int flags) noexcept { return fd::replace(from, to, flags, true); }
WEFT_API int pipe(int fds[2]) noexcept { return fd::made_pair(real().pipe(fds), fds); }
WEFT_API int pipe2(int fds[2], int flags) noexcept { return fd::made_pair(real().pipe2(fds, flags), fds); }
WEFT_API int eventfd(unsigned value, int flags) noexcept { return fd::made(real().eventfd(value, flags)); }
WEFT_API int epoll_create1(int flags) noexcept { return fd::made(real().epoll_create1(flags)); }
// fcntl and ioctl take one argument of a register's size at the most.
WEFT_API int fcntl(int fd, int command, ...) {
    __builtin_va_list rest;
    __builtin_va_start(rest, command);
    void* argument = __builtin_va_arg(rest, void*);
    __builtin_va_end(rest);
    return fd::control(real().fcntl, fd, command, argument);
}
WEFT_API int fcntl64(int fd, int command, ...) {
    __builtin_va_list rest;
    __builtin_va_start(rest, command);
    void* argument = __builtin_va_arg(rest, void*);
    __builtin_va_end(rest);
    return fd::control(real().fcntl64, fd, command, argument);
}
WEFT_API int ioctl(int fd, unsigned long request, ...) noexcept {
    __builtin_va_list rest;
    __builtin_va_start(rest, request);
    void* argument = __builtin_va_arg(rest, void*);
    __builtin_va_end(rest);
    return real().ioctl(fd, request, argument);
}

} // extern "C"
