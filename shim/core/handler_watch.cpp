// SPDX-License-Identifier: Apache-2.0
// Fibers that wait until a signal's handler has run: it says so through one eventfd of the process, which it may write to wherever it ran.
#include "core/signals.hpp"

#include "core/fork.hpp"
#include "core/private_fd.hpp"
#include "core/readiness.hpp"
#include "core/sys.hpp"
#include <weft/detail/spinlock.hpp>

#include <atomic>
#include <mutex>

#include <sys/epoll.h>
#include <sys/eventfd.h>

namespace weft::shim::signals {

namespace {

constinit std::atomic<std::uint64_t> returned{0}; // handlers of the process
constinit std::atomic<int> watchers{0};
constinit std::atomic<int> event{-1}; // readable for ever: only its edges count
constinit unsigned generation = 0;    // of the process that made it
constinit rt::spinlock making;

/// A child shares its parent's; it makes one of its own.
void make_event() noexcept {
    const std::lock_guard hold(making);
    int fd = event.load(std::memory_order_relaxed);
    if (generation != rt::fork_generation()) {
        rt::forget_private(fd);
        watchers.store(0, std::memory_order_relaxed);
        generation = rt::fork_generation();
    }
    if (fd < 0) {
        fd = rt::make_private(static_cast<int>(rt::sys::call(SYS_eventfd2, 0, EFD_CLOEXEC | EFD_NONBLOCK)));
        if (fd >= 0) rt::readiness::opened(fd);
    }
    event.store(fd < 0 ? -1 : fd, std::memory_order_relaxed);
}

} // namespace

void handler_watch_after_fork() noexcept { making.reset(); }

void handler_returned() noexcept {
    returned.fetch_add(1, std::memory_order_seq_cst);
    if (watchers.load(std::memory_order_seq_cst) == 0) return;
    const std::uint64_t one = 1;
    rt::sys::call(SYS_write, event.load(std::memory_order_relaxed), rt::sys::arg(&one), sizeof one);
}

handler_watch::handler_watch() noexcept {
    make_event();
    watchers.fetch_add(1, std::memory_order_seq_cst);
    seen_ = returned.load(std::memory_order_seq_cst);
}

handler_watch::~handler_watch() { watchers.fetch_sub(1, std::memory_order_relaxed); }

bool handler_watch::has_run() const noexcept { return returned.load(std::memory_order_seq_cst) != seen_; }

void handler_watch::await() noexcept {
    if (const int fd = event.load(std::memory_order_relaxed); fd >= 0) {
        rt::readiness::wait(fd, EPOLLIN, {});
        return;
    }
    rt::waiter w("a signal's handler"); // no descriptor left: look from time to time
    w.mark_external();
    w.suspend(deadline(std::chrono::milliseconds(5)));
}

} // namespace weft::shim::signals
