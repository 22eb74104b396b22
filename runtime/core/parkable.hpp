// SPDX-License-Identifier: Apache-2.0
#pragma once

// Who can be suspended: a fiber, or a kernel thread that has no hub. One atomic word carries the whole protocol.

#include <weft/detail/timer.hpp>
#include <weft/detail/waiter.hpp>

#include "core/fork.hpp"
#include "core/log.hpp"

#include <atomic>
#include <cstdint>

namespace weft::rt {

/// The park word is `epoch << 8 | state`. An epoch is one wait; a wake that names an older one is a no-op.
///
/// Only the owner arms (a plain store, before its waiter is linked anywhere, so the list's lock publishes it). Whoever
/// turns armed into woken owns the right, and the duty, to make the owner runnable: exactly one does.
class parkable {
public:
    explicit parkable(bool fiber) noexcept : is_fiber_(fiber) {}
    parkable(const parkable&) = delete;
    parkable& operator=(const parkable&) = delete;

    /// Begins a wait; returns its epoch.
    std::uint64_t arm(interruption mode) noexcept {
        const std::uint64_t word = word_.load(std::memory_order_relaxed);
        WEFT_CHECK(!is_armed(word)); // one wait at a time
        const std::uint64_t epoch = (word >> 8) + 1;
        woken_at_home = false;
        word_.store(epoch << 8 | (mode == interruption::allowed ? armed : armed_deferred), std::memory_order_release);
        return epoch;
    }
    /// From any thread. True: this call woke it. The caller must know that the wait goes on, or that the parkable lives: it is in a
    /// list whose lock the caller holds, or the caller has a handle to the fiber.
    /// `later`: the calling thread's hub may be in the midst of something, so the fiber goes where other threads' wakes go.
    bool wake(std::uint64_t epoch, wake_reason reason, bool later = false) noexcept;
    /// The same where nobody else can wake it at this moment.
    bool wake_at_home(std::uint64_t epoch, wake_reason reason) noexcept {
        const std::uint64_t word = word_.load(std::memory_order_acquire);
        if (word >> 8 != epoch || !is_armed(word) || is_lost()) return false;
        woken_at_home = true;
        word_.store(epoch << 8 | woken | static_cast<std::uint8_t>(reason), std::memory_order_release);
        make_ready();
        return true;
    }
    /// Wakes whatever wait is going on if it allows interruption. Only on the owner's own kernel thread.
    bool interrupt(wake_reason reason) noexcept {
        const std::uint64_t word = word_.load(std::memory_order_acquire);
        return (word & 0xff) == armed && wake(word >> 8, reason);
    }
    /// Ends a wait nobody has woken. False: somebody had.
    bool disarm(std::uint64_t epoch) noexcept {
        std::uint64_t word = word_.load(std::memory_order_acquire);
        return word >> 8 == epoch && is_armed(word) &&
               word_.compare_exchange_strong(word, epoch << 8 | idle, std::memory_order_acq_rel);
    }
    /// It did not come along into this child of fork: it never runs again. No wake reaches it, so no hand-off is lost on it.
    [[nodiscard]] bool is_lost() const noexcept { return generation_.load(std::memory_order_acquire) != fork_generation(); }
    void forget_wait() noexcept {
        word_.store((word_.load(std::memory_order_relaxed) & ~std::uint64_t{0xff}) | idle, std::memory_order_relaxed);
    }
    [[nodiscard]] bool is_waiting() const noexcept { return is_armed(word_.load(std::memory_order_acquire)); }
    /// Waits, and kill, a timeout scope or a deadlock may end that.
    [[nodiscard]] bool is_interruptible() const noexcept {
        return (word_.load(std::memory_order_acquire) & 0xff) == armed;
    }
    /// After a wait: how it ended.
    [[nodiscard]] wake_reason reason() const noexcept {
        const std::uint64_t word = word_.load(std::memory_order_acquire);
        WEFT_CHECK((word & woken) != 0);
        return static_cast<wake_reason>(word & 0x0f);
    }
    [[nodiscard]] bool is_fiber() const noexcept { return is_fiber_; }

    // What the present wait is for; valid while it is armed, for reports.
    const char* what = nullptr;
    const void* object = nullptr;

    timeout_scope* scopes = nullptr; // innermost first
    bool woken_at_home = false;      // the last wait was ended by a fiber of the same hub, which is done with that by now
    std::uint32_t deferrals = 0;     // no_interruption objects alive

protected:
    enum state : std::uint8_t {
        idle = 0x00,
        armed = 0x01,
        armed_deferred = 0x02,
        woken = 0x10, // + wake_reason
    };
    static bool is_armed(std::uint64_t word) noexcept {
        return (word & 0xff) == armed || (word & 0xff) == armed_deferred;
    }
    void make_ready() noexcept;
    void comes_along() noexcept { generation_.store(fork_generation(), std::memory_order_release); }

    std::atomic<std::uint64_t> word_{0};
    const bool is_fiber_;

private:
    std::atomic<unsigned> generation_{fork_generation()};
};

/// A kernel thread without a hub: it blocks for real, on its park word.
class thread_parker final : public parkable {
public:
    thread_parker() noexcept : parkable(false) {}
    static thread_parker& current() noexcept;
    wake_reason block(std::uint64_t epoch, deadline d) noexcept;
    void unblock() noexcept;
};

/// The calling fiber; on a kernel thread without a hub its parker. The main thread gets its hub here.
parkable& current_parkable();

} // namespace weft::rt
