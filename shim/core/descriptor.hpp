// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the shim knows of a descriptor number: what kind it is, whether the program made it non-blocking, how long its socket
// waits. Everything can be asked of the kernel again; the record only saves asking.

#include <cstdint>

namespace weft::shim {

enum class fd_kind : std::uint8_t {
    unknown,  // not seen yet
    socket,
    nowait,   // pipe, eventfd, timerfd …: RWF_NOWAIT works on it
    reopened, // FIFO, tty, older pipes: used through a non-blocking description of our own
    polled,   // nothing else works: wait until it is ready, then the real call
    plain,    // regular file, directory, block device, /dev/null: never waits
};

class descriptor {
public:
    /// The record of a number; never fails (numbers past the table share one that knows nothing).
    static descriptor& of(int fd) noexcept;
    /// The kind, found out on first sight. A number that is no descriptor stays unknown.
    fd_kind kind(int fd) noexcept;
    /// RWF_NOWAIT was refused: the next best way.
    fd_kind downgrade(int fd) noexcept;
    /// Our own non-blocking description of it (kind reopened).
    [[nodiscard]] int own_fd() const noexcept { return own_; }
    /// Whether its open file description is non-blocking, as the program (or another process) set it.
    bool is_nonblocking(int fd) noexcept;
    /// SO_RCVTIMEO and SO_SNDTIMEO in nanoseconds; 0: none.
    std::int64_t receive_timeout(int fd) noexcept;
    std::int64_t send_timeout(int fd) noexcept;
    /// The number begins a new life, made by this process.
    static void opened(int fd) noexcept;
    /// It is about to be closed: waiters get EBADF.
    static void closing(int fd) noexcept;

private:
    void look(int fd) noexcept;
    bool current() const noexcept;
    void reset() noexcept;

    fd_kind kind_ = fd_kind::unknown;
    bool nonblocking_ = false;
    std::uint32_t seen_ = 0;  // the settings below are of this count of changes; 0: never looked
    std::uint32_t born_ = 0;  // the count of forks when this process made it, plus one; 0: inherited or passed
    int own_ = -1;
    std::int64_t receive_timeout_ = 0;
    std::int64_t send_timeout_ = 0;
};

/// Some description's flags or timeouts were changed (dups share them, so by number nobody can tell whose).
void settings_changed() noexcept;
void descriptors_after_fork() noexcept;

} // namespace weft::shim
