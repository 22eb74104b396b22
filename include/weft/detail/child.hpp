// SPDX-License-Identifier: Apache-2.0
#pragma once

// A child process: how it is waited for, signalled and reaped. What `process` and `subprocess` share.

#include <weft/deadline.hpp>
#include <weft/detail/spinlock.hpp>
#include <weft/detail/waitable.hpp>
#include <weft/detail/waiter.hpp>
#include <weft/export.hpp>

#include <memory>
#include <optional>

#include <sys/types.h>

namespace weft::rt {

/// One child, from its start to its reaping. All calls from any thread. It is watched through a pidfd; SIGCHLD stays the program's.
/// A child that nobody has a handle to any more is reaped by a kernel thread of weft's that waits for it (orphans.cpp).
class WEFT_API child {
public:
    /// Takes over a child that was just made, and its pidfd; without one it opens one.
    static std::shared_ptr<child> adopt(pid_t pid, int pidfd = -1);

    child(const child&) = delete;
    child& operator=(const child&) = delete;

    [[nodiscard]] pid_t pid() const noexcept { return pid_; }
    /// The exit status, or the negative number of the signal that ended it; nothing while it runs. Throws std::system_error (ECHILD) if
    /// somebody else has taken the status and it cannot be found out, or in a process that is not its parent.
    std::optional<int> poll();
    /// Waits for its end. False: the deadline came first.
    bool wait(deadline d);
    /// Whether it has ended; never throws.
    bool ended() noexcept;
    /// False: it has ended. Throws std::system_error (EPERM, EINVAL).
    bool send_signal(int number);

    /// Its pidfd for as long as the object lives; -1 if it has ended, or there is none.
    class descriptor {
    public:
        explicit descriptor(child& of) noexcept;
        descriptor(const descriptor&) = delete;
        descriptor& operator=(const descriptor&) = delete;
        ~descriptor();
        [[nodiscard]] int get() const noexcept { return fd_; }

    private:
        child& of_;
        int fd_;
    };

    /// For wait and iwait. While the object lives a fiber of the caller's hub watches the child.
    static waitable as_waitable(const std::shared_ptr<child>& c);

private:
    child(pid_t pid, int pidfd) noexcept;
    ~child();
    static void retire(child* c) noexcept;
    static void reap_orphans() noexcept;
    static void serve_orphans() noexcept;
    bool look() noexcept; // under the lock: whether it has ended
    [[nodiscard]] bool is_ours() const noexcept;
    int unneeded_descriptor() noexcept; // under the lock: to be closed
    static void close(int fd) noexcept;

    const pid_t pid_;
    const unsigned generation_; // of forks
    child* next_orphan_ = nullptr;

    mutable spinlock lock_; // guards what follows
    bool ended_ = false;
    bool lost_ = false; // ended, and nobody knows how
    int code_ = 0;
    int pidfd_ = -1;
    int users_ = 0; // of the pidfd, which goes with the last one once the child has ended
    wait_list waiting_;
};

} // namespace weft::rt
