// SPDX-License-Identifier: Apache-2.0
// The exported names of the io family: stubs only, the policy is behind them.
#include "calls/fd.hpp"
#include "calls/file_lock.hpp"
#include "calls/io.hpp"
#include "calls/line.hpp"
#include "core/serve.hpp"

#include <weft/export.hpp>

using weft::shim::call;
using weft::shim::real;
using weft::shim::serve;
namespace io = weft::shim::io;
namespace fd = weft::shim::fd;
namespace file_lock = weft::shim::file_lock;
namespace line = weft::shim::line;

extern "C" {

WEFT_API ssize_t read(int fd, void* buffer, std::size_t size) { return serve<call::read>(io::read, fd, buffer, size); }
WEFT_API ssize_t __read_chk(int fd, void* buffer, std::size_t size, std::size_t capacity) {
    if (size > capacity) return real().__read_chk(fd, buffer, size, capacity);
    return read(fd, buffer, size);
}
WEFT_API ssize_t readv(int fd, const iovec* v, int count) { return serve<call::readv>(io::readv, fd, v, count); }
WEFT_API ssize_t write(int fd, const void* buffer, std::size_t size) {
    return serve<call::write>(io::write, fd, buffer, size);
}
WEFT_API ssize_t writev(int fd, const iovec* v, int count) { return serve<call::writev>(io::writev, fd, v, count); }
WEFT_API ssize_t recv(int fd, void* buffer, std::size_t size, int flags) {
    weft::shim::descriptor::receives(fd, flags);
    return serve<call::recv>(io::recv, fd, buffer, size, flags);
}
WEFT_API ssize_t __recv_chk(int fd, void* buffer, std::size_t size, std::size_t capacity, int flags) {
    if (size > capacity) return real().__recv_chk(fd, buffer, size, capacity, flags);
    return recv(fd, buffer, size, flags);
}
WEFT_API ssize_t recvfrom(int fd, void* buffer, std::size_t size, int flags, sockaddr* from, socklen_t* from_size) {
    weft::shim::descriptor::receives(fd, flags);
    return serve<call::recvfrom>(io::recvfrom, fd, buffer, size, flags, from, from_size);
}
WEFT_API ssize_t __recvfrom_chk(int fd, void* buffer, std::size_t size, std::size_t capacity, int flags, sockaddr* from,
                                socklen_t* from_size) {
    if (size > capacity) return real().__recvfrom_chk(fd, buffer, size, capacity, flags, from, from_size);
    return recvfrom(fd, buffer, size, flags, from, from_size);
}
WEFT_API ssize_t recvmsg(int fd, msghdr* message, int flags) {
    weft::shim::descriptor::receives(fd, flags);
    return fd::brought(serve<call::recvmsg>(io::recvmsg, fd, message, flags), message);
}
WEFT_API ssize_t send(int fd, const void* buffer, std::size_t size, int flags) {
    return serve<call::send>(io::send, fd, buffer, size, flags);
}
WEFT_API ssize_t sendto(int fd, const void* buffer, std::size_t size, int flags, const sockaddr* to, socklen_t to_size) {
    return serve<call::sendto>(io::sendto, fd, buffer, size, flags, to, to_size);
}
WEFT_API ssize_t sendmsg(int fd, const msghdr* message, int flags) {
    return fd::took(serve<call::sendmsg>(io::sendmsg, fd, message, flags), message);
}
WEFT_API int accept(int fd, sockaddr* address, socklen_t* size) {
    return fd::made(serve<call::accept>(io::accept, fd, address, size));
}
WEFT_API int accept4(int fd, sockaddr* address, socklen_t* size, int flags) {
    return fd::made(serve<call::accept4>(io::accept4, fd, address, size, flags));
}
WEFT_API int connect(int fd, const sockaddr* address, socklen_t size) {
    return serve<call::connect>(io::connect, fd, address, size);
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
WEFT_API int close(int fd) { return weft::shim::at_point<call::close>([fd]() { return fd::close(fd); }); }
WEFT_API int dup(int fd) noexcept { return fd::duplicated(fd, real().dup(fd)); }
WEFT_API int dup2(int from, int to) noexcept { return fd::replace(from, to, 0, false); }
WEFT_API int dup3(int from, int to, int flags) noexcept { return fd::replace(from, to, flags, true); }
WEFT_API int pipe(int fds[2]) noexcept { return fd::made_pair(real().pipe(fds), fds); }
WEFT_API int pipe2(int fds[2], int flags) noexcept { return fd::made_pair(real().pipe2(fds, flags), fds); }
WEFT_API int eventfd(unsigned value, int flags) noexcept { return fd::made(real().eventfd(value, flags)); }
WEFT_API int epoll_create(int size) noexcept { return fd::made(real().epoll_create(size)); }
WEFT_API int epoll_create1(int flags) noexcept { return fd::made(real().epoll_create1(flags)); }
// fcntl and ioctl take one argument of a register's size at the most.
WEFT_API int fcntl(int fd, int command, ...) {
    __builtin_va_list rest;
    __builtin_va_start(rest, command);
    void* argument = __builtin_va_arg(rest, void*);
    __builtin_va_end(rest);
    return fd::controlled(serve<call::fcntl>(file_lock::control, fd, command, argument), fd, command);
}
WEFT_API int fcntl64(int fd, int command, ...) {
    __builtin_va_list rest;
    __builtin_va_start(rest, command);
    void* argument = __builtin_va_arg(rest, void*);
    __builtin_va_end(rest);
    return fd::controlled(serve<call::fcntl64>(file_lock::control, fd, command, argument), fd, command);
}
WEFT_API int ioctl(int fd, unsigned long request, ...) noexcept {
    __builtin_va_list rest;
    __builtin_va_start(rest, request);
    void* argument = __builtin_va_arg(rest, void*);
    __builtin_va_end(rest);
    return fd::line_controlled(serve<call::ioctl>(line::control, fd, request, argument), fd, request);
}

} // extern "C"
