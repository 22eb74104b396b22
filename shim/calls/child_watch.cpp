// SPDX-License-Identifier: Apache-2.0
#include "calls/child_watch.hpp"

#include "calls/wait.hpp"
#include "core/real.hpp"

#include "core/fork.hpp"
#include "core/private_fd.hpp"
#include "core/sys.hpp"
#include "work/kernel_call.hpp"

#include <weft/detail/spinlock.hpp>
#include <weft/detail/waiter.hpp>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <utility>

namespace weft::shim {

namespace {

constexpr int most_pidfds = 4096;
constexpr std::int64_t longest_nap = 20'000'000;

// The pidfds of waits that are going on (0: a free place): the child of a fork closes them.
constinit std::atomic<int> pidfds[most_pidfds];
constinit std::atomic<unsigned> next_place{0};
constinit std::atomic<bool> traces{false};

int take_place(int fd) noexcept {
    const unsigned start = next_place.fetch_add(1, std::memory_order_relaxed);
    for (unsigned i = 0; i < most_pidfds; ++i) {
        const unsigned at = (start + i) % most_pidfds;
        int none = 0;
        if (pidfds[at].compare_exchange_strong(none, fd, std::memory_order_relaxed)) return static_cast<int>(at);
    }
    return -1;
}

} // namespace

/// Fibers that wait for the same. One of them leads: a kernel thread waits on its behalf. The others are in the list. While somebody is
/// in the list either somebody leads, or one of those who do not sleep will: whoever leaves without a leader wakes the next.
struct child_line {
    child_event event;
    int users = 0;
    bool led = false;
    rt::wait_list followers;
};

namespace {

constexpr int most_lines = 64;
constinit rt::spinlock lines_lock; // guards what follows
constinit child_line lines[most_lines];

child_line* join_line(const child_event& e) noexcept {
    const std::lock_guard hold(lines_lock);
    child_line* unused = nullptr;
    for (child_line& l : lines) {
        if (l.users == 0) {
            if (unused == nullptr) unused = &l;
        } else if (l.event == e) {
            ++l.users;
            return &l;
        }
    }
    if (unused == nullptr) return nullptr;
    unused->event = e;
    unused->users = 1;
    return unused;
}

} // namespace

void child_watch::tracing() noexcept { traces.store(true, std::memory_order_relaxed); }

void child_watch::after_fork() noexcept {
    for (std::atomic<int>& p : pidfds)
        if (p.load(std::memory_order_relaxed) != 0)
            if (int fd = p.exchange(0, std::memory_order_relaxed); fd != 0) rt::forget_private(fd);
    lines_lock.reset();
    for (child_line& l : lines) {
        l.users = 0;
        l.led = false;
        l.followers.forget();
    }
}

child_watch::~child_watch() {
    if (fd_ >= 0) {
        rt::readiness::closing(fd_);
        rt::forget_private(fd_);
        pidfds[place_].store(0, std::memory_order_relaxed);
    }
    if (line_ != nullptr) {
        const std::lock_guard hold(lines_lock);
        --line_->users;
        if (!line_->led) line_->followers.wake_one();
    }
}

/// Only where there is room high up: the program may need every number below.
bool child_watch::open_pidfd() noexcept {
    if (std::exchange(tried_, true)) return fd_ >= 0;
    const int from = static_cast<int>(event_.id);
    const long opened = event_.type == P_PIDFD ? rt::sys::call(SYS_fcntl, from, F_DUPFD_CLOEXEC, 0)
                                               : rt::sys::call(SYS_pidfd_open, from, 0);
    if (opened < 0) return false;
    int fd = rt::make_private(static_cast<int>(opened));
    place_ = fd == opened ? -1 : take_place(fd);
    if (place_ < 0) {
        rt::forget_private(fd);
        return false;
    }
    rt::readiness::opened(fd);
    fd_ = fd;
    return true;
}

void child_watch::suspend() noexcept {
    const bool must_end = (event_.options & (WEXITED | WSTOPPED | WCONTINUED)) == WEXITED;
    if ((event_.options & __WNOTHREAD) != 0) nap(); // another kernel thread has no such child
    else if (must_end && (event_.type == P_PID || event_.type == P_PIDFD) && !traces.load(std::memory_order_relaxed) &&
             open_pidfd())
        on_descriptor();
    else
        in_line();
}

/// A pidfd is silent where a child stops for its tracer. No process is known to be a tracer before it has seen that once, so there is a
/// look every now and then, ever more rarely.
void child_watch::on_descriptor() noexcept {
    const rt::fd_wake woken = rt::readiness::wait(fd_, EPOLLIN, deadline(std::chrono::nanoseconds(pause_)));
    if (woken == rt::fd_wake::deadline) pause_ = std::min<std::int64_t>(pause_ * 2, std::int64_t{3600} * 1'000'000'000);
    if (woken == rt::fd_wake::failed || woken == rt::fd_wake::closed) nap();
}

void child_watch::in_line() noexcept {
    if (line_ == nullptr) line_ = join_line(event_);
    if (line_ == nullptr) {
        on_thread();
        return;
    }
    rt::waiter w("a child");
    w.mark_external();
    lines_lock.lock();
    if (!line_->led) {
        line_->led = true;
        lines_lock.unlock();
        w.abandon();
        on_thread();
        const std::lock_guard hold(lines_lock);
        line_->led = false;
        return;
    }
    line_->followers.push(w.node);
    lines_lock.unlock();
    w.suspend();
    const std::lock_guard hold(lines_lock);
    rt::wait_list::remove(w.node);
}

void child_watch::on_thread() noexcept {
    siginfo_t info;
    const child_event e = event_;
    const int result = rt::on_kernel_thread([&]() noexcept { return real().waitid(e.type, e.id, &info, e.options | WNOWAIT); });
    if (result != 0 && errno == EAGAIN) nap(); // no thread, or a pidfd that does not block
}

void child_watch::nap() noexcept {
    pause_ = std::min(pause_, longest_nap);
    rt::waiter w("a child");
    w.mark_external();
    w.suspend(deadline(std::chrono::nanoseconds(pause_)));
    pause_ *= 2;
}

} // namespace weft::shim
