// SPDX-License-Identifier: Apache-2.0
#pragma once

// How a fiber waits until a child has something to say. One child that must end has a pidfd, which the hub watches. What no descriptor
// tells of (any child, a group, stops) a kernel thread waits for, without taking it; fibers that wait for the same share that thread.

#include <csignal>
#include <cstdint>

#include <sys/types.h>
#include <sys/wait.h>

namespace weft::shim {

/// What is waited for, in waitid's words.
struct child_event {
    idtype_t type = P_ALL;
    id_t id = 0;
    int options = 0; // WEXITED, WSTOPPED, WCONTINUED and the __W flags

    bool operator==(const child_event&) const = default;
};

struct child_line;

/// One wait of the calling fiber. Whoever uses it looks for the child before and after each suspension, and looks once more
/// when it has nothing to wait for.
class child_watch {
public:
    explicit child_watch(const child_event& event) noexcept : event_(event) {}
    child_watch(const child_watch&) = delete;
    child_watch& operator=(const child_watch&) = delete;
    ~child_watch();

    /// Suspends the fiber until something may have happened, or it is interrupted.
    void suspend() noexcept;

    /// A child stopped for its tracer, which is this process: from now on a pidfd does not tell all.
    static void tracing() noexcept;
    /// In the child of a fork: the parent's descriptors and lines.
    static void after_fork() noexcept;

private:
    bool open_pidfd() noexcept;
    void on_descriptor() noexcept;
    void in_line() noexcept;
    void on_thread() noexcept;
    void nap() noexcept;

    const child_event event_;
    int fd_ = -1;
    int place_ = -1;            // in the table of pidfds
    bool tried_ = false;        // to make one
    child_line* line_ = nullptr;
    std::int64_t pause_ = 2'000'000; // ns, until the next look for what a pidfd is silent on
};

} // namespace weft::shim
