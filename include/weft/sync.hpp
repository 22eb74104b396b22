// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <weft/deadline.hpp>
#include <weft/detail/waitable.hpp>
#include <weft/detail/waiter.hpp>
#include <weft/export.hpp>

#include <chrono>
#include <condition_variable>
#include <concepts>
#include <cstddef>
#include <stop_token>
#include <utility>

/// Locks, conditions and counters, as std has them, for fibers.
///
/// Whoever waits suspends only its fiber; a kernel thread without a hub blocks for real. Each object works between the fibers of
/// all hubs and any kernel threads. What is given up is handed to the one that has waited longest: nobody overtakes. A call that
/// waits throws `fiber_exit` in a killed fiber, `timeout_error` when a `timeout` scope has expired, `deadlock_error` in the main
/// fiber when nothing is left that could end the wait; then it has taken nothing. Calls that release never wait and never throw.
/// None of the objects is copied or moved, and none may be destroyed while somebody waits for it.
///
/// @code
/// #include <mutex>
/// weft::mutex guard;
/// weft::condition_variable changed;
/// bool ready = false;
/// {
///     std::scoped_lock hold(guard);
///     ready = true;
///     changed.notify_all();
/// }
/// std::unique_lock hold(guard);
/// bool in_time = changed.wait(hold, 200ms, [&] { return ready; });
/// weft::semaphore places(2);
/// if (places.acquire(1s)) places.release();
/// (void)in_time;
/// @endcode
namespace weft {

/// A lock with one owner; not recursive. Satisfies TimedLockable: std::unique_lock, std::scoped_lock and std::lock take it. It
/// belongs to a fiber (or kernel thread), not to the kernel thread that runs it. Unlocking one that is not locked is a bug
/// and ends the process.
class WEFT_API mutex {
public:
    constexpr mutex() noexcept = default;
    mutex(const mutex&) = delete;
    mutex& operator=(const mutex&) = delete;

    /// Waits until it is ours.
    void lock();
    /// Takes it if it is free. Never waits.
    [[nodiscard]] bool try_lock() noexcept;
    /// False: it was not to be had within the time.
    template <class Rep, class Period>
    [[nodiscard]] bool try_lock_for(const std::chrono::duration<Rep, Period>& d) {
        return lock_by(deadline(d));
    }
    template <class Clock, class Duration>
    [[nodiscard]] bool try_lock_until(const std::chrono::time_point<Clock, Duration>& t) {
        return lock_by(rt::deadline_at(t));
    }
    /// Hands it to the one that has waited longest.
    void unlock() noexcept;

private:
    bool lock_by(deadline d);

    rt::spinlock lock_;
    bool locked_ = false;
    rt::wait_list waiting_;
};

/// Waits for a change that another fiber or thread announces, with any lock that has lock() and unlock().
///
/// The lock is given up and taken back as std::condition_variable_any does. No notification made after the lock was given up is
/// lost, not even when the waiter is killed or timed out at the same moment; a wait may also end without one. The
/// lock is always held again when a wait returns or throws; its lock() and unlock() may wait themselves, and are not
/// interrupted. It may be destroyed as soon as all that wait have been notified.
class WEFT_API condition_variable {
public:
    constexpr condition_variable() noexcept = default;
    condition_variable(const condition_variable&) = delete;
    condition_variable& operator=(const condition_variable&) = delete;

    /// Wakes the one that has waited longest, if any.
    void notify_one() noexcept;
    void notify_all() noexcept;

    template <class Lock>
    void wait(Lock& lock) {
        wait_once(lock, {}, never);
    }
    /// False: the deadline came without a notification.
    template <class Lock>
    bool wait(Lock& lock, deadline d) {
        return wait_once(lock, d, never);
    }
    /// Waits until `ready()`, which runs with the lock held.
    template <class Lock, std::predicate Ready>
    void wait(Lock& lock, Ready ready) {
        while (!ready()) wait_once(lock, {}, never);
    }
    /// The same; past the deadline, what `ready()` says then.
    template <class Lock, std::predicate Ready>
    bool wait(Lock& lock, deadline d, Ready ready) {
        while (!ready())
            if (!wait_once(lock, d, never)) return ready();
        return true;
    }

