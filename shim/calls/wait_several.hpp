// SPDX-License-Identifier: Apache-2.0
#pragma once

// The loop of every call that waits for descriptors without using them: poll, select, epoll_wait and their kin. The kernel is asked
// without waiting; if nothing is ready, the fiber waits for the first edge and asks again.

#include "calls/wait.hpp"
#include "core/call_mask.hpp"
#include "core/real.hpp"

#include <weft/detail/waiter.hpp>

#include <algorithm>
#include <memory>
#include <new>
#include <span>

#include <signal.h>
#include <sys/mman.h>

namespace weft::shim {

inline constexpr std::size_t kernel_sigset_size = 8; // libc's is longer, and its rest unused

/// Room for the interests: on the stack for a few, on pages of our own for many (poll is async-signal-safe: no malloc).
class interest_list {
public:
    explicit interest_list(std::size_t most) noexcept {
        if (most <= few) {
            at_ = few_;
            return;
        }
        bytes_ = most * sizeof(rt::fd_interest);
        void* p = ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        at_ = p == MAP_FAILED ? nullptr : static_cast<rt::fd_interest*>(p);
    }
    interest_list(const interest_list&) = delete;
    interest_list& operator=(const interest_list&) = delete;
    ~interest_list() {
        if (bytes_ != 0 && at_ != nullptr) ::munmap(at_, bytes_);
    }
    explicit operator bool() const noexcept { return at_ != nullptr; }
    void clear() noexcept { size_ = 0; }
    void add(int fd, std::uint32_t events) noexcept {
        auto* i = new (at_ + size_++) rt::fd_interest();
        i->fd = fd;
        i->events = events;
    }
    [[nodiscard]] std::span<rt::fd_interest> all() noexcept { return {at_, size_}; }

private:
    static constexpr std::size_t few = 8;
    rt::fd_interest few_[few];
    rt::fd_interest* at_ = nullptr;
    std::size_t size_ = 0;
    std::size_t bytes_ = 0;
};

/// Waits until a descriptor of the list may be ready. What the kernel does not let us watch (it limits how deep and in how many ways epoll
/// sets may be nested, and how many descriptors a user watches) is looked at again and again instead, `pause` being how soon.
inline rt::fd_wake wait_for_first(std::span<rt::fd_interest> interests, deadline until, bool fresh, std::chrono::nanoseconds& pause) noexcept {
    const int saved_errno = errno;
    if (!interests.empty()) {
        const rt::fd_wake woken = rt::readiness::wait_any(interests, until, fresh);
        if (woken != rt::fd_wake::failed) return woken;
        errno = saved_errno;
    }
    rt::waiter w(interests.empty() ? "a sleep" : "descriptors");
    const deadline soon(pause);
    const bool retry = !interests.empty() && soon.time() < until.time();
    if (retry) pause = std::min<std::chrono::nanoseconds>(pause * 2, std::chrono::milliseconds(10));
    if (w.suspend(retry ? soon : until) != rt::wake_reason::deadline) return rt::fd_wake::interrupted;
    return retry ? rt::fd_wake::ready : rt::fd_wake::deadline;
}

/// The loop of all of them. `ask()` asks the kernel without waiting; `fill(list, open_only)` names the descriptors. Handlers always end
/// it. `fresh`: see readiness::wait.
template <class Ask, class Fill>
int wait_for(std::size_t count, deadline until, const sigset_t* caller_mask, bool fresh, Ask ask, Fill fill) noexcept {
    const errno_of_success success;
    sigset_t mask{};
    if (caller_mask != nullptr && !copy_from_caller(&mask, caller_mask, kernel_sigset_size)) return -1;
    const int at_once = ask();
    if (at_once != 0) {
        rt::went_through(); // others may be waiting for what the program does not even look at
        return at_once;
    }
    signals::wait signals;
    call_mask here; // other fibers take no signals
    if (caller_mask != nullptr && signals.takes_signals()) here.begin(SIG_SETMASK, mask);
    if (signals.interrupted(false)) return fail(EINTR);
    if (until.expired()) {
        rt::yield_quietly(); // a program that polls in a loop must not hold the hub
        return ask();
    }
    interest_list interests(count);
    if (!interests) return fail(ENOMEM);
    std::chrono::nanoseconds pause = std::chrono::milliseconds(1);
    bool open_only = false; // some of the numbers are none, and the kernel does not mind
    for (;;) {
        if (const int error = refused_wait(); error != 0) return fail(error);
        interests.clear();
        fill(interests, open_only);
        const rt::fd_wake woken = wait_for_first(interests.all(), until, fresh, pause);
        if (woken == rt::fd_wake::cancelled) return fail(ECANCELED);
        open_only |= woken == rt::fd_wake::closed;
        const int ready = ask();
        if (ready < 0) return ready;
        const bool eintr = signals.interrupted(false);
        if (ready > 0 || woken == rt::fd_wake::deadline) return success(ready);
        if (const int error = woken == rt::fd_wake::interrupted ? rt::interruption_errno(true) : 0; error != 0) return fail(error);
        if (eintr) return fail(EINTR);
    }
}

constexpr bool valid(const timespec& t) noexcept { return t.tv_sec >= 0 && t.tv_nsec >= 0 && t.tv_nsec < 1'000'000'000; }

inline deadline deadline_of(const timespec& t) noexcept {
    return std::chrono::seconds(t.tv_sec) > std::chrono::hours(24 * 365 * 100)
               ? deadline()
               : deadline(std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec));
}

/// The caller's timeout; null is never. False: errno says what is wrong with it.
inline bool read_timeout(const timespec* timeout, deadline& until) noexcept {
    timespec t{};
    if (timeout == nullptr) return true;
    if (!copy_from_caller(&t, timeout, sizeof t)) return false;
    if (!valid(t)) {
        errno = EINVAL;
        return false;
    }
    until = deadline_of(t);
    return true;
}

} // namespace weft::shim
