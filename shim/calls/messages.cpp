// SPDX-License-Identifier: Apache-2.0
#include "calls/messages.hpp"

#include "calls/io.hpp"
#include "calls/transfer.hpp"

#include <utility>

namespace weft::shim::messages {

namespace {

/// recvmmsg's time limit is looked at after each message only: a call that waits for its first one never ends by it.
class time_limit {
public:
    explicit time_limit(timespec* caller) noexcept : caller_(caller) {
        if (caller != nullptr) until_ = deadline(std::chrono::seconds(caller->tv_sec) + std::chrono::nanoseconds(caller->tv_nsec));
    }
    /// Says in the caller's words what is left; true: nothing.
    [[nodiscard]] bool reached() noexcept {
        if (caller_ == nullptr) return false;
        const auto left = std::max(until_.remaining(), std::chrono::nanoseconds(0)).count();
        *caller_ = {left / 1'000'000'000, left % 1'000'000'000};
        return left == 0;
    }

private:
    timespec* caller_;
    deadline until_;
};

bool has_error(int fd) noexcept {
    pollfd p{fd, 0, 0};
    return real().poll(&p, 1, 0) > 0 && (p.revents & POLLERR) != 0;
}

/// Messages of a stream, or such as are waited for whole: one by one.
bool goes_singly(int fd, int flags) noexcept { return (flags & MSG_WAITALL) != 0 || is_stream(fd); }

} // namespace

int recvmmsg(int fd, mmsghdr* messages, unsigned count, int flags, timespec* timeout) noexcept {
    descriptor::receives(fd, flags);
    descriptor& d = descriptor::of(fd);
    timespec first_timeout{};
    if (timeout != nullptr && !copy_from_caller(&first_timeout, timeout, sizeof first_timeout)) return -1;
    const bool valid = first_timeout.tv_sec >= 0 && first_timeout.tv_nsec >= 0 && first_timeout.tv_nsec < 1'000'000'000;
    if (d.kind(fd) != fd_kind::socket || (flags & (MSG_DONTWAIT | MSG_ERRQUEUE)) != 0 || count == 0 || !valid || is_nonblocking(fd))
        return real().recvmmsg(fd, messages, count, flags, timeout);
    const errno_of_success success;
    time_limit limit(timeout);
    const bool singly = goes_singly(fd, flags);
    unsigned done = 0;
    while (done < count) {
        // After the first message an error does not end the call, but is left to the next one; a signal does, whatever its handler wants.
        if (done > 0 && has_error(fd)) break;
        const bool rest_at_once = done > 0 && (flags & MSG_WAITFORONE) != 0;
        const int how = (flags & ~MSG_WAITFORONE) | (rest_at_once ? MSG_DONTWAIT : 0);
        const unsigned most = singly || timeout != nullptr ? 1 : count - done; // the kernel looks at the clock after each
        ssize_t n = 0;
        if (rest_at_once) {
            n = real().recvmmsg(fd, messages + done, most, how, nullptr);
        } else if (singly) {
            n = io::recvmsg(fd, &messages[done].msg_hdr, how);
            if (n >= 0) messages[done].msg_len = static_cast<unsigned>(std::exchange(n, 1));
        } else {
            n = receive(fd, d, receive_timeout, [&](int dont_wait) -> ssize_t {
                return real().recvmmsg(fd, messages + done, most, how | dont_wait, nullptr);
            }, done == 0);
        }
        if (n <= 0) break;
        done += static_cast<unsigned>(n);
        if (limit.reached() || (messages[done - 1].msg_hdr.msg_flags & MSG_OOB) != 0) break;
    }
    return done > 0 ? success(static_cast<int>(done)) : -1;
}

int sendmmsg(int fd, mmsghdr* messages, unsigned count, int flags) noexcept {
    descriptor& d = descriptor::of(fd);
    if (d.kind(fd) != fd_kind::socket || (flags & MSG_DONTWAIT) != 0 || count == 0 || is_nonblocking(fd))
        return real().sendmmsg(fd, messages, count, flags);
    const errno_of_success success;
    count = std::min<unsigned>(count, IOV_MAX);
    const bool singly = goes_singly(fd, flags);
    unsigned done = 0;
    while (done < count) {
        if (singly) {
            const ssize_t n = io::sendmsg(fd, &messages[done].msg_hdr, flags);
            if (n < 0) break;
            messages[done].msg_len = static_cast<unsigned>(n);
            ++done;
            const msghdr& m = messages[done - 1].msg_hdr;
            if (static_cast<std::size_t>(n) < total_of(m.msg_iov, m.msg_iovlen)) break;
            continue;
        }
        const ssize_t n = transmit(fd, d, [=] { return std::size_t{0}; }, [&](std::size_t) -> ssize_t {
            return real().sendmmsg(fd, messages + done, count - done, flags | MSG_DONTWAIT);
        });
        if (n <= 0) break;
        done += static_cast<unsigned>(n);
    }
    return done > 0 ? success(static_cast<int>(done)) : -1;
}

} // namespace weft::shim::messages
