// SPDX-License-Identifier: Apache-2.0
#include "calls/wait.hpp"

namespace weft::shim {

int refused_wait() noexcept {
    const int error = rt::interruption_errno(true);
    if (error == 0) return 0;
    rt::yield_quietly(); // a library that retries for ever must not hold the hub
    return error;
}

bool await(int fd, std::uint32_t events, deadline d, int timeout_errno) noexcept {
    if (const int error = refused_wait(); error != 0) {
        errno = error;
        return false;
    }
    const int saved_errno = errno;
    switch (rt::readiness::wait(fd, events, d)) {
    case rt::fd_wake::ready: errno = saved_errno; return true;
    case rt::fd_wake::deadline: errno = timeout_errno; return false;
    case rt::fd_wake::closed: errno = EBADF; return false;
    case rt::fd_wake::failed: return false;
    case rt::fd_wake::interrupted: break;
    }
    const int error = rt::interruption_errno(true);
    errno = error == 0 ? saved_errno : error;
    return error == 0;
}

} // namespace weft::shim
