// SPDX-License-Identifier: Apache-2.0
#pragma once

// The event loop of a hub: the only place that knows libev, and where a hub blocks. One epoll set has everything: the program's descriptors,
// a timerfd for the hub's next timer and an eventfd, by which other kernel threads rouse the hub. libev's watchers are for the last two; the
// set stands where libev would have a set of its own, whose events it is fed. (A set within libev's costs a second system call each
// time, and the kernel a detour at each event: a tenth of a small request.)

#include <cstdint>

struct ev_loop;

namespace weft::rt {

class watcher {
public:
    /// Makes the loop. Throws std::system_error when the kernel has no descriptors left.
    watcher();
    watcher(const watcher&) = delete;
    watcher& operator=(const watcher&) = delete;
    ~watcher();

    /// Waits until a descriptor, the time `until` (steady clock, ns; never by default) or rouse(), and takes what has come.
    void block(std::int64_t until = never) noexcept;
    /// Takes what has come, without waiting.
    void look() noexcept;
    /// Ends the present or next block(). From any kernel thread, also from signal handlers.
    void rouse() noexcept;

    /// Before the owner says that it sleeps: from then on others may rouse it. After fork it makes the loop.
    void prepare() noexcept {
        if (loop_ == nullptr) remake();
    }
    /// The epoll set.
    [[nodiscard]] int descriptor_set() noexcept {
        if (set_fd_ < 0) remake();
        return set_fd_;
    }
    /// For good.
    void close() noexcept { release(); }
    /// In the child of fork: drops the parent's loop; a fresh one is made when it is first needed (most children exec).
    void abandon_after_fork() noexcept { release(); }

    static constexpr std::int64_t never = INT64_MAX;

private:
    struct watchers; // libev's, whose types only the source knows

    void take_events(int timeout) noexcept;
    void feed(int fd) noexcept;
    void arm_timer(std::int64_t until) noexcept;
    void release() noexcept;
    void make();
    void remake() noexcept;

    ev_loop* loop_ = nullptr;
    watchers* watchers_ = nullptr;
    int set_fd_ = -1;
    int timer_fd_ = -1;
    int wake_fd_ = -1;
    std::int64_t armed_for_ = never; // what timer_fd_ is set to
};

} // namespace weft::rt
