// SPDX-License-Identifier: Apache-2.0
// Waiting for epoll sets. The set is itself a descriptor that becomes readable; the hub watches it, and the fiber asks it without waiting.
#include "calls/poll.hpp"
#include "calls/wait_several.hpp"
#include "core/serve.hpp"

#include "core/private_fd.hpp"

#include <weft/export.hpp>

namespace weft::shim::polling {

namespace {

int epoll_until(int set, epoll_event* events, int most, deadline until, const sigset_t* mask) noexcept {
    auto ask = [&] { return real().epoll_wait(set, events, most, 0); };
    // `fresh`: a set may have been closed where we do not see it, and its number be another's by now.
    return wait_for(1, until, mask, true, ask, [&](interest_list& list, bool) { list.add(set, EPOLLIN); });
}

deadline after_milliseconds(int timeout) noexcept {
    return timeout < 0 ? deadline() : deadline(std::chrono::milliseconds(timeout));
}

} // namespace

int epoll_wait(int set, epoll_event* events, int most, int timeout) noexcept {
    return epoll_until(set, events, most, after_milliseconds(timeout), nullptr);
}

int epoll_pwait(int set, epoll_event* events, int most, int timeout, const sigset_t* mask) noexcept {
    return epoll_until(set, events, most, after_milliseconds(timeout), mask);
}

int epoll_pwait2(int set, epoll_event* events, int most, const timespec* timeout, const sigset_t* mask) noexcept {
    deadline until;
    if (!read_timeout(timeout, until)) return -1;
    return epoll_until(set, events, most, until, mask);
}

int epoll_ctl(int set, int operation, int fd, epoll_event* event) noexcept {
    if (rt::is_private(set) || rt::is_private(fd)) return fail(EBADF);
    const int saved_errno = errno;
    const int result = real().epoll_ctl(set, operation, fd, event);
    if (result == 0 || operation != EPOLL_CTL_ADD || (errno != ELOOP && errno != EINVAL)) return result;
    // The kernel limits how deep sets are nested and in how many ways one reaches a file, and the hubs' sets count.
    rt::readiness::let_go();
    errno = saved_errno;
    return real().epoll_ctl(set, operation, fd, event);
}

} // namespace weft::shim::polling

using weft::shim::call;
using weft::shim::serve;
namespace polling = weft::shim::polling;

extern "C" {

WEFT_API int epoll_wait(int set, epoll_event* events, int most, int timeout) {
    return serve<call::epoll_wait>(polling::epoll_wait, set, events, most, timeout);
}
WEFT_API int epoll_pwait(int set, epoll_event* events, int most, int timeout, const sigset_t* mask) {
    return serve<call::epoll_pwait>(polling::epoll_pwait, set, events, most, timeout, mask);
}
WEFT_API int epoll_pwait2(int set, epoll_event* events, int most, const timespec* timeout, const sigset_t* mask) {
    return serve<call::epoll_pwait2>(polling::epoll_pwait2, set, events, most, timeout, mask);
}
WEFT_API int epoll_ctl(int set, int operation, int fd, epoll_event* event) noexcept {
    return serve<call::epoll_ctl>(polling::epoll_ctl, set, operation, fd, event);
}

} // extern "C"
