// SPDX-License-Identifier: Apache-2.0
// poll, select and their kin: one waiter, many descriptors. The kernel is asked without waiting; if nothing is ready, the fiber waits for
// the first edge and asks again.
#include "calls/poll.hpp"

#include "calls/wait.hpp"
#include "core/serve.hpp"

#include <weft/export.hpp>

#include <algorithm>
#include <memory>
#include <new>
#include <span>

#include <signal.h>
#include <sys/mman.h>

namespace weft::shim {

namespace {

constexpr std::size_t kernel_sigset_size = 8; // libc's is longer, and its rest unused

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

/// The call's own signal mask, while the main fiber waits: what it lets in ends the wait. Other fibers take no signals.
class temporary_mask {
public:
    temporary_mask(const sigset_t* mask, const signals::wait& w) noexcept : used_(mask != nullptr && w.is_main()) {
        if (used_) ::pthread_sigmask(SIG_SETMASK, mask, &before_);
    }
    temporary_mask(const temporary_mask&) = delete;
    temporary_mask& operator=(const temporary_mask&) = delete;
    ~temporary_mask() {
        if (used_) ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
    }

private:
    const bool used_;
    sigset_t before_;
};

/// The loop of all of them. `ask()` asks the kernel without waiting; `fill(list)` names the descriptors. Handlers always end it.
template <class Ask, class Fill>
int wait_for(std::size_t count, deadline until, const sigset_t* caller_mask, Ask ask, Fill fill) noexcept {
    const errno_of_success success;
    sigset_t mask{};
    if (caller_mask != nullptr && !copy_from_caller(&mask, caller_mask, kernel_sigset_size)) return -1;
    const int at_once = ask();
    if (at_once != 0) return at_once;
    signals::wait signals;
    const temporary_mask here(caller_mask == nullptr ? nullptr : &mask, signals);
    if (signals.interrupted(false)) return fail(EINTR);
    if (until.expired()) {
        rt::yield_quietly(); // a program that polls in a loop must not hold the hub
        return ask();
    }
    interest_list interests(count);
    if (!interests) return fail(ENOMEM);
    for (;;) {
        if (const int error = refused_wait(); error != 0) return fail(error);
        interests.clear();
        fill(interests);
        rt::fd_wake woken = rt::fd_wake::deadline;
        if (interests.all().empty()) {
            rt::waiter w("a sleep");
            woken = w.suspend(until) == rt::wake_reason::deadline ? rt::fd_wake::deadline : rt::fd_wake::interrupted;
        } else {
            woken = rt::readiness::wait_any(interests.all(), until);
        }
        if (woken == rt::fd_wake::failed) return -1;
        if (woken == rt::fd_wake::cancelled) return fail(ECANCELED);
        const int ready = woken == rt::fd_wake::interrupted ? 0 : ask();
        if (ready < 0) return ready;
        const bool eintr = signals.interrupted(false);
        if (ready > 0 || woken == rt::fd_wake::deadline) return success(ready);
        if (const int error = rt::interruption_errno(true); error != 0 && woken == rt::fd_wake::interrupted) return fail(error);
        if (eintr) return fail(EINTR);
    }
}

constexpr bool valid(const timespec& t) noexcept { return t.tv_sec >= 0 && t.tv_nsec >= 0 && t.tv_nsec < 1'000'000'000; }

deadline deadline_of(const timespec& t) noexcept {
    return std::chrono::seconds(t.tv_sec) > std::chrono::hours(24 * 365 * 100)
               ? deadline()
               : deadline(std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec));
}

/// The caller's timeout; null is never. False: errno says what is wrong with it.
bool read_timeout(const timespec* timeout, deadline& until) noexcept {
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

} // namespace

namespace polling {

namespace {

int poll_until(pollfd* fds, nfds_t count, deadline until, const sigset_t* mask) noexcept {
    auto ask = [&] { return real().poll(fds, count, 0); };
    return wait_for(count, until, mask, ask, [&](interest_list& list) {
        for (nfds_t i = 0; i < count; ++i)
            if (fds[i].fd >= 0)
                list.add(fds[i].fd, static_cast<std::uint32_t>(fds[i].events) &
                                        (EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP | EPOLLRDNORM | EPOLLWRNORM |
                                         EPOLLRDBAND | EPOLLWRBAND));
    });
}

/// The sets are the caller's, any number of bits long; they keep what was asked for until something is ready.
int select_until(int count, fd_set* readable, fd_set* writable, fd_set* exceptional, deadline until,
                 const sigset_t* mask) noexcept {
    if (count < 0) return fail(EINVAL);
    static constexpr timespec at_once{};
    fd_set* const sets[3] = {readable, writable, exceptional};
    const std::size_t words = (static_cast<std::size_t>(count) + 63) / 64;
    // What was asked for, and what the kernel answers: six sets in one block.
    constexpr std::size_t small = 6 * FD_SETSIZE / 64;
    std::uint64_t small_block[small];
    std::uint64_t* block = small_block;
    const std::size_t bytes = 6 * words * sizeof(std::uint64_t);
    if (6 * words > small) {
        void* p = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED) return fail(ENOMEM);
        block = static_cast<std::uint64_t*>(p);
    }
    auto asked = [&](int which) { return block + static_cast<std::size_t>(which) * words; };
    auto answer = [&](int which) { return block + static_cast<std::size_t>(which + 3) * words; };
    auto copy = [&](const void* from, void* to) {
        std::copy_n(static_cast<const std::uint64_t*>(from), words, static_cast<std::uint64_t*>(to));
    };
    std::size_t members = 0;
    for (int k = 0; k < 3; ++k) {
        if (sets[k] == nullptr) continue;
        if (!copy_from_caller(asked(k), sets[k], words * sizeof(std::uint64_t))) {
            if (block != small_block) ::munmap(block, bytes);
            return -1;
        }
        for (std::size_t w = 0; w < words; ++w) members += static_cast<std::size_t>(__builtin_popcountll(asked(k)[w]));
    }
    auto ask = [&] {
        fd_set* given[3];
        for (int k = 0; k < 3; ++k) {
            given[k] = sets[k] == nullptr ? nullptr : reinterpret_cast<fd_set*>(answer(k));
            if (given[k] != nullptr) copy(asked(k), answer(k));
        }
        return real().pselect(count, given[0], given[1], given[2], &at_once, nullptr);
    };
    const int result = wait_for(members, until, mask, ask, [&](interest_list& list) {
        constexpr std::uint32_t events[3] = {EPOLLIN, EPOLLOUT, EPOLLPRI};
        for (int k = 0; k < 3; ++k) {
            if (sets[k] == nullptr) continue;
            for (int fd = 0; fd < count; ++fd)
                if ((asked(k)[fd / 64] >> (fd % 64) & 1) != 0) list.add(fd, events[k]);
        }
    });
    if (result >= 0)
        for (int k = 0; k < 3; ++k)
            if (sets[k] != nullptr) copy(answer(k), sets[k]);
    if (block != small_block) ::munmap(block, bytes);
    return result;
}

} // namespace

int poll(pollfd* fds, nfds_t count, int timeout) noexcept {
    return poll_until(fds, count, timeout < 0 ? deadline() : deadline(std::chrono::milliseconds(timeout)), nullptr);
}

int ppoll(pollfd* fds, nfds_t count, const timespec* timeout, const sigset_t* mask) noexcept {
    deadline until;
    if (!read_timeout(timeout, until)) return -1;
    return poll_until(fds, count, until, mask);
}

int select(int count, fd_set* readable, fd_set* writable, fd_set* exceptional, timeval* timeout) noexcept {
    deadline until;
    if (timeout != nullptr) {
        timeval t{};
        if (!copy_from_caller(&t, timeout, sizeof t)) return -1;
        if (t.tv_sec < 0 || t.tv_usec < 0) return fail(EINVAL);
        until = deadline_of({t.tv_sec + t.tv_usec / 1'000'000, t.tv_usec % 1'000'000 * 1'000});
    }
    const int result = select_until(count, readable, writable, exceptional, until, nullptr);
    if (timeout != nullptr && !until.is_never()) { // Linux says how much was left
        const auto left = until.remaining().count();
        *timeout = {left / 1'000'000'000, left % 1'000'000'000 / 1'000};
    }
    return result;
}

int pselect(int count, fd_set* readable, fd_set* writable, fd_set* exceptional, const timespec* timeout,
            const sigset_t* mask) noexcept {
    deadline until;
    if (!read_timeout(timeout, until)) return -1;
    return select_until(count, readable, writable, exceptional, until, mask);
}

} // namespace polling

} // namespace weft::shim

using weft::shim::call;
using weft::shim::real;
using weft::shim::serve;
namespace polling = weft::shim::polling;

extern "C" {

WEFT_API int poll(pollfd* fds, nfds_t count, int timeout) {
    return serve<call::poll>(polling::poll, fds, count, timeout);
}
WEFT_API int __poll_chk(pollfd* fds, nfds_t count, int timeout, std::size_t capacity) {
    if (capacity / sizeof(*fds) < count) return real().__poll_chk(fds, count, timeout, capacity);
    return poll(fds, count, timeout);
}
WEFT_API int ppoll(pollfd* fds, nfds_t count, const timespec* timeout, const sigset_t* mask) {
    return serve<call::ppoll>(polling::ppoll, fds, count, timeout, mask);
}
WEFT_API int __ppoll_chk(pollfd* fds, nfds_t count, const timespec* timeout, const sigset_t* mask,
                         std::size_t capacity) {
    if (capacity / sizeof(*fds) < count) return real().__ppoll_chk(fds, count, timeout, mask, capacity);
    return ppoll(fds, count, timeout, mask);
}
WEFT_API int select(int count, fd_set* readable, fd_set* writable, fd_set* exceptional, timeval* timeout) {
    return serve<call::select>(polling::select, count, readable, writable, exceptional, timeout);
}
WEFT_API int pselect(int count, fd_set* readable, fd_set* writable, fd_set* exceptional, const timespec* timeout,
                     const sigset_t* mask) {
    return serve<call::pselect>(polling::pselect, count, readable, writable, exceptional, timeout, mask);
}

} // extern "C"
