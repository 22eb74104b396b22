// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the shim knows of a descriptor number: what kind it is, and so how it can be used without waiting. Flags and time limits belong to
// the open file description, which others may share and change. One is private that this process made after the last child it began, has
// never duplicated and never passed on: what the kernel said of that once holds until a call of this process changes it. All others are asked
// for anew when a call is about to wait. (A debugger that takes descriptors by pidfd_getfd, and system calls made by instruction, go unseen.)

#include "core/setting.hpp"

#include <atomic>
#include <cstdint>

#include <sys/socket.h>

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
    name,     // a green thread's, in a file: what is written names it (threads/task_text.hpp)
};

class alignas(64) descriptor { // a cache line: with many descriptors it is a cold one each time
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
    [[nodiscard]] int low_water_mark(int fd) noexcept;
    /// Whether its open file description is non-blocking, whoever made it so.
    bool is_nonblocking(int fd) noexcept;
    /// SO_RCVTIMEO and SO_SNDTIMEO in nanoseconds; 0: none, or no socket.
    std::int64_t receive_timeout(int fd) noexcept;
    std::int64_t send_timeout(int fd) noexcept;
    /// Nobody else can change what the kernel said of it.
    [[nodiscard]] bool is_private() const noexcept;
    /// A receiving call on this stream took less than it asked for, begun when the descriptor's history was this. If that is all that was there
    /// (plain TCP, which nobody else's settings touch), a call that may wait has nothing to look for until the history goes on.
    void emptied(std::uint32_t history) noexcept {
        if (!urgent_) emptied_at_.store(history, std::memory_order_relaxed);
    }
    bool is_empty(int fd, std::uint32_t history) noexcept {
        return emptied_at_.load(std::memory_order_relaxed) == history && (history & 1) == 0 && is_private() && is_plain_tcp(fd);
    }
    /// A call with these flags receives from it. Urgent data that was taken leaves a mark at which others stop, of which nothing tells.
    static void receives(int fd, int flags) noexcept {
        if (__builtin_expect((flags & MSG_OOB) != 0, 0)) takes_urgent(fd);
    }
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
    /// It was given to another process, or may have been.
    static void passed_on(int fd) noexcept;
    /// A child begins, to which all that is open now belongs as well.
    static void child_begins() noexcept;
    /// This process has set an SO_RCVLOWAT.
    static void low_water_mark_set() noexcept;
    /// O_NONBLOCK, or an option of a socket, was changed by this process.
    static void changed(int fd) noexcept;

private:
    void reset() noexcept;
    static void takes_urgent(int fd) noexcept;
    void forget_settings() noexcept;
    bool is_plain_tcp(int fd) noexcept;
    template <class Ask>
    std::int64_t get(setting& s, Ask ask) noexcept {
        return is_private() ? s.get(ask) : ask();
    }

    fd_kind kind_ = fd_kind::unknown;
    bool made_here_ = false;       // not inherited through exec, nor passed in a message
    bool urgent_ = false;          // urgent data was taken
    int own_ = -1;
    std::atomic<std::uint32_t> emptied_at_{1}; // a history of which it is never said
    std::uint32_t private_in_ = 0; // the count of children when it was made; 0: not private
    setting nonblocking_, receive_us_, send_us_, low_water_mark_, plain_tcp_;
};

inline bool is_nonblocking(int fd) noexcept { return descriptor::of(fd).is_nonblocking(fd); }
inline std::int64_t receive_timeout(int fd) noexcept { return descriptor::of(fd).receive_timeout(fd); }
inline std::int64_t send_timeout(int fd) noexcept { return descriptor::of(fd).send_timeout(fd); }

/// How many children have begun, and one; also counted in vfork.S and syscall_entry.S.
extern "C" [[gnu::visibility("hidden")]] constinit std::atomic<std::uint32_t> weft_children_begun;

inline bool descriptor::is_private() const noexcept {
    return private_in_ == weft_children_begun.load(std::memory_order_relaxed);
}

} // namespace weft::shim
