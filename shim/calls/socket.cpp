// SPDX-License-Identifier: Apache-2.0
// recv, send, accept, connect and their kin.
#include "calls/io.hpp"

#include "calls/transfer.hpp"
#include "core/uring.hpp"

#include <cstring>

#include <sys/un.h>

namespace weft::shim::io {

namespace {

int socket_option(int fd, int option) noexcept {
    int value = 0;
    socklen_t size = sizeof value;
    return ::getsockopt(fd, SOL_SOCKET, option, &value, &size) == 0 ? value : -1;
}

bool is_stream(int fd) noexcept { return socket_option(fd, SO_TYPE) == SOCK_STREAM; }

/// Nothing more will come: what a MSG_WAITALL that found too little must know.
bool at_end(int fd) noexcept {
    pollfd p{fd, POLLRDHUP, 0};
    return real().poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

/// MSG_WAITALL on a stream: until the buffers are full, the end, an error, or the time is up.
/// `attempt(done)` reads behind the first `done` bytes; with MSG_PEEK it always begins at the start.
template <class Total, class Attempt>
ssize_t receive_all(int fd, descriptor& d, Total total, bool peek, Attempt attempt) noexcept {
    const errno_of_success success;
    const deadline until = after(d.receive_timeout(fd));
    std::size_t done = 0;
    for (;;) {
        const ssize_t n = attempt(peek ? 0 : done);
        if (n == 0) return success(static_cast<ssize_t>(done));
        if (n > 0) {
            done = peek ? static_cast<std::size_t>(n) : done + static_cast<std::size_t>(n);
            if (done >= total() || d.is_nonblocking(fd) || (peek && at_end(fd)))
                return success(static_cast<ssize_t>(done));
            if (!peek) continue;
        } else if ((errno != EAGAIN && errno != EWOULDBLOCK) || d.is_nonblocking(fd)) {
            return done > 0 ? success(static_cast<ssize_t>(done)) : -1;
        }
        if (!await(fd, EPOLLIN, until, EAGAIN)) return done > 0 ? success(static_cast<ssize_t>(done)) : -1;
    }
}

/// Whether the real call is as good: it will not wait, or cannot be served.
bool passes_through(descriptor& d, int fd, int flags) noexcept {
    return d.kind(fd) != fd_kind::socket || (flags & (MSG_DONTWAIT | MSG_ERRQUEUE)) != 0;
}

} // namespace

ssize_t recvfrom(int fd, void* buffer, std::size_t size, int flags, sockaddr* from, socklen_t* from_size) noexcept {
    descriptor& d = descriptor::of(fd);
    if (passes_through(d, fd, flags)) return real().recvfrom(fd, buffer, size, flags, from, from_size);
    if ((flags & MSG_WAITALL) != 0 && size > 0 && is_stream(fd))
        return receive_all(fd, d, [=] { return size; }, (flags & MSG_PEEK) != 0, [&](std::size_t done) {
            return real().recvfrom(fd, static_cast<char*>(buffer) + done, size - done,
                                   (flags & ~MSG_WAITALL) | MSG_DONTWAIT, from, from_size);
        });
    return receive(fd, d, false, [&] { return d.receive_timeout(fd); }, [&] {
        return real().recvfrom(fd, buffer, size, flags | MSG_DONTWAIT, from, from_size);
    });
}

ssize_t recvmsg(int fd, msghdr* message, int flags) noexcept {
    descriptor& d = descriptor::of(fd);
    if (message == nullptr || passes_through(d, fd, flags)) return real().recvmsg(fd, message, flags);
    if ((flags & MSG_WAITALL) != 0 && message->msg_iov != nullptr && message->msg_iovlen > 0 && is_stream(fd)) {
        bool first = true;
        return receive_all(fd, d, [&] { return total_of(message->msg_iov, message->msg_iovlen); },
                           (flags & MSG_PEEK) != 0, [&](std::size_t done) {
            iovec_rest rest(message->msg_iov, message->msg_iovlen, done);
            msghdr part = *message;
            part.msg_iov = rest.data();
            part.msg_iovlen = rest.count();
            if (!first) part.msg_control = nullptr, part.msg_controllen = 0;
            const ssize_t n = real().recvmsg(fd, &part, (flags & ~MSG_WAITALL) | MSG_DONTWAIT);
            if (n >= 0) {
                if (first) message->msg_controllen = part.msg_controllen;
                message->msg_namelen = part.msg_namelen;
                message->msg_flags = part.msg_flags;
                first = (flags & MSG_PEEK) != 0;
            }
            return n;
        });
    }
    return receive(fd, d, false, [&] { return d.receive_timeout(fd); },
                   [&] { return real().recvmsg(fd, message, flags | MSG_DONTWAIT); });
}

ssize_t sendto(int fd, const void* buffer, std::size_t size, int flags, const sockaddr* to,
               socklen_t to_size) noexcept {
    descriptor& d = descriptor::of(fd);
    if (passes_through(d, fd, flags)) return real().sendto(fd, buffer, size, flags, to, to_size);
    // A datagram goes whole or not at all, so only a stream comes back for the rest.
    return transmit(fd, d, [=] { return size; }, [&] { return d.send_timeout(fd); }, [&](std::size_t done) {
        return real().sendto(fd, static_cast<const char*>(buffer) + done, size - done, flags | MSG_DONTWAIT, to, to_size);
    });
}

ssize_t sendmsg(int fd, const msghdr* message, int flags) noexcept {
    descriptor& d = descriptor::of(fd);
    if (message == nullptr || passes_through(d, fd, flags)) return real().sendmsg(fd, message, flags);
    bool first = true;
    return transmit(fd, d, [=] { return total_of(message->msg_iov, message->msg_iovlen); },
                    [&] { return d.send_timeout(fd); }, [&](std::size_t done) {
        iovec_rest rest(message->msg_iov, message->msg_iovlen, done);
        msghdr part = *message;
        part.msg_iov = rest.data();
        part.msg_iovlen = rest.count();
        if (!first) part.msg_control = nullptr, part.msg_controllen = 0; // descriptors go with the first byte
        const ssize_t n = real().sendmsg(fd, &part, flags | MSG_DONTWAIT);
        if (n > 0) first = false;
        return n;
    });
}

namespace {

/// The one named exception of invariant 9, where io_uring cannot be used: O_NONBLOCK around the single system call.
template <class Call>
int with_nonblock(int fd, Call call) noexcept {
    const int flags = real().fcntl(fd, F_GETFL);
    if (flags < 0) return -1;
    real().fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    const int result = call();
    const int saved_errno = errno;
    real().fcntl(fd, F_SETFL, flags);
    errno = saved_errno;
    return result;
}

} // namespace

int accept4(int fd, sockaddr* address, socklen_t* size, int flags) noexcept {
    descriptor& d = descriptor::of(fd);
    if (d.kind(fd) != fd_kind::socket || d.is_nonblocking(fd)) return real().accept4(fd, address, size, flags);
    const errno_of_success success;
    const deadline until = after(d.receive_timeout(fd));
    for (;;) {
        int accepted = uring::accept_nowait(fd, address, size, flags);
        if (accepted < 0 && errno == ENOSYS)
            accepted = with_nonblock(fd, [&] { return real().accept4(fd, address, size, flags); });
        if (accepted >= 0) return success(accepted);
        if (errno != EAGAIN && errno != EWOULDBLOCK) return -1;
        if (d.is_nonblocking(fd)) return fail(EAGAIN);
        if (!await(fd, EPOLLIN, until, EAGAIN)) return -1;
    }
}

int connect(int fd, const sockaddr* address, socklen_t size) noexcept {
    descriptor& d = descriptor::of(fd);
    if (d.kind(fd) != fd_kind::socket || d.is_nonblocking(fd)) return real().connect(fd, address, size);
    const errno_of_success success;
    const deadline until = after(d.send_timeout(fd));
    constexpr auto first_pause = std::chrono::milliseconds(1);
    constexpr auto last_pause = std::chrono::milliseconds(20);
    for (auto pause = first_pause;; pause = std::min(pause * 2, last_pause)) {
        int result = uring::connect_nowait(fd, address, size);
        if (result < 0 && errno == ENOSYS)
            result = with_nonblock(fd, [&] { return real().connect(fd, address, size); });
        if (result == 0) return success(0);
        if (errno == EINPROGRESS || errno == EALREADY) break;
        // A local socket whose listener's queue is full says EAGAIN, and nothing tells when there is room again.
        if (errno != EAGAIN || socket_option(fd, SO_DOMAIN) != AF_UNIX) return -1;
        if (const int error = refused_wait(); error != 0) return fail(error);
        if (until.expired()) return fail(EAGAIN);
        rt::waiter w("room in a listener's queue");
        w.suspend(std::min(until, deadline(pause)));
    }
    for (;;) {
        if (!await(fd, EPOLLOUT, until, EINPROGRESS)) return -1;
        pollfd p{fd, POLLOUT, 0};
        if (real().poll(&p, 1, 0) > 0) break;
    }
    const int error = socket_option(fd, SO_ERROR);
    return error == 0 ? success(0) : fail(error < 0 ? errno : error);
}

} // namespace weft::shim::io
