// SPDX-License-Identifier: Apache-2.0
#include "core/fork.hpp"
#include "core/thread_state.hpp"

#include <weft/detail/group_core.hpp>
#include <weft/detail/hand_off.hpp>

#include <algorithm>

namespace weft::rt {

// --- Places ---

group_core::group_core(std::size_t places) noexcept : places_(places), generation_(fork_generation()) {}

bool group_core::take_place(deadline d) {
    notice_fork();
    return take_or_wait(lock_, spawners_, "a free place in a pool", this, d,
                        [this] { return places_ == unlimited || (used_ < places_ && ++used_ > 0); });
}

bool group_core::wait_place(deadline d) {
    notice_fork();
    return take_or_wait(lock_, watchers_, "a free place in a pool", this, d, [this] { return used_ < places_; });
}

/// Under the lock: the place goes to the one that has waited longest.
void group_core::free_place() noexcept {
    if (places_ == unlimited || spawners_.wake_one() != nullptr) return;
    --used_;
    watchers_.wake_all();
}

void group_core::return_place() noexcept {
    const std::lock_guard hold(lock_);
    free_place();
}

std::size_t group_core::free_places() {
    notice_fork();
    const std::lock_guard hold(lock_);
    return places_ == unlimited ? unlimited : places_ - used_;
}

void group_core::enter() {
    fiber_core* self = this_thread_state.running;
    if (!take_place({})) return;
    const std::lock_guard hold(lock_);
    group_member* m = find(self);
    if (m != nullptr && m->as == group_member::role::placeless) m->as = group_member::role::placed;
    else free_place(); // it was discarded meanwhile
}

// --- Members ---

std::unique_ptr<group_member> group_core::prepare() {
    auto m = std::make_unique<group_member>();
    m->on_end = &group_core::on_end;
    m->group = shared_from_this();
    return m;
}

group_member* group_core::find(const fiber_core* f) const noexcept {
    group_member* m = newest_;
    while (m != nullptr && m->fiber.get() != f) m = m->older;
    return m;
}

void group_core::unlink(group_member& m) noexcept {
    (m.newer == nullptr ? newest_ : m.newer->older) = m.older;
    if (m.older != nullptr) m.older->newer = m.newer;
    m.linked = false;
    if (m.as != group_member::role::hidden) --visible_;
    if (m.as == group_member::role::placed) free_place();
    if (--count_ == 0) joiners_.wake_all();
}

bool group_core::enrol(fiber_core* f, std::unique_ptr<group_member> m, group_member::role as) noexcept {
    m->fiber = fiber_ref::share(f);
    m->as = as;
    {
        const std::lock_guard hold(lock_);
        m->older = newest_;
        if (newest_ != nullptr) newest_->newer = m.get();
        newest_ = m.get();
        m->linked = true;
        ++count_;
        if (as != group_member::role::hidden) ++visible_;
    }
    if (add_end_hook(f, *m)) {
        (void)m.release();
        return true;
    }
    const std::lock_guard hold(lock_); // it has ended already
    if (m->linked) unlink(*m);
    return false;
}

/// The fiber's last act but waking its joiners, on its hub.
void group_core::on_end(end_hook& hook) noexcept {
    const std::unique_ptr<group_member> m(&static_cast<group_member&>(hook));
    const std::shared_ptr<group_core> group = m->group;
    const std::lock_guard hold(group->lock_);
    if (m->linked) group->unlink(*m);
}

bool group_core::discard(fiber_core* f) noexcept {
    group_member* m = nullptr;
    {
        const std::lock_guard hold(lock_);
        m = find(f);
        if (m == nullptr) return false;
        unlink(*m);
    }
    if (remove_end_hook(f, *m)) delete m; // else its hook runs now, and destroys it
    return true;
}

bool group_core::contains(const fiber_core* f) const noexcept {
    const std::lock_guard hold(lock_);
    return find(f) != nullptr;
}

bool group_core::contains_caller() const noexcept {
    const fiber_core* self = this_thread_state.running;
    return self != nullptr && contains(self);
}

std::size_t group_core::size() {
    notice_fork();
    const std::lock_guard hold(lock_);
    return visible_;
}

std::vector<fiber_ref> group_core::members() {
    std::vector<fiber_ref> all;
    for (std::size_t room = 16;; room *= 2) {
        all.reserve(room); // not under the lock
        const std::lock_guard hold(lock_);
        if (all.capacity() < count_) {
            room = std::max(room, count_);
            continue;
        }
        for (group_member* m = newest_; m != nullptr; m = m->older) all.push_back(m->fiber);
        break;
    }
    std::reverse(all.begin(), all.end()); // oldest first
    return all;
}

/// In the child of a fork the other fibers are dead and their hooks never run; their places are free.
void group_core::notice_fork() {
    if (generation_ == fork_generation()) return;
    generation_ = fork_generation();
    lock_.reset();
    for (wait_list* l : {&spawners_, &watchers_, &joiners_}) l->forget();
    forget_dead();
}

void group_core::forget_dead() {
    for (const fiber_ref& f : members())
        if (is_dead(f.get())) discard(f.get());
}

// --- All of them ---

bool group_core::join(deadline d, bool raise_error) {
    notice_fork();
    const auto empty = [this] { return count_ == 0; };
    if (!raise_error) return take_or_wait(lock_, joiners_, "the fibers of a group", this, d, empty);
    for (auto all = members(); !all.empty(); all = members()) { // members may add members
        for (const fiber_ref& f : all) {
            if (!join_fiber(f.get(), d)) return false;
            raise_error_of(f.get());
        }
    }
    return true;
}

bool group_core::kill(deadline d, const std::exception_ptr& exception) {
    fiber_core* const self = this_thread_state.running;
    notice_fork();
    for (bool others = true; others;) {
        others = false;
        const auto all = members();
        for (const fiber_ref& f : all)
            if (f.get() != self) kill_fiber_async(f.get(), exception);
        for (const fiber_ref& f : all) {
            if (f.get() == self) continue;
            others = true;
            if (!join_fiber(f.get(), d)) return false;
        }
    }
    if (self != nullptr && contains(self)) kill_fiber(self, exception, d); // throws
    return true;
}

bool group_core::kill_one(fiber_core* f, deadline d) {
    return contains(f) && kill_fiber(f, nullptr, d);
}

void group_core::kill_and_wait() noexcept {
    {
        const std::lock_guard hold(lock_);
        if (count_ == 0) return;
    }
    const no_interruption on_the_way_out;
    if (fiber_core* self = this_thread_state.running) discard(self); // destroyed by a member
    kill({});
}

} // namespace weft::rt
