// SPDX-License-Identifier: Apache-2.0
#include "work/descriptors.hpp"

#include "core/parkable.hpp"
#include "core/readiness.hpp"
#include "core/scopes.hpp"
#include "core/sys.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <system_error>
#include <vector>

#include <sys/uio.h>
#include <unistd.h>

namespace weft::rt {

namespace {

/// How many are ready.
long ask(std::span<pollfd> wanted, const timespec* limit) {
    const long n = sys::call(SYS_ppoll, sys::arg(wanted.data()), static_cast<long>(wanted.size()), sys::arg(limit), 0, 8);
    if (n < 0 && n != -EINTR) throw std::system_error(static_cast<int>(-n), std::generic_category(), "poll");
    for (const pollfd& p : wanted)
        if (n > 0 && (p.revents & POLLNVAL) != 0) throw std::system_error(EBADF, std::generic_category(), "poll");
    return n;
}

/// A kernel thread without a hub: until one is ready, a signal, the deadline or the end of a scope around it.
void block(const parkable& self, std::span<pollfd> wanted, deadline d) {
    const deadline until = end_of_wait(self, d);
    if (until.is_never()) {
        ask(wanted, nullptr);
        return;
    }
    const std::int64_t left = until.remaining().count();
    const timespec limit{left / 1'000'000'000, left % 1'000'000'000};
    ask(wanted, &limit);
}

bool suspend(std::span<pollfd> wanted, deadline d) {
    std::vector<fd_interest> interests(wanted.size());
    std::size_t n = 0;
    for (const pollfd& p : wanted) {
        if (p.fd < 0) continue;
        interests[n].fd = p.fd;
        interests[n++].events = static_cast<std::uint32_t>(p.events); // EPOLLIN and POLLIN are the same number, and so on
    }
    const fd_wake woken = readiness::wait_any(std::span(interests).first(n), d, true);
    if (woken == fd_wake::failed) throw std::system_error(errno, std::generic_category(), "epoll");
    if (woken == fd_wake::cancelled) throw std::system_error(ECANCELED, std::generic_category(), "poll");
    return woken != fd_wake::deadline;
}

constexpr timespec at_once{0, 0};

/// SIGPIPE is for programs that write on their own.
class no_broken_pipe {
public:
    no_broken_pipe() noexcept {
        std::uint64_t waiting = 0;
        sys::call(SYS_rt_sigpending, sys::arg(&waiting), sizeof waiting);
        had_one_ = (waiting & mask) != 0;
        sys::call(SYS_rt_sigprocmask, SIG_BLOCK, sys::arg(&mask), sys::arg(&before_), sizeof before_);
    }
    no_broken_pipe(const no_broken_pipe&) = delete;
    no_broken_pipe& operator=(const no_broken_pipe&) = delete;
    ~no_broken_pipe() {
        if (came && !had_one_) sys::call(SYS_rt_sigtimedwait, sys::arg(&mask), 0, sys::arg(&at_once), sizeof mask);
        sys::call(SYS_rt_sigprocmask, SIG_SETMASK, sys::arg(&before_), 0, sizeof before_);
    }
    bool came = false;

private:
    static constexpr std::uint64_t mask = std::uint64_t{1} << (SIGPIPE - 1);
    std::uint64_t before_ = 0;
    bool had_one_ = false;
};

bool refused(long result) noexcept { return result == -EOPNOTSUPP || result == -ESPIPE || result == -ENOSYS; }

bool is_ready(int fd, short events) noexcept {
    pollfd p{fd, events, 0};
    return sys::call(SYS_poll, sys::arg(&p), 1, 0) > 0;
}

} // namespace

bool await_any(std::span<pollfd> wanted, deadline d) {
    const parkable& self = current_parkable();
    for (bool late = false;;) {
        interruption_point();
        if (ask(wanted, &at_once) > 0) return true;
        if (late || d.expired()) return false;
        if (!self.is_fiber()) block(self, wanted, d);
        else late = !suspend(wanted, d);
    }
}

bool await_one(int fd, short events, deadline d) {
    pollfd p{fd, events, 0};
    return await_any({&p, 1}, d);
}

long read_now(int fd, void* to, std::size_t size) noexcept {
    const iovec v{to, size};
    for (;;) {
        long n = sys::call(SYS_preadv2, fd, sys::arg(&v), 1, -1, -1, RWF_NOWAIT);
        if (refused(n)) n = is_ready(fd, POLLIN) ? sys::call(SYS_read, fd, sys::arg(to), static_cast<long>(size)) : -EAGAIN;
        if (n != -EINTR) return n;
    }
}

long write_now(int fd, const void* from, std::size_t size) noexcept {
    const iovec v{const_cast<void*>(from), size};
    no_broken_pipe broken;
    for (;;) {
        long n = sys::call(SYS_pwritev2, fd, sys::arg(&v), 1, -1, -1, RWF_NOWAIT);
        if (refused(n)) { // a pipe that is ready takes a page
            const auto most = static_cast<long>(std::min<std::size_t>(size, 4096));
            n = is_ready(fd, POLLOUT) ? sys::call(SYS_write, fd, sys::arg(from), most) : -EAGAIN;
        }
        broken.came = n == -EPIPE;
        if (n != -EINTR) return n;
    }
}

void close_awaited(int& fd) noexcept {
    if (fd < 0) return;
    readiness::closing(fd);
    ::close(fd); // libc's, so that a shim, too, knows that the number is free
    fd = -1;
}

} // namespace weft::rt
