// SPDX-License-Identifier: Apache-2.0
#pragma once

// The loops of every call that moves bytes: attempt without blocking, wait, attempt again.

#include "calls/wait.hpp"
#include "core/real.hpp"

#include <algorithm>
#include <climits>
#include <type_traits>

namespace weft::shim {

/// Whether the receiving side of a socket is shut down.
bool receives_no_more(int fd) noexcept;

/// Whether a blocking call is known to have to wait. One that is to fail instead is left to find out what is there.
inline bool is_found_empty(int fd, descriptor& d, rt::fd_history history) noexcept {
    return d.is_empty(fd, history) && !d.shut && !d.is_nonblocking(fd) && rt::interruption_errno(false) == 0;
}

/// For input whose end a short result does not tell.
struct any_size {
    constexpr bool operator()(ssize_t) const noexcept { return false; }
};

/// Input. `attempt(MSG_DONTWAIT)` is a call that does not block, and `attempt(0)` one that may; a descriptor that is no socket is given
/// the former only. `timeout_ns(fd)` is asked once, before the first wait. `restarts`: SA_RESTART lets it go on if there is no such time-out.
/// `is_short(n)`: it asked for more than the n bytes that came, without flags, so of a stream nothing is left.
template <class Timeout, class Attempt, class Short = any_size>
ssize_t receive(int fd, descriptor& d, Timeout timeout_ns, Attempt attempt, bool restarts = true, Short is_short = {}) noexcept {
    const errno_of_success success;
    deadline until;
    for (bool first = true;; first = false) {
        const rt::fd_history history = rt::readiness::history(fd);
        ssize_t n = -1;
        // After a short result the next call would find nothing: it waits at once.
        if (std::is_same_v<Short, any_size> || !first || !is_found_empty(fd, d, history)) {
            n = attempt(MSG_DONTWAIT);
            if (n > 0 && is_short(n)) d.emptied(history);
            if (n >= 0) return success(n);
            if (errno != EAGAIN && errno != EWOULDBLOCK) return n;
        }
        if (first) {
            if (d.is_nonblocking(fd)) return fail(EAGAIN);
            until = after(timeout_ns(fd));
        }
        // A datagram socket that was shut down is readable, but has EAGAIN for who does not wait.
        if ((!first || d.shut) && d.kind(fd) == fd_kind::socket && (d.shut = receives_no_more(fd))) {
            n = attempt(0);
            return n >= 0 ? success(n) : n;
        }
        if (!await(fd, EPOLLIN, until, EAGAIN, restarts && until.is_never(), history)) return -1;
    }
}

/// Input from a stream until `target()` bytes are there, the end, an error, or the time is up: MSG_WAITALL and SO_RCVLOWAT.
/// `attempt(done)` reads behind the first `done` bytes without blocking; one that peeks always begins at the start.
template <class Target, class Attempt>
ssize_t receive_all(int fd, Target target, bool peek, Attempt attempt) noexcept {
    const errno_of_success success;
    deadline until;
    bool asked = false;
    std::size_t done = 0;
    for (;;) {
        const ssize_t n = attempt(peek ? 0 : done);
        if (n == 0) return success(static_cast<ssize_t>(done));
        if (n > 0) done = peek ? static_cast<std::size_t>(n) : done + static_cast<std::size_t>(n);
        else if (errno != EAGAIN && errno != EWOULDBLOCK) return done > 0 ? success(static_cast<ssize_t>(done)) : -1;
        if (n > 0 && (done >= target() || (peek && receives_no_more(fd)))) return success(static_cast<ssize_t>(done));
        if (!asked) {
            if (is_nonblocking(fd)) return done > 0 ? success(static_cast<ssize_t>(done)) : fail(EAGAIN);
            until = after(receive_timeout(fd));
            asked = true;
        }
        if (n > 0 && !peek) continue;
        if (!await(fd, EPOLLIN, until, EAGAIN, done == 0 && until.is_never())) return done > 0 ? success(static_cast<ssize_t>(done)) : -1;
    }
}

/// How many bytes an iovec array holds; call it once the kernel has read the array without EFAULT.
inline std::size_t total_of(const iovec* v, std::size_t count) noexcept {
    std::size_t total = 0;
    for (std::size_t i = 0; i < count; ++i) total += v[i].iov_len;
    return total;
}

/// What of an iovec array is behind its first `done` bytes; of a long rest only the beginning, which a stream does not notice.
/// Small, since it lies on the fiber's stack.
class iovec_rest {
public:
    iovec_rest(const iovec* v, std::size_t count, std::size_t done) noexcept : data_(v), count_(count) {
        if (done == 0) return;
        while (count > 0 && done >= v->iov_len) {
            done -= v->iov_len;
            ++v;
            --count;
        }
        count_ = std::min(count, most);
        std::copy_n(v, count_, parts_);
        if (count_ > 0) {
            parts_[0].iov_base = static_cast<char*>(parts_[0].iov_base) + done;
            parts_[0].iov_len -= done;
        }
        data_ = parts_;
    }
    iovec_rest(const iovec_rest&) = delete;
    iovec_rest& operator=(const iovec_rest&) = delete;
    [[nodiscard]] iovec* data() noexcept { return const_cast<iovec*>(data_); }
    [[nodiscard]] std::size_t count() const noexcept { return count_; }

private:
    static constexpr std::size_t most = 16;
    const iovec* data_;
    std::size_t count_;
    iovec parts_[most];
};

bool is_stream(int fd) noexcept;

/// Input from a socket. `attempt(done, flags)` receives behind the first `done` bytes, with these flags.
template <class Total, class Attempt>
ssize_t receive_socket(int fd, descriptor& d, int flags, Total total, Attempt attempt) noexcept {
    const bool all = (flags & MSG_WAITALL) != 0;
    const std::size_t mark = all ? SIZE_MAX : static_cast<std::size_t>(d.low_water_mark(fd));
    if (mark > 1 && is_stream(fd))
        return receive_all(fd, [&] { return std::min(total(), mark); }, (flags & MSG_PEEK) != 0,
                           [&](std::size_t done) { return attempt(done, (flags & ~MSG_WAITALL) | MSG_DONTWAIT); });
    const auto at_start = [&](int dont_wait) { return attempt(std::size_t{0}, flags | dont_wait); };
    if (flags != 0) return receive(fd, d, receive_timeout, at_start);
    return receive(fd, d, receive_timeout, at_start, true, [&](ssize_t n) { return static_cast<std::size_t>(n) < total(); });
}

/// Waits for room to write. A local socket's writer also wakes up to what no poll reports: its side was shut down by somebody else (so
/// it looks for itself, ever more rarely), or its peer left an error that the next attempt would not repeat.
class room {
public:
    room(int fd, bool is_socket) noexcept;
    /// As await.
    bool await(deadline until, bool restarts) noexcept;

private:
    int fd_;
    bool local_;
    std::chrono::milliseconds look_again_{10};
};

/// Output: a blocking call on a stream returns when all is written, or with what was when it failed.
/// `attempt(done)` writes what is behind the first `done` bytes; `total()` is asked after a success only.
template <class Total, class Attempt>
ssize_t transmit(int fd, descriptor& d, Total total, Attempt attempt) noexcept {
    const errno_of_success success;
    const bool is_socket = d.kind(fd) == fd_kind::socket;
    std::size_t done = 0;
    auto ended = [&](int error) {
        errno = error;
        return done > 0 ? success(static_cast<ssize_t>(done)) : -1;
    };
    // As far as it goes at once.
    auto advance = [&]() noexcept {
        const ssize_t n = attempt(done);
        if (n > 0) done += static_cast<std::size_t>(n);
        return n;
    };
    ssize_t n = advance();
    if (n == 0 || (n > 0 && done >= total())) return success(static_cast<ssize_t>(done));
    if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK) return -1;
    if (is_nonblocking(fd)) return ended(EAGAIN);
    const deadline until = after(is_socket ? send_timeout(fd) : 0);
    room here(fd, is_socket);
    for (;;) {
        if (n < 0) {
            if (errno != EAGAIN && errno != EWOULDBLOCK) return ended(errno);
            if (!here.await(until, done == 0 && until.is_never())) return ended(errno);
        }
        n = advance();
        if (n == 0 || (n > 0 && done >= total())) return success(static_cast<ssize_t>(done));
    }
}

inline std::int64_t no_timeout(int) noexcept { return 0; }

} // namespace weft::shim
