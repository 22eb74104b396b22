// SPDX-License-Identifier: Apache-2.0
// recv, send, accept, connect and their kin.
#include "calls/io.hpp"

#include "calls/transfer.hpp"
#include "core/socket_attempt.hpp"
#include "core/uring.hpp"

#include <utility>

#include <sys/un.h>

namespace weft::shim {

namespace {

int socket_option(int fd, int option) noexcept {
    int value = 0;
    socklen_t size = sizeof value;
    return ::getsockopt(fd, SOL_SOCKET, option, &value, &size) == 0 ? value : -1;
}

} // namespace

bool is_stream(int fd) noexcept { return socket_option(fd, SO_TYPE) == SOCK_STREAM; }

bool receives_no_more(int fd) noexcept {
    pollfd p{fd, POLLRDHUP, 0};
    const int saved_errno = errno;
    const bool ended = real().poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
    errno = saved_errno;
    return ended;
}

room::room(int fd, bool is_socket) noexcept : fd_(fd), local_(is_socket && socket_option(fd, SO_DOMAIN) == AF_UNIX) {}

bool room::await(deadline until, bool restarts) noexcept {
    if (!local_) return shim::await(fd_, EPOLLOUT, until, EAGAIN, restarts);
    constexpr auto most = std::chrono::milliseconds(250);
    const deadline look(std::exchange(look_again_, std::min(look_again_ * 2, most)));
    const bool last = until.time() <= look.time();
    if (!shim::await(fd_, EPOLLOUT, last ? until : look, EAGAIN, restarts)) return errno == EAGAIN && !last;
    pollfd p{fd_, POLLOUT, 0};
    if (real().poll(&p, 1, 0) <= 0 || (p.revents & POLLERR) == 0) return true;
    const int error = socket_option(fd_, SO_ERROR);
    if (error == 0) return true;
    errno = error;
    return false;
}

namespace io {

namespace {

/// Whether the real call is as good: it will not wait, or cannot be served.
bool passes_through(descriptor& d, int fd, int flags) noexcept {
    if (d.kind(fd) == fd_kind::socket && (flags & (MSG_DONTWAIT | MSG_ERRQUEUE)) == 0) return false;
    stats::never_waits();
    return true;
}

} // namespace

ssize_t recvfrom(int fd, void* buffer, std::size_t size, int flags, sockaddr* from, socklen_t* from_size) noexcept {
    descriptor::receives(fd, flags);
    descriptor& d = descriptor::of(fd);
    if (passes_through(d, fd, flags)) return real().recvfrom(fd, buffer, size, flags, from, from_size);
    return receive_socket(fd, d, flags, [=] { return size; }, [=](std::size_t done, int how) {
        return attempt::recvfrom(fd, static_cast<char*>(buffer) + done, size - done, how, from, from_size);
    });
}

ssize_t recvmsg(int fd, msghdr* message, int flags) noexcept {
    descriptor::receives(fd, flags);
    descriptor& d = descriptor::of(fd);
    if (message == nullptr || passes_through(d, fd, flags)) return real().recvmsg(fd, message, flags);
    auto total = [=] { return total_of(message->msg_iov, message->msg_iovlen); };
    return receive_socket(fd, d, flags, total, [=](std::size_t done, int how) {
        if (done == 0) return attempt::recvmsg(fd, message, how);
        iovec_rest rest(message->msg_iov, message->msg_iovlen, done);
        msghdr part = *message;
        part.msg_iov = rest.data();
        part.msg_iovlen = rest.count();
        part.msg_control = nullptr; // it came with the first byte
        part.msg_controllen = 0;
        const ssize_t n = attempt::recvmsg(fd, &part, how);
        if (n >= 0) message->msg_flags |= part.msg_flags;
        return n;
    });
}

ssize_t sendto(int fd, const void* buffer, std::size_t size, int flags, const sockaddr* to,
               socklen_t to_size) noexcept {
    descriptor& d = descriptor::of(fd);
    if (passes_through(d, fd, flags)) return real().sendto(fd, buffer, size, flags, to, to_size);
    // A datagram goes whole or not at all, so only a stream comes back for the rest.
    return transmit(fd, d, [=] { return size; }, [=](std::size_t done) {
        return attempt::sendto(fd, static_cast<const char*>(buffer) + done, size - done, flags | MSG_DONTWAIT, to, to_size);
    });
}

ssize_t sendmsg(int fd, const msghdr* message, int flags) noexcept {
    descriptor& d = descriptor::of(fd);
    if (message == nullptr || passes_through(d, fd, flags)) return real().sendmsg(fd, message, flags);
    bool first = true;
    return transmit(fd, d, [=] { return total_of(message->msg_iov, message->msg_iovlen); }, [&](std::size_t done) {
        iovec_rest rest(message->msg_iov, message->msg_iovlen, done);
        msghdr part = *message;
        part.msg_iov = rest.data();
        part.msg_iovlen = rest.count();
        if (!first) part.msg_control = nullptr, part.msg_controllen = 0; // descriptors go with the first byte
        const ssize_t n = attempt::sendmsg(fd, &part, flags | MSG_DONTWAIT);
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
    descriptor::changed(fd); // for who asked meanwhile
    errno = saved_errno;
    return result;
}

} // namespace

int accept4(int fd, sockaddr* address, socklen_t* size, int flags) noexcept {
    descriptor& d = descriptor::of(fd);
    if (d.kind(fd) != fd_kind::socket || is_nonblocking(fd)) return real().accept4(fd, address, size, flags);
    const errno_of_success success;
    const deadline until = after(receive_timeout(fd));
    for (;;) {
        int accepted = uring::accept_nowait(fd, address, size, flags);
        if (accepted < 0 && errno == ENOSYS)
            accepted = with_nonblock(fd, [&] { return real().accept4(fd, address, size, flags); });
        if (accepted >= 0) return success(accepted);
        if (errno != EAGAIN && errno != EWOULDBLOCK) return -1;
        if (!await(fd, EPOLLIN, until, EAGAIN, until.is_never())) return -1;
    }
}

int connect(int fd, const sockaddr* address, socklen_t size) noexcept {
    descriptor& d = descriptor::of(fd);
    if (d.kind(fd) != fd_kind::socket || is_nonblocking(fd)) return real().connect(fd, address, size);
    const errno_of_success success;
    const deadline until = after(send_timeout(fd));
    constexpr auto first_pause = std::chrono::milliseconds(1);
    constexpr auto last_pause = std::chrono::milliseconds(20);
    const bool local = socket_option(fd, SO_DOMAIN) == AF_UNIX;
    for (auto pause = first_pause;; pause = std::min(pause * 2, last_pause)) {
        // io_uring would wait for room in a local listener's queue.
        int result = local ? fail(ENOSYS) : uring::connect_nowait(fd, address, size);
        if (result < 0 && errno == ENOSYS)
            result = with_nonblock(fd, [&] { return real().connect(fd, address, size); });
        if (result == 0) return success(0);
        if (errno == EINPROGRESS || errno == EALREADY) break;
        // A local socket whose listener's queue is full says EAGAIN, and nothing tells when there is room again.
        if (errno != EAGAIN || !local) return -1;
        if (const int error = refused_wait(); error != 0) return fail(error);
        if (until.expired()) return fail(EAGAIN);
        signals::wait signals;
        rt::waiter w("room in a listener's queue");
        w.suspend(std::min(until, deadline(pause)));
        if (signals.interrupted(until.is_never())) return fail(EINTR);
    }
    const int unfinished = errno;
    for (;;) {
        if (!await(fd, EPOLLOUT, until, unfinished, until.is_never())) return -1;
        pollfd p{fd, POLLOUT, 0};
        if (real().poll(&p, 1, 0) > 0) break;
    }
    const int error = socket_option(fd, SO_ERROR);
    return error == 0 ? success(0) : fail(error < 0 ? errno : error);
}

} // namespace io

} // namespace weft::shim
