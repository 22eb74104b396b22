// SPDX-License-Identifier: Apache-2.0
#pragma once

// Waiting for one of several queues, without their types.

#include <weft/deadline.hpp>
#include <weft/detail/queue_core.hpp>
#include <weft/detail/waiter.hpp>
#include <weft/export.hpp>

#include <cstddef>
#include <span>

namespace weft::rt {

/// One of the things that a select may do. One waiter is in the lists of all queues, as any other that waits there: what one of them
/// hands over claims it, so it gets from no other, and it waits its turn in each.
class WEFT_API select_case {
public:
    select_case() noexcept = default;
    select_case(const select_case&) = delete;
    select_case& operator=(const select_case&) = delete;

    /// The queue's lock, under which the next three are called.
    [[nodiscard]] virtual spinlock& guard() const noexcept = 0;
    /// Does it if it can be done at once.
    virtual queue_outcome look() noexcept = 0;
    virtual void enlist(waiter& w) noexcept = 0;
    /// Leaves the list. What was handed over meanwhile; late: nothing.
    virtual queue_outcome withdraw() noexcept = 0;
    /// After withdraw, without the lock. False: what was handed over came to nothing, so wait again.
    virtual bool settle() noexcept { return true; }

protected:
    ~select_case() = default;
};

inline constexpr std::size_t none_of_them = static_cast<std::size_t>(-1);

/// Waits until one of them is done, and says which; where several can be done at once, by chance. none_of_them: the deadline came
/// first. Throws queue_shutdown if a queue is shut down and no case can be done. `scratch` is as long as `cases`.
WEFT_API std::size_t choose(std::span<select_case* const> cases, std::span<spinlock*> scratch, deadline d);

/// A get or a put on a queue of nodes.
class WEFT_API queue_get_case : public select_case {
public:
    explicit queue_get_case(queue_core& core) noexcept : core_(core) {}
    [[nodiscard]] spinlock& guard() const noexcept final { return core_.guard(); }
    queue_outcome look() noexcept final { return core_.get_now(ticket_); }
    void enlist(waiter& w) noexcept final;
    queue_outcome withdraw() noexcept final;
    [[nodiscard]] queue_node* got() const noexcept { return ticket_.got; }

protected:
    ~queue_get_case() = default;

private:
    queue_core& core_;
    queue_ticket ticket_;
};

class WEFT_API queue_put_case : public select_case {
public:
    explicit queue_put_case(queue_core& core) noexcept : core_(core) {}
    [[nodiscard]] spinlock& guard() const noexcept final { return core_.guard(); }
    queue_outcome look() noexcept final { return core_.room_now(); }
    void enlist(waiter& w) noexcept final;
    queue_outcome withdraw() noexcept final;

protected:
    ~queue_put_case() = default;

private:
    queue_core& core_;
    queue_ticket ticket_;
};

} // namespace weft::rt
