// SPDX-License-Identifier: Apache-2.0
#pragma once

// What of a terminal's settings waits: for output to drain, for a break to end, for a modem line to change.

#include "calls/blocking.hpp"
#include "core/real.hpp"
#include "core/sys.hpp"

#include <sys/ioctl.h>
#include <termios.h>

namespace weft::shim::line {

/// Whether such a call may be made on a kernel thread: it is a terminal, and the process is in its foreground (the job control signal that
/// stops another belongs to the thread that calls).
inline bool is_ours(int fd) noexcept {
    int group = 0;
    if (rt::sys::call(SYS_ioctl, fd, TIOCGPGRP, rt::sys::arg(&group)) != 0) return descriptor::of(fd).kind(fd) != fd_kind::unknown;
    return group == rt::sys::call(SYS_getpgid, 0);
}

/// Whether something is still to be sent.
inline bool has_output(int fd) noexcept {
    int bytes = 0;
    return rt::sys::call(SYS_ioctl, fd, TIOCOUTQ, rt::sys::arg(&bytes)) == 0 && bytes > 0;
}

/// ioctl.
inline int control(int fd, unsigned long request, void* argument) noexcept {
    switch (request) {
    case TCSETSW:
    case TCSETSF:
    case TCSETAW:
    case TCSETAF:
        if (!has_output(fd)) break;
        [[fallthrough]];
    case TCSBRK:
    case TCSBRKP:
    case TIOCMIWAIT:
        if (is_ours(fd)) return blocking_call(true, [=]() noexcept { return real().ioctl(fd, request, argument); });
        break;
    default: break;
    }
    return real().ioctl(fd, request, argument);
}

inline int drain(int fd) noexcept {
    if (!has_output(fd) || !is_ours(fd)) return real().tcdrain(fd);
    return blocking_call(true, [=]() noexcept { return real().tcdrain(fd); });
}

inline int send_break(int fd, int duration) noexcept {
    if (!is_ours(fd)) return real().tcsendbreak(fd, duration);
    return blocking_call(true, [=]() noexcept { return real().tcsendbreak(fd, duration); });
}

inline int set_attributes(int fd, int when, const termios* settings) noexcept {
    if (when == TCSANOW || !has_output(fd) || !is_ours(fd)) return real().tcsetattr(fd, when, settings);
    return blocking_call(true, [=]() noexcept { return real().tcsetattr(fd, when, settings); });
}

} // namespace weft::shim::line
