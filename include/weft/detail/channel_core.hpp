// SPDX-License-Identifier: Apache-2.0
#pragma once

// A channel without the type of its values: who meets whom.

#include <weft/deadline.hpp>
#include <weft/detail/queue_core.hpp>
#include <weft/detail/waitable.hpp>
#include <weft/detail/waiter.hpp>
#include <weft/export.hpp>

#include <cstddef>
#include <cstdint>

namespace weft::rt {

/// One put or get in progress. Who comes second finds the other waiting and moves the value from one to the other, in its own time and
/// outside of the lock; meanwhile the other, who is claimed, neither times out nor is killed. So a value is moved only when it is
/// sure to be taken, and who comes second never waits.
struct channel_party {
    enum class stage : std::uint8_t {
        waiting, // in its list, or not begun
        met,     // the other one moves the value now
        done,    // it was moved
        failed,  // moving it threw, in the other one: try again
        closed,  // the channel was shut down
    };
    wait_node node; // its data is the party
    void* value;    // what a put offers, or the place of a get
    stage now = stage::waiting;
    unsigned readers = 0;       // peek copies the value
    waiter* settling = nullptr; // the party itself, when it waits for `met` or `readers` to end

    explicit channel_party(void* v) noexcept : value(v) { node.data = this; }
};

class WEFT_API channel_core {
public:
    using outcome = queue_outcome;
    enum class side : bool { put, get };

    channel_core() noexcept = default;
    channel_core(const channel_core&) = delete;
    channel_core& operator=(const channel_core&) = delete;

    /// Done with `other`: it was met, and the caller moves the value, then calls `finish`. Done without: the other one moved it.
    outcome meet(side as, channel_party& me, channel_party*& other, deadline d);
    outcome try_meet(side as, channel_party*& other) noexcept;
    /// Before the value of a put is moved away: waits until nobody copies it.
    void wait_for_readers(channel_party& put) noexcept;
    /// The value was moved, or moving it threw.
    void finish(channel_party& other, bool moved) noexcept;
    /// The first put that waits; its value stays until `release`.
    outcome peek(channel_party*& put, deadline d);
    outcome try_peek(channel_party*& put) noexcept;
    void release(channel_party& put) noexcept;

    void shutdown() noexcept;
    bool task_done() noexcept;
    bool join(deadline d);
    [[nodiscard]] bool is_shutdown() const noexcept;
    [[nodiscard]] std::size_t size() const noexcept { return 0; }
    [[nodiscard]] bool full() const noexcept { return true; }
    [[nodiscard]] std::size_t maxsize() const noexcept { return 0; }

    // For who waits for one of several. Called under the lock, but for settle.
    [[nodiscard]] spinlock& guard() const noexcept { return lock_; }
    outcome meet_now(side as, channel_party*& other) noexcept;
    void enlist(side as, channel_party& me) noexcept;
    /// Who was woken, or leaves: waits until nobody uses its value any more; how it ended.
    channel_party::stage settle(channel_party& me) noexcept;

    static const watch_operations watching;

private:
    outcome look(channel_party*& put) noexcept;

    mutable spinlock lock_; // guards what follows and the parties
    bool closed_ = false;
    std::size_t unfinished_ = 0;
    wait_list putters_;
    wait_list getters_;
    wait_list lookers_; // peeks, and who watches for a put
    wait_list movers_;  // wait until nobody copies what they move
    wait_list joiners_;
};

} // namespace weft::rt
