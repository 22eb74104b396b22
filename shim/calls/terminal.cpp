// SPDX-License-Identifier: Apache-2.0
#include "calls/terminal.hpp"

#include "calls/transfer.hpp"

#include <termios.h>

namespace weft::shim::io {

namespace {

/// When a raw read ends: `least` bytes are there, or `pause` (nanoseconds; 0: never) has gone by, since the call began if `least` is 0,
/// else since the last byte.
struct raw_rules {
    bool raw = false;
    std::size_t least = 0;
    std::int64_t pause = 0;

    explicit raw_rules(int fd) noexcept {
        termios t{};
        const int saved_errno = errno;
        const bool known = ::tcgetattr(fd, &t) == 0;
        errno = saved_errno;
        if (!known) return;
        raw = (t.c_lflag & ICANON) == 0;
        least = t.c_cc[VMIN];
        pause = t.c_cc[VTIME] * std::int64_t{100'000'000};
    }
};

} // namespace

ssize_t read_terminal(int fd, descriptor& d, const iovec* v, int count) noexcept {
    const raw_rules rules(fd);
    if (!rules.raw) return receive(fd, d, no_timeout, [&](int) { return real().readv(d.own_fd(), v, count); });
    const errno_of_success success;
    const auto parts = static_cast<std::size_t>(count);
    deadline until = rules.least == 0 ? after(rules.pause) : deadline();
    bool asked = false;
    std::size_t done = 0;
    for (;;) {
        iovec_rest rest(v, parts, done);
        const ssize_t n = real().readv(d.own_fd(), rest.data(), static_cast<int>(rest.count()));
        if (n < 0 && errno != EAGAIN) return done > 0 ? success(static_cast<ssize_t>(done)) : -1;
        if (n > 0) done += static_cast<std::size_t>(n);
        if (n == 0 || (n > 0 && done >= std::min(rules.least, total_of(v, parts)))) return success(static_cast<ssize_t>(done));
        if (!asked && is_nonblocking(fd)) return done > 0 ? success(static_cast<ssize_t>(done)) : fail(EAGAIN);
        asked = true;
        if (n > 0) {
            until = after(rules.pause);
            continue;
        }
        // Without VTIME poll reports no fewer than VMIN bytes, although we may lack less: look for the rest now and then.
        constexpr auto look_again = std::chrono::milliseconds(10);
        const bool look = rules.least > 0 && rules.pause == 0 && (done > 0 || total_of(v, parts) < rules.least);
        if (await(fd, EPOLLIN, look ? deadline(look_again) : until, EAGAIN, done == 0)) continue;
        if (errno == EAGAIN && look) continue;
        if (errno == EAGAIN || done > 0) return success(static_cast<ssize_t>(done));
        return -1;
    }
}

} // namespace weft::shim::io
