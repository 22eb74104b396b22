// SPDX-License-Identifier: Apache-2.0
#include <weft/io.hpp>

#include "core/parkable.hpp"
#include "core/readiness.hpp"
#include "core/scopes.hpp"
#include "core/sys.hpp"

#include <algorithm>
#include <cerrno>
#include <system_error>

#include <poll.h>
#include <sys/epoll.h>

namespace weft {

namespace {

[[noreturn]] void fail(int error, const char* what) { throw std::system_error(error, std::generic_category(), what); }

/// Asks the kernel. For how long, in milliseconds; -1: for ever.
bool ask(int fd, short events, int milliseconds, const char* what) {
    pollfd p{fd, events, 0};
    const long n = rt::sys::call(SYS_poll, rt::sys::arg(&p), 1, milliseconds);
    if (n < 0 && n != -EINTR) fail(static_cast<int>(-n), what);
    if (n > 0 && (p.revents & POLLNVAL) != 0) fail(EBADF, what);
    return n > 0;
}

/// A kernel thread without a hub.
bool block(const rt::parkable& self, int fd, short events, deadline d, const char* what) {
    for (;;) {
        rt::interruption_point();
        const deadline until = rt::end_of_wait(self, d);
        int milliseconds = -1;
        if (!until.is_never())
            milliseconds = static_cast<int>(std::min<std::int64_t>((until.remaining().count() + 999'999) / 1'000'000, 1'000'000));
        if (ask(fd, events, milliseconds, what)) return true;
        if (d.expired()) return false;
    }
}

bool wait(int fd, short events, deadline d, const char* what) {
    if (fd < 0) fail(EBADF, what);
    if (const rt::parkable& self = rt::current_parkable(); !self.is_fiber()) return block(self, fd, events, d, what);
    for (;;) {
        rt::interruption_point();
        if (ask(fd, events, 0, what)) return true;
        switch (rt::readiness::wait(fd, static_cast<std::uint32_t>(events), d, true)) {
        case rt::fd_wake::deadline: return ask(fd, events, 0, what);
        case rt::fd_wake::closed: fail(EBADF, what);
        case rt::fd_wake::cancelled: fail(ECANCELED, what);
        case rt::fd_wake::failed: fail(errno, what);
        case rt::fd_wake::ready:
        case rt::fd_wake::interrupted: break;
        }
    }
}

} // namespace

bool wait_readable(int fd, deadline d) { return wait(fd, POLLIN, d, "weft::wait_readable"); }

bool wait_writable(int fd, deadline d) { return wait(fd, POLLOUT, d, "weft::wait_writable"); }

void cancel_wait(int fd) noexcept { rt::readiness::cancel(fd); }

} // namespace weft
