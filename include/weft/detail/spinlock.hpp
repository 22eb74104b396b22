// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <weft/export.hpp>

#include <atomic>

#include <sys/single_threaded.h>

namespace weft::rt {

/// Guards a few instructions between kernel threads. Whoever holds it never suspends, allocates or throws.
class spinlock {
public:
    constexpr spinlock() noexcept = default;
    spinlock(const spinlock&) = delete;
    spinlock& operator=(const spinlock&) = delete;

    void lock() noexcept {
        // A process with one kernel thread needs no atomic exchange (as std::shared_ptr does it): none can begin while we hold
        // the lock, and one that begins later sees what was stored before.
        if (__libc_single_threaded && !held_.load(std::memory_order_relaxed)) {
            held_.store(true, std::memory_order_relaxed);
            return;
        }
        if (held_.exchange(true, std::memory_order_acquire)) lock_slow();
    }
    bool try_lock() noexcept { return !held_.load(std::memory_order_relaxed) && !held_.exchange(true, std::memory_order_acquire); }
    void unlock() noexcept { held_.store(false, std::memory_order_release); }
    /// After fork, in the child: its holder may be a thread that no longer exists. True: there was one, so what it guards may be half changed.
    bool reset() noexcept {
        if (!held_.load(std::memory_order_relaxed)) return false; // the page stays the parent's
        held_.store(false, std::memory_order_relaxed);
        return true;
    }

private:
    WEFT_API void lock_slow() noexcept;
    std::atomic<bool> held_{false};
};

} // namespace weft::rt
