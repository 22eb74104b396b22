// SPDX-License-Identifier: Apache-2.0
#include "calls/fd.hpp"

#include "calls/blocking.hpp"
#include "core/private_fd.hpp"
#include "core/real.hpp"
#include "core/sys.hpp"
#include "core/trap.hpp"

#include <algorithm>
#include <climits>
#include <cstring>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/resource.h>

namespace weft::shim::fd {

namespace {

// <linux/close_range.h> and newer headers have them.
constexpr unsigned unshare = 1U << 1, only_mark = 1U << 2;
constexpr int scm_pidfd = 4;

bool weft_calls() noexcept { return rt::this_thread_state.inside > 0 && !rt::in_vforked_child(); }

/// Whether closing it may wait for what was sent (SO_LINGER), on a fiber, where others would have to wait too.
bool closes_slowly(int fd) noexcept {
    if (!gate::open(family::io) || descriptor::of(fd).kind(fd) != fd_kind::socket) return false;
    linger wanted{};
    socklen_t size = sizeof wanted;
    return rt::sys::call(SYS_getsockopt, fd, SOL_SOCKET, SO_LINGER, rt::sys::arg(&wanted), rt::sys::arg(&size)) == 0 &&
           wanted.l_onoff != 0 && wanted.l_linger > 0;
}

/// A close is never refused, whatever happens to the fiber; what interrupts it only ends the wait.
template <class F>
int close_by(bool slowly, F call) noexcept {
    if (!slowly) return call();
    const errno_of_success success;
    const signals::wait signals;
    const int result = rt::on_kernel_thread(call);
    return result >= 0 ? success(result) : result;
}

} // namespace

int made(int fd) noexcept {
    if (fd < 0) return fd;
    if (weft_calls()) return rt::make_private(fd); // libev's own: out of the program's way
    descriptor::opened(fd);
    return fd;
}

int made_pair(int result, const int fds[2]) noexcept {
    if (result != 0 || weft_calls()) return result;
    descriptor::opened(fds[0]);
    descriptor::opened(fds[1]);
    return result;
}

int close(int fd) {
    const trap::untrapped here;
    if (weft_calls()) {
        if (!rt::is_private(fd)) return real().close(fd);
        rt::forget_private(fd);
        return 0;
    }
    if (rt::is_private(fd)) return fail(EBADF);
    const bool slowly = closes_slowly(fd);
    descriptor::closing(fd);
    if (!slowly) return real().close(fd); // where a kernel thread may be cancelled, hence unwound
    return close_by(true, [=]() noexcept { return real().close(fd); });
}

int replace(int from, int to, int flags, bool with_flags) noexcept {
    const trap::untrapped here;
    if (rt::is_private(to) && !weft_calls()) return fail(EBADF);
    const bool valid = from != to && from >= 0 && to >= 0 && real().fcntl(from, F_GETFD) >= 0;
    const bool slowly = valid && closes_slowly(to);
    if (valid) descriptor::closing(to);
    const int result = close_by(slowly, [=]() noexcept { return with_flags ? real().dup3(from, to, flags) : real().dup2(from, to); });
    if (valid && result >= 0) descriptor::duplicated(from, to);
    return result;
}

namespace {

/// Whether `descriptor` remembers the option.
bool is_remembered(int level, int name) noexcept {
    if (level == IPPROTO_TCP) return name == TCP_ULP;
    if (level != SOL_SOCKET) return false;
    switch (name) {
    case SO_RCVLOWAT:
    case SO_RCVTIMEO_OLD:
    case SO_RCVTIMEO_NEW:
    case SO_SNDTIMEO_OLD:
    case SO_SNDTIMEO_NEW: return true;
    default: return false;
    }
}

} // namespace

int set_option(int fd, int level, int name, const void* value, socklen_t size) noexcept {
    const int result = real().setsockopt(fd, level, name, value, size);
    if (result == 0 && level == SOL_SOCKET && name == SO_RCVLOWAT) descriptor::low_water_mark_set();
    if (is_remembered(level, name)) descriptor::changed(fd);
    return result;
}

int received(int fd) noexcept {
    if (!weft_calls()) descriptor::received(fd);
    return fd;
}

int duplicated(int original, int fd) noexcept {
    if (weft_calls()) return made(fd);
    descriptor::duplicated(original, fd);
    return fd;
}

int controlled(int result, int fd, int command) noexcept {
    if ((command == F_DUPFD || command == F_DUPFD_CLOEXEC) && result >= 0) duplicated(fd, result);
    else if (command == F_SETFL) descriptor::changed(fd);
    return result;
}

int line_controlled(int result, int fd, unsigned long request) noexcept {
    if (request == FIONBIO) descriptor::changed(fd);
    return result;
}

namespace {

/// Calls `note` for each descriptor in a message that the kernel has accepted.
template <class F>
void for_each_descriptor(const msghdr* message, F note) noexcept {
    if (message->msg_control == nullptr || message->msg_controllen < sizeof(cmsghdr)) return;
    for (cmsghdr* c = CMSG_FIRSTHDR(message); c != nullptr; c = CMSG_NXTHDR(const_cast<msghdr*>(message), c)) {
        if (c->cmsg_level != SOL_SOCKET || (c->cmsg_type != SCM_RIGHTS && c->cmsg_type != scm_pidfd)) continue;
        const std::size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (std::size_t i = 0; i < count; ++i) {
            int fd = -1;
            std::memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
            note(fd);
        }
    }
}

} // namespace

ssize_t brought(ssize_t result, const msghdr* message) noexcept {
    if (result >= 0) for_each_descriptor(message, [](int fd) noexcept { received(fd); });
    return result;
}

ssize_t took(ssize_t result, const msghdr* message) noexcept {
    if (result >= 0) for_each_descriptor(message, [](int fd) noexcept { descriptor::passed_on(fd); });
    return result;
}

namespace {

/// close_range, from one of our own to the next.
int close_between(unsigned first, unsigned last, int flags) noexcept {
    while (first <= last) {
        const auto next = static_cast<unsigned>(rt::next_private(static_cast<int>(std::min<unsigned>(first, INT_MAX))));
        if (next != first) {
            const unsigned end = std::min(last, next == INT_MAX ? last : next - 1);
            if (real().close_range(first, end, flags) != 0) return -1;
            flags &= ~static_cast<int>(unshare); // the table is the thread's own by now
            if (end == last) return 0;
        } else if (next == last) {
            return 0;
        }
        first = next + 1;
    }
    return 0;
}

} // namespace

int close_range(unsigned first, unsigned last, int flags) noexcept {
    const trap::untrapped here;
    const auto known = static_cast<unsigned>(flags);
    if (weft_calls() || first > last || (known & ~(unshare | only_mark)) != 0 || (known & only_mark) != 0)
        return real().close_range(first, last, flags);
    descriptor::closing(static_cast<int>(std::min<unsigned>(first, INT_MAX)), static_cast<int>(std::min<unsigned>(last, INT_MAX)));
    return close_between(first, last, flags);
}

void closefrom(int first) noexcept {
    const int saved_errno = errno;
    if (first < 0) first = 0;
    if (close_range(static_cast<unsigned>(first), ~0U, 0) != 0) { // an old kernel
        rlimit limit{};
        ::getrlimit(RLIMIT_NOFILE, &limit);
        for (rlim_t fd = static_cast<rlim_t>(first); fd < limit.rlim_cur && fd < INT_MAX; ++fd) fd::close(static_cast<int>(fd));
    }
    errno = saved_errno;
}

} // namespace weft::shim::fd
