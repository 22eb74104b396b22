// SPDX-License-Identifier: Apache-2.0
#pragma once

// A queue without the type of its items: places, order, hand-off, shutdown. The items are nodes, so that nothing is
// allocated, moved or destroyed under the lock.

#include <weft/deadline.hpp>
#include <weft/detail/waitable.hpp>
#include <weft/detail/waiter.hpp>
#include <weft/export.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace weft::rt {

/// What lies in a queue; the typed queue makes it and destroys it.
struct queue_node {
    queue_node* next = nullptr;
    std::atomic<unsigned> readers{0}; // peek copies it now: whoever took it waits for them
};

/// What became of a call of a queue: it was done, nothing came of it within the time, or the queue is shut down.
enum class queue_outcome : std::uint8_t { done, late, closed };

/// One wait in a queue, for an item or for room.
struct queue_ticket {
    wait_node node; // its data is the ticket
    queue_outcome result = queue_outcome::late; // under the queue's lock: what was handed over
    queue_node* got = nullptr;
    queue_ticket() noexcept { node.data = this; }
};

/// Putting is in two steps, as the value is moved outside of the lock: `reserve` a place, then `commit` a node or `cancel`.
/// A place that is reserved counts as used, and a queue that is shut down ends only when none is reserved any more.
class WEFT_API queue_core {
public:
    using outcome = queue_outcome;

    explicit queue_core(std::size_t maxsize) noexcept : maxsize_(maxsize) {}
    queue_core(const queue_core&) = delete;
    queue_core& operator=(const queue_core&) = delete;

    outcome reserve(deadline d);
    outcome try_reserve() noexcept;
    /// False: it was dropped, as the queue was shut down immediately meanwhile; the caller destroys it.
    [[nodiscard]] bool commit(queue_node& n) noexcept;
    void cancel() noexcept;

    /// The next node, which is the caller's then.
    outcome take(queue_node*& n, deadline d);
    outcome try_take(queue_node*& n) noexcept;
    /// The next node, which stays where it is; nobody moves from it until `release`.
    outcome peek(queue_node*& n, deadline d);
    outcome try_peek(queue_node*& n) noexcept;
    void release(queue_node& n) noexcept;
    /// Before a node is moved from or destroyed: another kernel thread may still copy it.
    void wait_for_readers(queue_node& n) noexcept {
        if (n.readers.load(std::memory_order_acquire) != 0) wait_for_readers_slow(n);
    }

    /// A node that was taken comes back, as the next to be taken by somebody.
    void give_back(queue_node& n) noexcept;

    /// With immediate, the nodes left are returned, linked by `next`, for the caller to destroy; `dropped` is their number.
    queue_node* shutdown(bool immediate, std::size_t& dropped) noexcept;
    /// False: more often than items were put.
    bool task_done() noexcept;
    bool join(deadline d);

    [[nodiscard]] std::size_t size() const noexcept;
    [[nodiscard]] bool full() const noexcept;
    [[nodiscard]] std::size_t maxsize() const noexcept { return maxsize_; }
    [[nodiscard]] bool is_shutdown() const noexcept;

    // For who waits for one of several queues. The rest is called under the lock.
    [[nodiscard]] spinlock& guard() const noexcept { return lock_; }
    outcome get_now(queue_ticket& t) noexcept { return look(t.got, false); }
    outcome room_now() noexcept { return look_for_room(); }
    void enlist_get(queue_ticket& t) noexcept { getters_.push(t.node); }
    void enlist_put(queue_ticket& t) noexcept { putters_.push(t.node); }

    static const watch_operations watching;

protected:
    ~queue_core() = default;

    // In what order nodes leave; called under the lock. These: first in, first out.
    virtual void push_node(queue_node& n) noexcept;
    virtual queue_node* pop_node() noexcept;
    [[nodiscard]] virtual queue_node* front_node() const noexcept { return head_; }
    /// All that are left, linked by `next`.
    virtual queue_node* pop_all() noexcept { return std::exchange(head_, nullptr); }

    queue_node* head_ = nullptr;
    queue_node* tail_ = nullptr;

private:
    outcome wait_for_node(queue_node*& n, deadline d, bool peeking);
    outcome look(queue_node*& n, bool peeking) noexcept;
    outcome look_for_room() noexcept;
    void wait_for_readers_slow(queue_node& n) noexcept;
    [[nodiscard]] bool ended() const noexcept { return closed_ && size_ == 0 && reserved_ == 0; }
    void free_place() noexcept;
    static void close_all(wait_list& waiting) noexcept;
    void tell_end() noexcept {
        if (ended()) close_all(getters_);
    }
    bool hand_over(queue_node& n) noexcept;

    mutable spinlock lock_; // guards what follows and the nodes
    std::size_t size_ = 0;     // nodes
    std::size_t reserved_ = 0; // places whose nodes are not there yet
    const std::size_t maxsize_; // of both; 0: unlimited
    std::size_t unfinished_ = 0;
    bool closed_ = false;
    bool discards_ = false;          // shut down immediately: what still comes is dropped
    queue_node* arriving_ = nullptr; // while getters_ is woken for it
    wait_list getters_;
    wait_list putters_;
    wait_list joiners_;
    wait_list takers_; // wait until nobody reads their node
};

/// First in, first out.
class WEFT_API fifo_core final : public queue_core {
public:
    using queue_core::queue_core;
};

/// Last in, first out.
class WEFT_API lifo_core final : public queue_core {
public:
    using queue_core::queue_core;

protected:
    void push_node(queue_node& n) noexcept override;
};

/// Counts only: every node is the same one, and the typed queue knows what stands for it.
class WEFT_API token_core final : public queue_core {
public:
    using queue_core::queue_core;
    [[nodiscard]] queue_node& token() noexcept { return token_; }

protected:
    void push_node(queue_node& n) noexcept override;
    queue_node* pop_node() noexcept override;
    [[nodiscard]] queue_node* front_node() const noexcept override { return &token_; }
    queue_node* pop_all() noexcept override;

private:
    mutable queue_node token_;
};

} // namespace weft::rt