    template <class Lock, class Rep, class Period>
    std::cv_status wait_for(Lock& lock, const std::chrono::duration<Rep, Period>& d) {
        return wait_once(lock, d, never) ? std::cv_status::no_timeout : std::cv_status::timeout;
    }
    template <class Lock, class Rep, class Period, std::predicate Ready>
    bool wait_for(Lock& lock, const std::chrono::duration<Rep, Period>& d, Ready ready) {
        return wait(lock, deadline(d), std::move(ready));
    }
    template <class Lock, class Clock, class Duration>
    std::cv_status wait_until(Lock& lock, const std::chrono::time_point<Clock, Duration>& t) {
        return wait_once(lock, rt::deadline_at(t), never) ? std::cv_status::no_timeout : std::cv_status::timeout;
    }
    template <class Lock, class Clock, class Duration, std::predicate Ready>
    bool wait_until(Lock& lock, const std::chrono::time_point<Clock, Duration>& t, Ready ready) {
        return wait(lock, rt::deadline_at(t), std::move(ready));
    }

    // The same, ended by a request to stop too: what `ready()` says then.
    template <class Lock, std::predicate Ready>
    bool wait(Lock& lock, std::stop_token stop, Ready ready) {
        return wait_or_stop(lock, stop, {}, ready);
    }
    template <class Lock, std::predicate Ready>
    bool wait(Lock& lock, std::stop_token stop, deadline d, Ready ready) {
        return wait_or_stop(lock, stop, d, ready);
    }
    template <class Lock, class Rep, class Period, std::predicate Ready>
    bool wait_for(Lock& lock, std::stop_token stop, const std::chrono::duration<Rep, Period>& d, Ready ready) {
        return wait_or_stop(lock, stop, d, ready);
    }
    template <class Lock, class Clock, class Duration, std::predicate Ready>
    bool wait_until(Lock& lock, std::stop_token stop, const std::chrono::time_point<Clock, Duration>& t, Ready ready) {
        return wait_or_stop(lock, stop, rt::deadline_at(t), ready);
    }

private:
    /// One wait, from before the lock is given up. Until it suspends, no waiter is armed: giving up the lock may wait itself.
    struct WEFT_API link {
        condition_variable& of;
        rt::wait_node node;
        rt::waiter* suspended = nullptr;
        bool notified = false; // under the lasting lock: a notification is ours

        explicit link(condition_variable& c) noexcept;
        link(const link&) = delete;
        link& operator=(const link&) = delete;
        ~link();
        rt::wake_reason suspend(deadline d) noexcept;
        bool take() noexcept;
    };
    static bool never() noexcept { return false; }

    template <class Lock, class Stop>
    bool wait_once(Lock& lock, deadline d, Stop stop) {
        rt::interruption_point();
        rt::wake_reason reason{};
        {
            link here(*this); // before the unlock, so that no notification is missed
            if (stop()) return true;
            {
                const rt::no_interruption until_unlocked;
                lock.unlock();
            }
            reason = here.suspend(d);
        }
        {
            const rt::no_interruption until_locked;
            lock.lock();
        }
        if (reason == rt::wake_reason::woken) return true;
        return !rt::deadline_reached(reason); // interrupted by nothing that is left: a spurious wake
    }

    template <class Lock, class Ready>
    bool wait_or_stop(Lock& lock, std::stop_token& stop, deadline d, Ready& ready) {
        const std::stop_callback wake(stop, [this] { notify_all(); });
        while (!ready()) {
            if (stop.stop_requested() || !wait_once(lock, d, [&] { return stop.stop_requested(); })) return ready();
        }
        return true;
    }

    rt::wait_list waiting_;
};

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
        return acquire(t);
    }
    /// Gives n back: to those that wait, longest first, and what is left to the count.
    void release(std::size_t n = 1) noexcept;
    /// How many are free now.
    [[nodiscard]] std::size_t count() const noexcept;
    /// Ready while one is free. Waiting so takes none.
    operator waitable() const;

private:
    mutable rt::spinlock lock_;
    std::size_t count_;
    rt::wait_list waiting_;
};

} // namespace weft
