// SPDX-License-Identifier: Apache-2.0
#pragma once

// Locks on files. The kernel alone knows when one is free, so a wait is a kernel thread's. That thread may take the lock: record locks
// belong to the process, the others to the open file description. Each is tried here first; the attempt does to a lock that is held
// already what the waiting call would do.

#include "calls/blocking.hpp"
#include "core/real.hpp"
#include "threads/addressed.hpp"

#include <sys/file.h>

namespace weft::shim::file_lock {

/// `attempt()` fails with EAGAIN or EACCES where `call()` would wait.
template <class Attempt, class F>
int attempt_or_wait(Attempt attempt, F call) noexcept {
    const int saved_errno = errno;
    const int result = attempt();
    if (result == 0 || (errno != EAGAIN && errno != EACCES)) return result;
    errno = saved_errno;
    return blocking_call(true, call);
}

inline int flock(int fd, int operation) noexcept {
    if (operation != LOCK_SH && operation != LOCK_EX) return real().flock(fd, operation);
    return attempt_or_wait([=] { return real().flock(fd, operation | LOCK_NB); }, [=]() noexcept { return real().flock(fd, operation); });
}

/// fcntl.
inline int control(int fd, int command, void* argument) noexcept {
    if (addressed::is_about_owner(command)) return addressed::control_owner(fd, command, argument);
    if (command != F_SETLKW && command != F_OFD_SETLKW) return real().fcntl(fd, command, argument);
    return attempt_or_wait([=] { return real().fcntl(fd, command == F_SETLKW ? F_SETLK : F_OFD_SETLK, argument); },
                           [=]() noexcept { return real().fcntl(fd, command, argument); });
}

inline int lockf(int fd, int command, off64_t size) noexcept {
    if (command != F_LOCK) return real().lockf64(fd, command, size);
    return attempt_or_wait([=] { return real().lockf64(fd, F_TLOCK, size); },
                           [=]() noexcept { return real().lockf64(fd, command, size); });
}

} // namespace weft::shim::file_lock
