// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <weft/export.hpp>

#include <atomic>

namespace weft::rt {

/// Guards a few instructions between kernel threads. Whoever holds it never suspends, allocates or throws.
class spinlock {
public:
    constexpr spinlock() noexcept = default;
    spinlock(const spinlock&) = delete;
    spinlock& operator=(const spinlock&) = delete;

    void lock() noexcept {
        if (held_.exchange(true, std::memory_order_acquire)) lock_slow();
    }
    void unlock() noexcept { held_.store(false, std::memory_order_release); }
    /// After fork, in the child: its holder may be a thread that no longer exists.
    void reset() noexcept { held_.store(false, std::memory_order_relaxed); }

private:
    WEFT_API void lock_slow() noexcept;
    std::atomic<bool> held_{false};
};

} // namespace weft::rt
