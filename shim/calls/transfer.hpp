// SPDX-License-Identifier: Apache-2.0
#pragma once

// The loops of every call that moves bytes: attempt without blocking, wait, attempt again.

#include "calls/wait.hpp"
#include "core/real.hpp"

#include <algorithm>
#include <climits>

namespace weft::shim {

/// Input. `attempt()` is a call that does not block; `timeout_ns()` is asked once, before the first wait.
template <class Attempt, class Timeout>
ssize_t receive(int fd, descriptor& d, bool dont_wait, Timeout timeout_ns, Attempt attempt) noexcept {
    const errno_of_success success;
    deadline until;
    for (bool first = true;; first = false) {
        const ssize_t n = attempt();
        if (n >= 0) return success(n);
        if (errno != EAGAIN && errno != EWOULDBLOCK) return n;
        if (dont_wait || d.is_nonblocking(fd)) return fail(EAGAIN);
        if (first) until = after(timeout_ns());
        if (!await(fd, EPOLLIN, until, EAGAIN)) return -1;
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

/// Output: a blocking call on a stream returns when all is written, or with what was when it failed.
/// `attempt(done)` writes what is behind the first `done` bytes; `total()` is asked after a success only.
template <class Total, class Timeout, class Attempt>
ssize_t transmit(int fd, descriptor& d, Total total, Timeout timeout_ns, Attempt attempt) noexcept {
    const errno_of_success success;
    deadline until;
    bool asked = false;
    std::size_t done = 0;
    for (;;) {
        const ssize_t n = attempt(done);
        if (n >= 0) {
            done += static_cast<std::size_t>(n);
            if (n == 0 || done >= total() || d.is_nonblocking(fd)) return success(static_cast<ssize_t>(done));
            continue;
        }
        if (errno != EAGAIN && errno != EWOULDBLOCK) return done > 0 ? success(static_cast<ssize_t>(done)) : -1;
        if (d.is_nonblocking(fd)) return done > 0 ? success(static_cast<ssize_t>(done)) : fail(EAGAIN);
        if (!asked) until = after(timeout_ns());
        asked = true;
        if (!await(fd, EPOLLOUT, until, EAGAIN)) return done > 0 ? success(static_cast<ssize_t>(done)) : -1;
    }
}

inline long no_timeout() noexcept { return 0; }

} // namespace weft::shim
