// SPDX-License-Identifier: Apache-2.0
#pragma once

// The event loop of a hub: the only place that knows libev. libev sees three things: the descriptor set (an epoll set of ours,
// level-triggered), a timerfd for the hub's next timer, and its async watcher, by which other kernel threads rouse the hub.

#include <cstdint>

struct ev_loop;

namespace weft::rt {

class hub;

class watcher {
public:
    /// Makes the loop. Throws std::system_error when the kernel has no descriptors left.
    explicit watcher(hub& owner);
    watcher(const watcher&) = delete;
    watcher& operator=(const watcher&) = delete;
    ~watcher();

    /// Waits in ev_run until a descriptor, the time `until` (steady clock, ns; never by default) or rouse().
    void block(std::int64_t until = never) noexcept;
    /// Ends the present or next block(). From any kernel thread, also from signal handlers.
    void rouse() noexcept;

    /// Before the owner says that it sleeps: from then on others may rouse it. After fork it makes the loop.
    void prepare() noexcept {
        if (loop_ == nullptr) remake();
    }
    /// The epoll set that holds the program's descriptors.
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

    void arm_timer(std::int64_t until) noexcept;
    void release() noexcept;
    void make();
    void remake() noexcept;

    hub& owner_;
    ev_loop* loop_ = nullptr;
    watchers* watchers_ = nullptr;
    int set_fd_ = -1;
    int timer_fd_ = -1;
    int wake_fd_ = -1;
    std::int64_t armed_for_ = never; // what timer_fd_ is set to
};

} // namespace weft::rt
