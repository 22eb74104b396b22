// SPDX-License-Identifier: Apache-2.0
// Children that nobody has a handle to any more. While there are such, a kernel thread waits for their ends and reaps them, so that they are
// no zombies for as long as the program lives, whatever its hubs do.
#include <weft/detail/child.hpp>

#include "core/carrier_thread.hpp"
#include "core/fork.hpp"
#include "core/own_thread.hpp"
#include "core/private_fd.hpp"
#include "core/registry.hpp"
#include "core/sys.hpp"
#include "core/thread_state.hpp"
#include "work/fork_lock.hpp"

#include <algorithm>
#include <cstdint>
#include <ctime>
#include <mutex>
#include <utility>
#include <vector>

#include <poll.h>
#include <sys/eventfd.h>

namespace weft::rt {

namespace {

constinit fork_lock orphans_lock; // guards what follows
constinit child* orphans = nullptr;
constinit bool has_reaper = false;
constinit unsigned reaper_generation = 0; // of forks: a parent's reaper is none
constinit int nudge_fd = -1;              // tells the reaper of more

/// Under the lock.
bool reaper_lives() noexcept { return has_reaper && reaper_generation == fork_generation(); }

} // namespace

/// The reaper: takes over what there is, and ends when it has none.
void child::serve_orphans() noexcept {
    std::vector<child*> mine;
    std::vector<pollfd> watched;
    for (;;) {
        std::erase_if(mine, [](child* c) { return c->ended() && (delete c, true); });
        {
            const std::lock_guard hold(orphans_lock);
            if (orphans == nullptr && mine.empty()) {
                has_reaper = false;
                return;
            }
            for (child* c = std::exchange(orphans, nullptr); c != nullptr; c = c->next_orphan_) mine.push_back(c);
            watched.assign(1, {nudge_fd, POLLIN, 0});
        }
        bool all_watched = nudge_fd >= 0;
        for (child* c : mine) {
            watched.push_back({c->pidfd_, POLLIN, 0});
            all_watched &= c->pidfd_ >= 0;
        }
        const timespec soon{0, 100'000'000};
        sys::call(SYS_ppoll, sys::arg(watched.data()), static_cast<long>(watched.size()), all_watched ? 0 : sys::arg(&soon), 0, 0);
        std::uint64_t nudges = 0;
        if (watched[0].revents != 0) sys::call(SYS_read, watched[0].fd, sys::arg(&nudges), sizeof nudges);
    }
}

void child::retire(child* c) noexcept {
    if (!c->is_ours() || c->ended()) {
        delete c;
        return;
    }
    int inherited = -1;
    orphans_lock.lock();
    c->next_orphan_ = std::exchange(orphans, c);
    const bool lives = reaper_lives();
    if (!lives) {
        if (reaper_generation != fork_generation()) inherited = std::exchange(nudge_fd, -1);
        if (nudge_fd < 0) nudge_fd = make_private(static_cast<int>(std::max(sys::call(SYS_eventfd2, 0, EFD_CLOEXEC | EFD_NONBLOCK), -1L)));
        has_reaper = true;
        reaper_generation = fork_generation();
    }
    const int nudged = nudge_fd;
    orphans_lock.unlock();
    forget_private(inherited);
    if (lives) {
        const std::uint64_t one = 1;
        sys::call(SYS_write, nudged, sys::arg(&one), sizeof one);
        return;
    }
    const bool started = make_own_thread([](void*) noexcept -> void* {
        const helper_thread counted;
        this_thread_state.inside = 1; // whatever it calls is libc's
        name_own_thread("weft-reaper");
        serve_orphans();
        return nullptr;
    }, nullptr);
    if (started) return;
    const std::lock_guard hold(orphans_lock); // then it is reaped when weft next deals with children
    has_reaper = false;
}

void child::reap_orphans() noexcept {
    orphans_lock.lock();
    child* all = reaper_lives() ? nullptr : std::exchange(orphans, nullptr);
    orphans_lock.unlock();
    while (all != nullptr) retire(std::exchange(all, all->next_orphan_)); // a parent's, too, after a fork
}

} // namespace weft::rt
