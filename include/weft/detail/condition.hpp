// SPDX-License-Identifier: Apache-2.0
#pragma once

// The condition_variable of <weft/sync.hpp>.

#include <weft/deadline.hpp>
#include <weft/detail/waiter.hpp>
#include <weft/export.hpp>

#include <chrono>
#include <concepts>
#include <condition_variable>
#include <stop_token>
#include <utility>

namespace weft {

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
        rt::wake_reason suspend(deadline d);
        bool take() noexcept;
    };
    static bool never() noexcept { return false; }

    template <class Lock, class Stop>
    bool wait_once(Lock& lock, deadline d, Stop stop) {
        rt::interruption_point();
        rt::wake_reason reason{};
        const auto take_back = [&lock] {
            const rt::no_interruption until_locked;
            lock.lock();
        };
        {
            link here(*this); // before the unlock, so that no notification is missed
            if (stop()) return true;
            {
                const rt::no_interruption until_unlocked;
                lock.unlock();
            }
            try {
                reason = here.suspend(d);
            } catch (...) { // it was killed or timed out in unlock()
                take_back();
                throw;
            }
        }
        take_back();
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

} // namespace weft
