// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the shim knows of a descriptor number: what kind it is, and so how it can be used without waiting. Flags and time limits belong to
// the open file description, which other processes may share and change: they are asked for anew when a call is about to wait.

#include <cstdint>

namespace weft::shim {

enum class fd_kind : std::uint8_t {
    unknown,  // not seen yet
    socket,
    nowait,   // pipe, eventfd, timerfd …: RWF_NOWAIT works on it
    reopened, // FIFO, older pipes: used through a non-blocking description of our own
    terminal, // the same, but its settings say when a read ends
    polled,   // nothing else works: wait until it is ready, then the real call
    handed,   // the same, but a kernel thread makes it, lest another reader was faster
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
    /// Our own non-blocking description of it (kinds reopened and terminal).
    [[nodiscard]] int own_fd() const noexcept { return own_; }
    /// Bytes a receiving call on this stream socket waits for (SO_RCVLOWAT). Asked of the kernel only where it may be more than 1.
    [[nodiscard]] int low_water_mark(int fd) const noexcept;
    /// Nothing more will be received, but the kernel says so to calls that may wait only (see receive).
    bool shut = false;

    /// The number begins a new life, made by this process.
    static void opened(int fd) noexcept;
    /// It is about to be closed: waiters get EBADF.
    static void closing(int fd) noexcept;
    /// The same for all from `first` to `last`.
    static void closing(int first, int last) noexcept;
    /// The number begins a new life as another name of `original`.
    static void duplicated(int original, int fd) noexcept;
    /// The number begins a new life; what is behind it comes from elsewhere.
    static void received(int fd) noexcept;
    /// This process has set an SO_RCVLOWAT.
    static void low_water_mark_set() noexcept;

private:
    void reset() noexcept;

    fd_kind kind_ = fd_kind::unknown;
    bool made_here_ = false; // not inherited through exec, nor passed in a message
    int own_ = -1;
};

/// Whether its open file description is non-blocking, whoever made it so.
bool is_nonblocking(int fd) noexcept;
/// SO_RCVTIMEO and SO_SNDTIMEO in nanoseconds; 0: none, or no socket.
std::int64_t receive_timeout(int fd) noexcept;
std::int64_t send_timeout(int fd) noexcept;

} // namespace weft::shim
