// SPDX-License-Identifier: Apache-2.0
// read, write and their vector forms, on whatever the descriptor is.
#include "calls/io.hpp"

#include "calls/attempt.hpp"
#include "calls/terminal.hpp"
#include "calls/transfer.hpp"
#include "core/socket_attempt.hpp"

#include <sys/uio.h>

namespace weft::shim::io {

namespace {

bool passes_through(fd_kind kind) noexcept {
    if (kind != fd_kind::plain && kind != fd_kind::unknown) return false;
    stats::never_waits();
    return true;
}

ssize_t write_empty_name(int fd) noexcept {
    const iovec nothing{};
    return task_text::write_name(fd, &nothing, 1);
}

/// Input from anything but a socket.
ssize_t receive_vector(int fd, descriptor& d, fd_kind kind, const iovec* v, int count) noexcept {
    if (kind == fd_kind::terminal) return read_terminal(fd, d, v, count);
    return receive(fd, d, no_timeout, [&](int) { return read_nowait(fd, d, kind, v, count); });
}

} // namespace

ssize_t read(int fd, void* buffer, std::size_t size) noexcept {
    descriptor& d = descriptor::of(fd);
    const fd_kind kind = d.kind(fd);
    if (size == 0 || passes_through(kind)) return real().read(fd, buffer, size);
    if (kind == fd_kind::socket) return recvfrom(fd, buffer, size, 0, nullptr, nullptr);
    const iovec one{buffer, size};
    return receive_vector(fd, d, kind, &one, 1);
}

ssize_t readv(int fd, const iovec* v, int count) noexcept {
    descriptor& d = descriptor::of(fd);
    const fd_kind kind = d.kind(fd);
    if (passes_through(kind) || count <= 0) return real().readv(fd, v, count);
    if (kind != fd_kind::socket) return receive_vector(fd, d, kind, v, count);
    const auto parts = static_cast<std::size_t>(count);
    return receive_socket(fd, d, 0, [=] { return total_of(v, parts); }, [=](std::size_t done, int flags) -> ssize_t {
        iovec_rest rest(v, parts, done);
        msghdr m{};
        m.msg_iov = rest.data();
        m.msg_iovlen = rest.count();
        const ssize_t n = attempt::recvmsg(fd, &m, flags);
        if (n >= 0) return n;
        if (errno == EMSGSIZE) return fail(EINVAL); // too many parts, in readv's words
        return errno == EAGAIN && total_of(v, parts) == 0 ? 0 : -1;
    });
}

ssize_t write(int fd, const void* buffer, std::size_t size) noexcept {
    descriptor& d = descriptor::of(fd);
    fd_kind kind = d.kind(fd);
    if (size == 0 || passes_through(kind)) return kind == fd_kind::name ? write_empty_name(fd) : real().write(fd, buffer, size);
    if (kind == fd_kind::socket) return sendto(fd, buffer, size, 0, nullptr, 0);
    const auto* bytes = static_cast<const char*>(buffer);
    return transmit(fd, d, [=] { return size; }, [&](std::size_t done) {
        const iovec rest{const_cast<char*>(bytes) + done, size - done};
        return write_nowait(fd, d, kind, &rest, 1);
    });
}

ssize_t writev(int fd, const iovec* v, int count) noexcept {
    descriptor& d = descriptor::of(fd);
    fd_kind kind = d.kind(fd);
    if (passes_through(kind) || count <= 0) return real().writev(fd, v, count);
    const auto parts = static_cast<std::size_t>(count);
    return transmit(fd, d, [=] { return total_of(v, parts); }, [&](std::size_t done) -> ssize_t {
        iovec_rest rest(v, parts, done);
        if (kind != fd_kind::socket) return write_nowait(fd, d, kind, rest.data(), static_cast<int>(rest.count()));
        msghdr m{};
        m.msg_iov = rest.data();
        m.msg_iovlen = rest.count();
        const ssize_t n = attempt::sendmsg(fd, &m, MSG_DONTWAIT);
        return n < 0 && errno == EMSGSIZE && parts > IOV_MAX ? fail(EINVAL) : n;
    });
}

} // namespace weft::shim::io
