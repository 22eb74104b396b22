// SPDX-License-Identifier: Apache-2.0
// read, write and their vector forms, on whatever the descriptor is.
#include "calls/io.hpp"

#include "calls/transfer.hpp"

#include <sys/uio.h>

namespace weft::shim::io {

namespace {

/// One read that does not block, on a descriptor that is no socket.
ssize_t read_nowait(int fd, descriptor& d, fd_kind& kind, const iovec* v, int count) noexcept {
    for (;;) {
        switch (kind) {
        case fd_kind::nowait: {
            const ssize_t n = ::preadv2(fd, v, count, -1, RWF_NOWAIT);
            if (n >= 0 || (errno != EOPNOTSUPP && errno != ESPIPE)) return n;
            kind = d.downgrade(fd);
            continue;
        }
        case fd_kind::reopened: return real().readv(d.own_fd(), v, count);
        case fd_kind::polled: {
            pollfd p{fd, POLLIN, 0};
            if (real().poll(&p, 1, 0) == 0) return fail(EAGAIN);
            return real().readv(fd, v, count);
        }
        default: return real().readv(fd, v, count);
        }
    }
}

ssize_t write_nowait(int fd, descriptor& d, fd_kind& kind, const iovec* v, int count) noexcept {
    for (;;) {
        switch (kind) {
        case fd_kind::nowait: {
            const ssize_t n = ::pwritev2(fd, v, count, -1, RWF_NOWAIT);
            if (n >= 0 || (errno != EOPNOTSUPP && errno != ESPIPE)) return n;
            kind = d.downgrade(fd);
            continue;
        }
        case fd_kind::reopened: return real().writev(d.own_fd(), v, count);
        case fd_kind::polled: {
            pollfd p{fd, POLLOUT, 0};
            if (real().poll(&p, 1, 0) == 0) return fail(EAGAIN);
            return real().writev(fd, v, count);
        }
        default: return real().writev(fd, v, count);
        }
    }
}

bool passes_through(fd_kind kind) noexcept { return kind == fd_kind::plain || kind == fd_kind::unknown; }

} // namespace

ssize_t read(int fd, void* buffer, std::size_t size) noexcept {
    descriptor& d = descriptor::of(fd);
    fd_kind kind = d.kind(fd);
    if (size == 0 || passes_through(kind)) return real().read(fd, buffer, size);
    if (kind == fd_kind::socket)
        return receive(fd, d, false, [&] { return d.receive_timeout(fd); },
                       [&] { return real().recv(fd, buffer, size, MSG_DONTWAIT); });
    const iovec one{buffer, size};
    return receive(fd, d, false, no_timeout, [&] { return read_nowait(fd, d, kind, &one, 1); });
}

ssize_t readv(int fd, const iovec* v, int count) noexcept {
    descriptor& d = descriptor::of(fd);
    fd_kind kind = d.kind(fd);
    if (passes_through(kind) || count <= 0) return real().readv(fd, v, count);
    if (kind == fd_kind::socket) {
        msghdr m{};
        m.msg_iov = const_cast<iovec*>(v);
        m.msg_iovlen = static_cast<std::size_t>(count);
        return receive(fd, d, false, [&] { return d.receive_timeout(fd); }, [&]() -> ssize_t {
            const ssize_t n = real().recvmsg(fd, &m, MSG_DONTWAIT);
            if (n >= 0) return n;
            if (errno == EMSGSIZE) return fail(EINVAL); // too many parts, in readv's words
            return errno == EAGAIN && total_of(v, m.msg_iovlen) == 0 ? 0 : -1;
        });
    }
    return receive(fd, d, false, no_timeout, [&] { return read_nowait(fd, d, kind, v, count); });
}

ssize_t write(int fd, const void* buffer, std::size_t size) noexcept {
    descriptor& d = descriptor::of(fd);
    fd_kind kind = d.kind(fd);
    if (size == 0 || passes_through(kind)) return real().write(fd, buffer, size);
    const auto* bytes = static_cast<const char*>(buffer);
    if (kind == fd_kind::socket)
        return transmit(fd, d, [=] { return size; }, [&] { return d.send_timeout(fd); }, [&](std::size_t done) {
            return real().send(fd, bytes + done, size - done, MSG_DONTWAIT);
        });
    return transmit(fd, d, [=] { return size; }, no_timeout, [&](std::size_t done) {
        const iovec rest{const_cast<char*>(bytes) + done, size - done};
        return write_nowait(fd, d, kind, &rest, 1);
    });
}

ssize_t writev(int fd, const iovec* v, int count) noexcept {
    descriptor& d = descriptor::of(fd);
    fd_kind kind = d.kind(fd);
    if (passes_through(kind) || count <= 0) return real().writev(fd, v, count);
    const auto parts = static_cast<std::size_t>(count);
    return transmit(fd, d, [=] { return total_of(v, parts); },
                    [&] { return kind == fd_kind::socket ? d.send_timeout(fd) : 0; },
                    [&](std::size_t done) -> ssize_t {
                        iovec_rest rest(v, parts, done);
                        if (kind != fd_kind::socket)
                            return write_nowait(fd, d, kind, rest.data(), static_cast<int>(rest.count()));
                        msghdr m{};
                        m.msg_iov = rest.data();
                        m.msg_iovlen = rest.count();
                        const ssize_t n = real().sendmsg(fd, &m, MSG_DONTWAIT);
                        return n < 0 && errno == EMSGSIZE && parts > IOV_MAX ? fail(EINVAL) : n;
                    });
}

} // namespace weft::shim::io
