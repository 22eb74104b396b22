// SPDX-License-Identifier: Apache-2.0
#pragma once

// The locks of <weft/sync.hpp>.

#include <weft/deadline.hpp>
#include <weft/detail/waiter.hpp>
#include <weft/export.hpp>

#include <chrono>
#include <cstddef>

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

/// A lock that its owner may take again; it is free when it was unlocked as often. Satisfies TimedLockable. The owner is a fiber, or a
/// kernel thread that has none; unlocking by anybody else is a bug and ends the process.
class WEFT_API recursive_mutex {
public:
    constexpr recursive_mutex() noexcept = default;
    recursive_mutex(const recursive_mutex&) = delete;
    recursive_mutex& operator=(const recursive_mutex&) = delete;

    /// Waits until it is ours.
    void lock();
    /// Takes it if it is free or ours. Never waits.
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
    /// Once for each lock; the last hands it to the one that has waited longest.
    void unlock() noexcept;

private:
    bool lock_by(deadline d);
    bool take(const void* me) noexcept;

    rt::spinlock lock_;
    const void* owner_ = nullptr;
    std::size_t depth_ = 0;
    rt::wait_list waiting_;
};

/// A lock for one who writes, or for many who read. Satisfies SharedTimedLockable: std::unique_lock and std::shared_lock take it.
///
/// It is granted in the order of asking, to readers that follow each other together; so neither writers nor readers starve, and one who
/// asks to read while a writer waits comes after that writer: a reader must not take it again. Unlocking what is not locked is a bug
/// and ends the process.
class WEFT_API shared_mutex {
public:
    constexpr shared_mutex() noexcept = default;
    shared_mutex(const shared_mutex&) = delete;
    shared_mutex& operator=(const shared_mutex&) = delete;

    // --- To write ---

    void lock();
    /// Never waits.
    [[nodiscard]] bool try_lock() noexcept;
    /// False: it was not to be had within the time.
    template <class Rep, class Period>
    [[nodiscard]] bool try_lock_for(const std::chrono::duration<Rep, Period>& d) {
        return lock_exclusive(deadline(d));
    }
    template <class Clock, class Duration>
    [[nodiscard]] bool try_lock_until(const std::chrono::time_point<Clock, Duration>& t) {
        return lock_exclusive(rt::deadline_at(t));
    }
    void unlock() noexcept;

    // --- To read ---

    void lock_shared();
    /// Never waits. False also while somebody waits to write.
    [[nodiscard]] bool try_lock_shared() noexcept;
    /// False: it was not to be had within the time.
    template <class Rep, class Period>
    [[nodiscard]] bool try_lock_shared_for(const std::chrono::duration<Rep, Period>& d) {
        return lock_reading(deadline(d));
    }
    template <class Clock, class Duration>
    [[nodiscard]] bool try_lock_shared_until(const std::chrono::time_point<Clock, Duration>& t) {
        return lock_reading(rt::deadline_at(t));
    }
    void unlock_shared() noexcept;

private:
    enum class kind : bool { exclusive, reading };
    bool lock_exclusive(deadline d) { return lock_by(kind::exclusive, d); }
    bool lock_reading(deadline d) { return lock_by(kind::reading, d); }
    bool lock_by(kind as, deadline d);
    bool take(kind as) noexcept;
    void hand_on() noexcept;

    rt::spinlock lock_;
    bool written_ = false;
    std::size_t readers_ = 0;
    rt::wait_list waiting_;
};

} // namespace weft
