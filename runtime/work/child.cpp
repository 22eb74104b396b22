// SPDX-License-Identifier: Apache-2.0
#include <weft/detail/child.hpp>

#include "core/fork.hpp"
#include "core/private_fd.hpp"
#include "core/readiness.hpp"
#include "core/sys.hpp"
#include "work/descriptors.hpp"

#include <weft/fiber.hpp>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <mutex>
#include <string>
#include <system_error>
#include <utility>

#include <sys/wait.h>

namespace weft::rt {

namespace {

/// Linux 6.15: how it ended, also after somebody else has reaped it.
struct pidfd_exit_info {
    std::uint64_t mask;
    std::uint64_t cgroup;
    std::uint32_t ids[11];
    std::int32_t status; // as from waitpid
};
constexpr std::uint64_t wants_exit = 1 << 3;
constexpr long get_info = 0xc040ff0b; // _IOWR(0xff, 11, 64 bytes)

int code_of(int status) noexcept { return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status); }

} // namespace

child::child(pid_t pid, int pidfd) noexcept : pid_(pid), generation_(fork_generation()) {
    pidfd_ = make_private(pidfd >= 0 ? pidfd : static_cast<int>(std::max(sys::call(SYS_pidfd_open, pid, 0), -1L)));
    if (pidfd_ >= 0) readiness::opened(pidfd_);
}

child::~child() { close(pidfd_); }

void child::close(int fd) noexcept {
    if (fd < 0) return;
    readiness::closing(fd);
    forget_private(fd);
}

int child::unneeded_descriptor() noexcept { return ended_ && users_ == 0 ? std::exchange(pidfd_, -1) : -1; }

child::descriptor::descriptor(child& of) noexcept : of_(of) {
    const std::lock_guard hold(of.lock_);
    fd_ = of.ended_ ? -1 : of.pidfd_;
    ++of.users_;
}

child::descriptor::~descriptor() {
    of_.lock_.lock();
    --of_.users_;
    const int unneeded = of_.unneeded_descriptor();
    of_.lock_.unlock();
    close(unneeded);
}

std::shared_ptr<child> child::adopt(pid_t pid, int pidfd) {
    watch_forks();
    reap_orphans();
    return std::shared_ptr<child>(new child(pid, pidfd), retire);
}

bool child::is_ours() const noexcept { return generation_ == fork_generation(); }

// --- How it ended ---

bool child::look() noexcept {
    if (ended_) return true;
    siginfo_t info{};
    const long result = pidfd_ >= 0 ? sys::call(SYS_waitid, P_PIDFD, pidfd_, sys::arg(&info), WEXITED | WNOHANG)
                                    : sys::call(SYS_waitid, P_PID, pid_, sys::arg(&info), WEXITED | WNOHANG);
    if (result == 0 && info.si_pid == 0) return false;
    if (result == 0) {
        code_ = info.si_code == CLD_EXITED ? info.si_status : -info.si_status;
    } else {
        pidfd_exit_info known{};
        known.mask = wants_exit;
        lost_ = pidfd_ < 0 || sys::call(SYS_ioctl, pidfd_, get_info, sys::arg(&known)) != 0 || (known.mask & wants_exit) == 0;
        code_ = lost_ ? 0 : code_of(known.status);
    }
    ended_ = true;
    waiting_.wake_all();
    return true;
}

std::optional<int> child::poll() {
    if (!ended()) return {};
    const std::lock_guard hold(lock_);
    if (lost_) throw std::system_error(ECHILD, std::generic_category(), "how child " + std::to_string(pid_) + " ended");
    return code_;
}

bool child::ended() noexcept {
    if (!is_ours() && !ended_) lock_.reset(); // it is the parent's, and so was who held the lock
    lock_.lock();
    if (!is_ours()) {
        lost_ |= !ended_;
        ended_ = true;
    }
    const bool has = look();
    const int unneeded = unneeded_descriptor();
    lock_.unlock();
    close(unneeded);
    return has;
}

bool child::wait(deadline d) {
    for (std::chrono::nanoseconds nap = std::chrono::milliseconds(1);;) {
        interruption_point();
        if (ended()) return true;
        if (const descriptor watched(*this); watched.get() >= 0) {
            if (!await_one(watched.get(), POLLIN, d)) return ended();
        } else if (!ended()) { // no pidfd, for want of descriptors
            if (d.expired()) return false;
            this_fiber::sleep_until(std::min(d, deadline(nap)));
            nap = std::min<std::chrono::nanoseconds>(nap * 2, std::chrono::milliseconds(50));
        }
    }
}

bool child::send_signal(int number) {
    if (!is_ours()) return false;
    const std::lock_guard hold(lock_); // nobody reaps it meanwhile
    if (look()) return false;
    const long result = pidfd_ >= 0 ? sys::call(SYS_pidfd_send_signal, pidfd_, number, 0, 0) : sys::call(SYS_kill, pid_, number);
    if (result == -ESRCH) return false;
    if (result < 0) throw std::system_error(static_cast<int>(-result), std::generic_category(), "a signal to a child");
    return true;
}

// --- As a waitable ---

waitable child::as_waitable(const std::shared_ptr<child>& c) {
    struct watched {
        explicit watched(std::shared_ptr<child> of) : who(std::move(of)) {
            if (!who->ended()) watcher = spawn({.name = "child watcher"}, [w = who] { w->wait({}); });
        }
        watched(const watched&) = delete;
        watched& operator=(const watched&) = delete;
        ~watched() {
            if (watcher) watcher.kill_async();
        }
        std::shared_ptr<child> who;
        any_fiber watcher;
    };
    static constexpr watch_operations operations{
        [](void* object, wait_node& n) noexcept {
            child& self = *static_cast<child*>(object);
            const std::lock_guard hold(self.lock_);
            if (self.ended_) return false;
            self.waiting_.push(n);
            return true;
        },
        [](void* object, wait_node& n) noexcept {
            const std::lock_guard hold(static_cast<child*>(object)->lock_);
            wait_list::remove(n);
        }};
    return waitable(c.get(), operations, std::make_shared<watched>(c));
}

} // namespace weft::rt
