// SPDX-License-Identifier: Apache-2.0
#include <weft/detail/channel_core.hpp>
#include <weft/detail/hand_off.hpp>

namespace weft::rt {

using stage = channel_party::stage;

// --- Meeting ---

channel_core::outcome channel_core::meet_now(side as, channel_party*& other) noexcept {
    if (closed_) return outcome::closed;
    wait_node* n = (as == side::put ? getters_ : putters_).wake_one();
    if (n == nullptr) return outcome::late;
    other = static_cast<channel_party*>(n->data);
    other->now = stage::met;
    return outcome::done;
}

void channel_core::enlist(side as, channel_party& me) noexcept {
    me.now = stage::waiting;
    (as == side::put ? putters_ : getters_).push(me.node);
    if (as == side::put) lookers_.wake_all();
}

channel_core::outcome channel_core::try_meet(side as, channel_party*& other) noexcept {
    const std::lock_guard hold(lock_);
    return meet_now(as, other);
}

channel_core::outcome channel_core::meet(side as, channel_party& me, channel_party*& other, deadline d) {
    for (;;) {
        interruption_point();
        other = nullptr;
        outcome now = try_meet(as, other);
        if (now != outcome::late) return now;
        wake_reason reason{};
        {
            waiter w(as == side::put ? "a get from a channel" : "a put into a channel", this);
            me.node.owner = &w;
            lock_.lock();
            now = meet_now(as, other);
            if (now == outcome::late) enlist(as, me);
            lock_.unlock();
            if (now != outcome::late) {
                w.abandon();
                return now;
            }
            reason = w.suspend(d);
            const std::lock_guard hold(lock_);
            wait_list::remove(me.node);
        }
        switch (settle(me)) {
        case stage::done: return outcome::done;
        case stage::closed: return outcome::closed;
        case stage::failed: break;
        case stage::met: break; // settle waits for its end
        case stage::waiting:
            if (deadline_reached(reason)) return outcome::late;
        }
    }
}

stage channel_core::settle(channel_party& me) noexcept {
    for (;;) {
        {
            const std::lock_guard hold(lock_);
            if (me.now != stage::met && me.readers == 0) return me.now;
        }
        waiter w("a value to be moved through a channel", this, interruption::deferred);
        lock_.lock();
        const bool settled = me.now != stage::met && me.readers == 0;
        if (!settled) me.settling = &w;
        lock_.unlock();
        if (settled) {
            w.abandon();
            continue;
        }
        w.suspend();
        const std::lock_guard hold(lock_);
        me.settling = nullptr;
    }
}

void channel_core::finish(channel_party& other, bool moved) noexcept {
    const std::lock_guard hold(lock_);
    other.now = moved ? stage::done : stage::failed;
    if (moved) ++unfinished_;
    if (other.settling != nullptr) other.settling->wake();
}

// --- Looking ---

channel_core::outcome channel_core::look(channel_party*& put) noexcept {
    if (closed_) return outcome::closed;
    const wait_node* first = putters_.front();
    if (first == nullptr) return outcome::late;
    put = static_cast<channel_party*>(first->data);
    ++put->readers;
    return outcome::done;
}

channel_core::outcome channel_core::try_peek(channel_party*& put) noexcept {
    const std::lock_guard hold(lock_);
    return look(put);
}

channel_core::outcome channel_core::peek(channel_party*& put, deadline d) {
    for (;;) {
        interruption_point();
        outcome seen = try_peek(put);
        if (seen != outcome::late) return seen;
        waiter w("a put into a channel", this);
        lock_.lock();
        seen = look(put);
        if (seen == outcome::late) lookers_.push(w.node);
        lock_.unlock();
        if (seen != outcome::late) {
            w.abandon();
            return seen;
        }
        const wake_reason reason = suspend_in(lock_, w, d);
        if (reason != wake_reason::woken && deadline_reached(reason)) return outcome::late;
    }
}

void channel_core::release(channel_party& put) noexcept {
    const std::lock_guard hold(lock_);
    if (--put.readers > 0) return;
    if (put.settling != nullptr) put.settling->wake();
    movers_.wake_all();
}

void channel_core::wait_for_readers(channel_party& put) noexcept {
    for (;;) {
        {
            const std::lock_guard hold(lock_);
            if (put.readers == 0) return;
        }
        waiter w("a peek into a channel", this, interruption::deferred);
        lock_.lock();
        const bool free = put.readers == 0;
        if (!free) movers_.push(w.node);
        lock_.unlock();
        if (free) w.abandon();
        else suspend_in(lock_, w, {});
    }
}

// --- The end, and tasks ---

void channel_core::shutdown() noexcept {
    const std::lock_guard hold(lock_);
    closed_ = true;
    for (wait_list* waiting : {&putters_, &getters_})
        while (wait_node* n = waiting->wake_one()) static_cast<channel_party*>(n->data)->now = stage::closed;
    lookers_.wake_all();
}

bool channel_core::is_shutdown() const noexcept {
    const std::lock_guard hold(lock_);
    return closed_;
}

bool channel_core::task_done() noexcept {
    const std::lock_guard hold(lock_);
    if (unfinished_ == 0) return false;
    if (--unfinished_ == 0) joiners_.wake_all();
    return true;
}

bool channel_core::join(deadline d) {
    return take_or_wait(lock_, joiners_, "the tasks of a channel", this, d, [this] { return unfinished_ == 0; });
}

constexpr watch_operations channel_core::watching{
    [](void* object, wait_node& n) noexcept {
        auto& self = *static_cast<channel_core*>(object);
        const std::lock_guard hold(self.lock_);
        if (self.closed_ || !self.putters_.empty()) return false;
        self.lookers_.push(n);
        return true;
    },
    [](void* object, wait_node& n) noexcept {
        const std::lock_guard hold(static_cast<channel_core*>(object)->lock_);
        wait_list::remove(n);
    }};

} // namespace weft::rt
