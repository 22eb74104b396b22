// SPDX-License-Identifier: Apache-2.0
#pragma once

// One attempt to read or write a descriptor that is no socket, without waiting, in the way its kind allows.

#include "calls/blocking.hpp"
#include "core/real.hpp"
#include "threads/task_text.hpp"

namespace weft::shim {

/// A call that will not wait unless another was faster.
template <class F>
ssize_t handed_over(int fd, F call) noexcept {
    if (is_nonblocking(fd) || rt::interruption_errno(false) != 0) return call();
    return blocking_call(true, call);
}

/// `kind` is the descriptor's, and changed with it where the first way is refused.
inline ssize_t read_nowait(int fd, descriptor& d, fd_kind& kind, const iovec* v, int count) noexcept {
    for (;;) {
        switch (kind) {
        case fd_kind::nowait: {
            const ssize_t n = real().preadv2(fd, v, count, -1, RWF_NOWAIT);
            if (n >= 0 || (errno != EOPNOTSUPP && errno != ESPIPE)) return n;
            kind = d.downgrade(fd);
            continue;
        }
        case fd_kind::reopened:
        case fd_kind::terminal: return real().readv(d.own_fd(), v, count);
        case fd_kind::polled: {
            pollfd p{fd, POLLIN, 0};
            if (real().poll(&p, 1, 0) == 0) return fail(EAGAIN);
            return real().readv(fd, v, count);
        }
        case fd_kind::handed: {
            pollfd p{fd, POLLIN, 0};
            if (real().poll(&p, 1, 0) == 0) return fail(EAGAIN);
            return handed_over(fd, [=]() noexcept { return real().readv(fd, v, count); });
        }
        default: return real().readv(fd, v, count);
        }
    }
}

inline ssize_t write_nowait(int fd, descriptor& d, fd_kind& kind, const iovec* v, int count) noexcept {
    for (;;) {
        switch (kind) {
        case fd_kind::nowait: {
            const ssize_t n = real().pwritev2(fd, v, count, -1, RWF_NOWAIT);
            if (n >= 0 || (errno != EOPNOTSUPP && errno != ESPIPE)) return n;
            kind = d.downgrade(fd);
            continue;
        }
        case fd_kind::reopened:
        case fd_kind::terminal: return real().writev(d.own_fd(), v, count);
        case fd_kind::polled: {
            pollfd p{fd, POLLOUT, 0};
            if (real().poll(&p, 1, 0) == 0) return fail(EAGAIN);
            return real().writev(fd, v, count);
        }
        case fd_kind::handed: {
            pollfd p{fd, POLLOUT, 0};
            if (real().poll(&p, 1, 0) == 0) return fail(EAGAIN);
            return handed_over(fd, [=]() noexcept { return real().writev(fd, v, count); });
        }
        case fd_kind::name: return task_text::write_name(fd, v, count);
        default: return real().writev(fd, v, count);
        }
    }
}

} // namespace weft::shim
