// SPDX-License-Identifier: Apache-2.0
#pragma once

// The one primitive that suspends and the one that wakes (invariant 2). Everything that waits is built on these two
// classes: a mutex, a queue, a join, a sleep, a descriptor.

#include <weft/deadline.hpp>
#include <weft/detail/spinlock.hpp>
#include <weft/export.hpp>

#include <cstdint>

namespace weft::rt {

class parkable; // a fiber, or a kernel thread that has no hub

enum class wake_reason : std::uint8_t {
    woken,       // somebody called wake(): the hand-off is ours
    deadline,    // the deadline came first
    interrupted, // the fiber is killed, or a timeout scope around it expired
    deadlock,    // nothing is left that could wake it (main fiber only)
};

enum class interruption : std::uint8_t {
    allowed,    // kill and timeout scopes may end the wait
    deferred,   // they are kept for the next wait
};

class waiter;

/// A link of a waiter in one list. It lies on the blocked fiber's stack, like its waiter.
struct wait_node {
    wait_node* prev = nullptr;
    wait_node* next = nullptr;
    waiter* owner = nullptr;
    void* data = nullptr; // for a hand-off: what the waker gives or takes, under the list's lock
    /// Instead of an owner: called, under the list's lock, when the node is taken out to be woken. It consumes nothing, so
    /// the waker goes on to the next node.
    void (*notify)(wait_node&) noexcept = nullptr;

    wait_node() noexcept = default;
    wait_node(const wait_node&) = delete;
    wait_node& operator=(const wait_node&) = delete;
    [[nodiscard]] bool linked() const noexcept { return next != nullptr; }
};

/// A FIFO of waiters. It has no lock of its own: whoever owns the list guards it, and wakes while holding the guard.
class wait_list {
public:
    constexpr wait_list() noexcept = default;
    wait_list(const wait_list&) = delete;
    wait_list& operator=(const wait_list&) = delete;

    [[nodiscard]] bool empty() const noexcept { return head_.next == nullptr || head_.next == &head_; }
    [[nodiscard]] wait_node* front() noexcept { return empty() ? nullptr : head_.next; }
    /// The node behind `n`, or nullptr.
    [[nodiscard]] wait_node* after(wait_node& n) noexcept { return n.next == &head_ ? nullptr : n.next; }

    void push(wait_node& n) noexcept {
        if (head_.next == nullptr) head_.next = head_.prev = &head_;
        n.prev = head_.prev;
        n.next = &head_;
        head_.prev->next = &n;
        head_.prev = &n;
    }
    /// Takes `n` out if it is still in; call it again and nothing happens.
    static void remove(wait_node& n) noexcept {
        if (!n.linked()) return;
        n.prev->next = n.next;
        n.next->prev = n.prev;
        n.prev = n.next = nullptr;
    }

    /// In the child of fork: whoever was in it is gone. One that is empty is left alone, so that its page stays the parent's.
    void forget() noexcept {
        if (!empty() || head_.prev != head_.next) head_.next = head_.prev = nullptr;
    }

    /// Wakes the first waiter that can still be woken and takes it out. Its node, or nullptr when there was none.
    WEFT_API wait_node* wake_one() noexcept;
    /// Wakes all and takes them out.
    WEFT_API void wake_all() noexcept;

private:
    wait_node head_;
};

/// One wait of the calling fiber (or kernel thread without a hub).
///
/// Use: make it, link its node into a list under the list's lock, unlock, `suspend`, lock, `wait_list::remove`, unlock.
/// It is woken at most once: `wake` returns true to exactly one caller, and if that is not the reason suspend returns
/// then no hand-off was made, so a killed or timed-out waiter never swallows one. `wake` is called under the
/// lock of a list that the waiter is in, which is what keeps it alive. Every waiter must be suspended or abandoned.
class WEFT_API waiter {
public:
    /// `what` and `object` say what is waited for (a string literal), for reports.
    explicit waiter(const char* what, const void* object = nullptr,
                    interruption mode = interruption::allowed) noexcept;
    waiter(const waiter&) = delete;
    waiter& operator=(const waiter&) = delete;
    ~waiter();

    /// The usual single link.
    wait_node node;

    /// Makes the waiter runnable again; from any kernel thread. False: it was woken already, by whatever reason.
    bool wake() noexcept;
    /// The same for who may have interrupted weft itself, in a signal handler: its own hub hears of it as of another thread's wake.
    bool wake_later() noexcept;
    /// Waits until woken. Call it once.
    wake_reason suspend(deadline d = {}) noexcept;
    /// After suspend said `woken`: by a fiber of the same hub, which has left the object since.
    [[nodiscard]] bool woken_at_home() const noexcept;
    /// Instead of suspend, after all nodes were taken out: true if nobody had woken it.
    bool abandon() noexcept;
    /// The wait ends by something outside weft (a descriptor, a child, a job), so it is never part of a deadlock.
    void mark_external() noexcept { external_ = true; }
    /// It is linked into several lists, whose locks do not keep their wakers apart. Say so before the first link.
    void mark_several() noexcept { several_ = true; }

    /// Who waits, as an address only.
    [[nodiscard]] const void* who() const noexcept { return &self_; }

private:
    parkable& self_;
    std::uint64_t epoch_;
    bool spent_ = false;
    bool external_ = false;
    bool several_ = false;
};

/// Throws what is pending for the calling fiber: fiber_exit (or what kill_with gave), or the timeout_error of an
/// expired scope. Every weft call that may wait begins with it, and calls it when suspend says `interrupted`; if nothing is
/// pending it returns, and the caller tries again from its start.
WEFT_API void interruption_point();

/// While it lives, kill and timeout scopes do not interrupt the calling fiber: they are kept for its next wait after that.
/// For what must be waited for on the way out: a lock to be taken back, fibers that use this frame. Nests.
class WEFT_API no_interruption {
public:
    no_interruption();
    no_interruption(const no_interruption&) = delete;
    no_interruption& operator=(const no_interruption&) = delete;
    ~no_interruption();

private:
    parkable& self_;
};

/// For a wait that ended with `wake_reason::deadlock`: throws deadlock_error with the report of who waits for what.
[[noreturn]] WEFT_API void throw_deadlock();

/// What every weft call does with the reason of a wait that did not end by a wake: throws for interrupted (if anything
/// is pending) and deadlock. True: the deadline has come; false: try again.
WEFT_API bool deadline_reached(wake_reason reason);

} // namespace weft::rt
