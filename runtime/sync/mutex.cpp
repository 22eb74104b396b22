// SPDX-License-Identifier: Apache-2.0
#include "core/log.hpp"
#include "core/parkable.hpp"

#include <weft/detail/hand_off.hpp>
#include <weft/sync.hpp>

#include <utility>

namespace weft {

using rt::wait_list;

// --- mutex ---

bool mutex::try_lock() noexcept {
    const std::lock_guard hold(lock_);
    return !std::exchange(locked_, true);
}

bool mutex::lock_by(deadline d) {
    return rt::take_or_wait(lock_, waiting_, "a mutex", this, d, [this] { return !std::exchange(locked_, true); });
}

void mutex::lock() { lock_by({}); }

void mutex::unlock() noexcept {
    const std::lock_guard hold(lock_);
    WEFT_CHECK(locked_);
    if (waiting_.wake_one() == nullptr) locked_ = false;
}

// --- recursive_mutex ---

bool recursive_mutex::take(const void* me) noexcept {
    if (owner_ != nullptr && owner_ != me) return false;
    owner_ = me;
    ++depth_;
    return true;
}

bool recursive_mutex::try_lock() noexcept {
    const void* me = &rt::current_parkable();
    const std::lock_guard hold(lock_);
    return take(me);
}

bool recursive_mutex::lock_by(deadline d) {
    rt::interruption_point(); // where the main thread's hub cannot be made, this throws
    rt::parkable& me = rt::current_parkable();
    return rt::take_or_wait(lock_, waiting_, "a recursive_mutex", this, d, [&] { return take(&me); }, &me);
}

void recursive_mutex::lock() { lock_by({}); }

void recursive_mutex::unlock() noexcept {
    const void* me = &rt::current_parkable();
    const std::lock_guard hold(lock_);
    WEFT_CHECK(owner_ == me && depth_ > 0);
    if (--depth_ > 0) return;
    const rt::wait_node* next = waiting_.wake_one();
    owner_ = next == nullptr ? nullptr : next->data;
    depth_ = next == nullptr ? 0 : 1;
}

// --- shared_mutex ---

/// Under the lock. Where nobody has it, those in the list have been timed out or killed; else who reads comes after who waits.
bool shared_mutex::take(kind as) noexcept {
    if (written_ || (readers_ > 0 && (as == kind::exclusive || !waiting_.empty()))) return false;
    if (as == kind::exclusive) written_ = true;
    else ++readers_;
    return true;
}

/// Under the lock: grants it to the first that wait, as far as it goes.
void shared_mutex::hand_on() noexcept {
    while (rt::wait_node* n = waiting_.front()) {
        const kind wanted = *static_cast<const kind*>(n->data);
        if (written_ || (readers_ > 0 && wanted == kind::exclusive)) return;
        wait_list::remove(*n);
        if (!n->owner->wake()) continue;
        if (wanted == kind::exclusive) written_ = true;
        else ++readers_;
    }
}

bool shared_mutex::lock_by(kind as, deadline d) {
    for (;;) {
        rt::interruption_point();
        {
            const std::lock_guard hold(lock_);
            if (take(as)) return true;
        }
        rt::waiter w(as == kind::exclusive ? "a shared_mutex, to write" : "a shared_mutex, to read", this);
        w.node.data = &as;
        lock_.lock();
        const bool taken = take(as);
        if (!taken) waiting_.push(w.node);
        lock_.unlock();
        if (taken) {
            w.abandon();
            return true;
        }
        const rt::wake_reason reason = w.suspend(d);
        {
            const std::lock_guard hold(lock_);
            wait_list::remove(w.node);
            if (reason != rt::wake_reason::woken) hand_on(); // those behind it may have waited for it only
        }
        if (reason == rt::wake_reason::woken) return true;
        if (rt::deadline_reached(reason)) return false;
    }
}

void shared_mutex::lock() { lock_exclusive({}); }
void shared_mutex::lock_shared() { lock_reading({}); }

bool shared_mutex::try_lock() noexcept {
    const std::lock_guard hold(lock_);
    return take(kind::exclusive);
}

bool shared_mutex::try_lock_shared() noexcept {
    const std::lock_guard hold(lock_);
    return take(kind::reading);
}

void shared_mutex::unlock() noexcept {
    const std::lock_guard hold(lock_);
    WEFT_CHECK(written_);
    written_ = false;
    hand_on();
}

void shared_mutex::unlock_shared() noexcept {
    const std::lock_guard hold(lock_);
    WEFT_CHECK(readers_ > 0);
    --readers_;
    hand_on();
}

} // namespace weft
