// SPDX-License-Identifier: Apache-2.0
#pragma once

// A set of fibers without the types of what they run: who is in it, and how many places there are.

#include <weft/deadline.hpp>
#include <weft/detail/fiber_api.hpp>
#include <weft/detail/waiter.hpp>
#include <weft/export.hpp>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <vector>

namespace weft::rt {

class group_core;

/// One fiber in one group. Its hook runs on the fiber's hub when the fiber ends, and then destroys it, whether or not the
/// fiber is in the group still; it keeps the group's state alive so long.
struct group_member final : end_hook {
    enum class role : std::uint8_t {
        placed,  // occupies a place
        placeless, // counts, but has no place (yet)
        hidden,  // works for the group: joined and killed with it, but not counted
    };
    group_member* newer = nullptr;
    group_member* older = nullptr;
    std::shared_ptr<group_core> group;
    fiber_ref fiber;
    role as = role::placed;
    bool linked = false;
};

class WEFT_API group_core : public std::enable_shared_from_this<group_core> {
public:
    static constexpr std::size_t unlimited = static_cast<std::size_t>(-1);

    explicit group_core(std::size_t places = unlimited) noexcept;
    group_core(const group_core&) = delete;
    group_core& operator=(const group_core&) = delete;

    // --- Places ---

    /// Waits for a free place and takes it.
    bool take_place(deadline d);
    void return_place() noexcept;
    /// Waits for a free place and leaves it.
    bool wait_place(deadline d);
    [[nodiscard]] std::size_t free_places();
    [[nodiscard]] std::size_t places() const noexcept { return places_; }
    /// The calling fiber, added without a place, waits for one.
    void enter();

    // --- Members ---

    /// Memory for a member, to be had before its fiber is made.
    std::unique_ptr<group_member> prepare();
    /// False: the fiber has ended or is in already; the place, if it has one, is returned.
    bool enrol(fiber_core* f, std::unique_ptr<group_member> m, group_member::role as) noexcept;
    /// False: it was not in.
    bool discard(fiber_core* f) noexcept;
    [[nodiscard]] bool contains(const fiber_core* f) const noexcept;
    [[nodiscard]] bool contains_caller() const noexcept;
    /// How many are in, the hidden left out.
    [[nodiscard]] std::size_t size();
    std::vector<fiber_ref> members();

    // --- All of them ---

    /// Waits until it is empty. False: the deadline came first.
    bool join(deadline d, bool raise_error);
    /// Kills until it is empty; a member that calls it is killed last.
    bool kill(deadline d, const std::exception_ptr& exception = nullptr);
    bool kill_one(fiber_core* f, deadline d);
    /// For destructors: kills and waits, whatever happens to the caller meanwhile.
    void kill_and_wait() noexcept;

private:
    static void on_end(end_hook& hook) noexcept;
    group_member* find(const fiber_core* f) const noexcept;
    void unlink(group_member& m) noexcept;
    void free_place() noexcept;
    void notice_fork();
    void forget_dead();

    mutable spinlock lock_; // guards what follows
    const std::size_t places_;
    std::size_t used_ = 0;    // places
    std::size_t count_ = 0;   // members
    std::size_t visible_ = 0; // members that are not hidden
    group_member* newest_ = nullptr;
    wait_list spawners_;  // wait for a place
    wait_list watchers_;  // wait until there is one
    wait_list joiners_;
    unsigned generation_; // the count of forks that it knows of
};

/// Fibers that end with a scope: whoever leaves it kills what still runs, and waits.
class fiber_scope {
public:
    explicit fiber_scope(std::size_t places = group_core::unlimited) : core_(std::make_shared<group_core>(places)) {}
    fiber_scope(const fiber_scope&) = delete;
    fiber_scope& operator=(const fiber_scope&) = delete;
    ~fiber_scope() { core_->kill_and_wait(); }
    [[nodiscard]] group_core& operator*() const noexcept { return *core_; }
    [[nodiscard]] group_core* operator->() const noexcept { return core_.get(); }

private:
    std::shared_ptr<group_core> core_;
};

} // namespace weft::rt
