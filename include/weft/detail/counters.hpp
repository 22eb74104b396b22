// SPDX-License-Identifier: Apache-2.0
#pragma once

// What counts in <weft/sync.hpp>: semaphores, barrier, latch, call_once.

#include <weft/deadline.hpp>
#include <weft/detail/invoke.hpp>
#include <weft/detail/waitable.hpp>
#include <weft/detail/waiter.hpp>
#include <weft/export.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace weft {

/// A count of what is free.
class WEFT_API semaphore {
public:
    constexpr explicit semaphore(std::size_t initial = 1) noexcept : count_(initial) {}
    semaphore(const semaphore&) = delete;
    semaphore& operator=(const semaphore&) = delete;

    /// Takes one, waiting for it if there is none. False: the deadline came first.
    bool acquire(deadline d = {});
    /// Takes one if there is one and nobody waits for it. Never waits.
    [[nodiscard]] bool try_acquire() noexcept;
    template <class Rep, class Period>
    [[nodiscard]] bool try_acquire_for(const std::chrono::duration<Rep, Period>& d) {
        return acquire(d);
    }
    template <class Clock, class Duration>
    [[nodiscard]] bool try_acquire_until(const std::chrono::time_point<Clock, Duration>& t) {
        return acquire(rt::deadline_at(t));
    }
    /// Gives n back: to those that wait, longest first, and what is left to the count.
    void release(std::size_t n = 1) noexcept;
    /// For std's lock guards: acquire, try_acquire and release of one.
    void lock() { acquire(); }
    [[nodiscard]] bool try_lock() noexcept { return try_acquire(); }
    void unlock() noexcept { release(); }
    /// How many are free now.
    [[nodiscard]] std::size_t count() const noexcept;
    /// Ready while one is free. Waiting so takes none.
    operator waitable() const;

protected:
    /// False: there would be more than `bound`; none was given back.
    bool release_within(std::size_t bound, std::size_t n) noexcept;

private:
    void give(std::size_t n) noexcept;

    mutable rt::spinlock lock_;
    std::size_t count_;
    rt::wait_list waiting_;
};

/// A semaphore that notices when more is given back than was taken.
class WEFT_API bounded_semaphore : private semaphore {
public:
    constexpr explicit bounded_semaphore(std::size_t initial = 1) noexcept : semaphore(initial), bound_(initial) {}

    using semaphore::acquire;
    using semaphore::count;
    using semaphore::lock;
    using semaphore::try_acquire;
    using semaphore::try_acquire_for;
    using semaphore::try_acquire_until;
    using semaphore::try_lock;
    using semaphore::operator waitable;
    /// Throws std::logic_error, and gives nothing back, if more than the initial number would be free.
    void release(std::size_t n = 1);
    /// For std's lock guards, which give back what they took.
    void unlock() noexcept { release(); }

private:
    const std::size_t bound_;
};

/// Where `n` wait for each other, again and again.
class WEFT_API barrier {
public:
    /// Throws std::invalid_argument for 0.
    explicit barrier(std::size_t n);
    barrier(const barrier&) = delete;
    barrier& operator=(const barrier&) = delete;

    /// Arrives, and waits until all have: then each goes on, and the next round begins. False: the deadline came first. Whoever is
    /// timed out or killed while it waits has not arrived.
    bool wait(deadline d = {});
    void arrive_and_wait() { wait(); }
    /// Arrives, does not wait, and does not take part in later rounds.
    void arrive_and_drop() noexcept;
    /// How many take part.
    [[nodiscard]] std::size_t parties() const noexcept;
    /// How many have arrived and wait now.
    [[nodiscard]] std::size_t waiting() const noexcept;

private:
    bool arrive_last() noexcept;

    mutable rt::spinlock lock_;
    std::size_t parties_;
    std::size_t arrived_ = 0;
    std::uint64_t round_ = 0;
    rt::wait_list waiting_;
};

/// A count that goes down once; whoever waits goes on when it is 0. As std::latch.
class WEFT_API latch {
public:
    constexpr explicit latch(std::size_t n) noexcept : count_(n) {}
    latch(const latch&) = delete;
    latch& operator=(const latch&) = delete;

    /// Throws std::logic_error, and counts nothing, if n is more than what is left.
    void count_down(std::size_t n = 1);
    /// Whether it is 0.
    [[nodiscard]] bool try_wait() const noexcept;
    /// Waits until it is 0. False: the deadline came first.
    bool wait(deadline d = {}) const;
    /// The two together; past the deadline the count stays down.
    bool arrive_and_wait(std::size_t n = 1, deadline d = {});
    /// Ready when it is 0.
    operator waitable() const;

private:
    mutable rt::spinlock lock_;
    std::size_t count_;
    mutable rt::wait_list waiting_;
};

/// For call_once.
class WEFT_API once_flag {
public:
    constexpr once_flag() noexcept = default;
    once_flag(const once_flag&) = delete;
    once_flag& operator=(const once_flag&) = delete;

private:
    enum class status : std::uint8_t { fresh, running, done };

    template <class F, class... Args>
    friend void call_once(once_flag& flag, F&& fn, Args&&... args);
    /// True: the caller runs it, and calls end.
    bool begin();
    void end(status now) noexcept;
    [[nodiscard]] bool is_done() const noexcept { return status_.load(std::memory_order_acquire) == status::done; }

    rt::spinlock lock_;
    std::atomic<status> status_{status::fresh};
    rt::wait_list waiting_;
};

/// Calls `fn(args...)` if no call through this flag has returned yet; waits while another is in it. If fn throws, or its fiber is
/// killed in it, the one that has waited longest calls its own.
template <class F, class... Args>
void call_once(once_flag& flag, F&& fn, Args&&... args) {
    if (flag.is_done() || !flag.begin()) return;
    struct ending {
        once_flag& flag;
        once_flag::status now = once_flag::status::fresh;
        ~ending() { flag.end(now); }
    } at_end{flag};
    rt::invoke(std::forward<F>(fn), std::forward<Args>(args)...);
    at_end.now = once_flag::status::done;
}

} // namespace weft
