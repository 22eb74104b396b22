// SPDX-License-Identifier: Apache-2.0
// barrier, latch and once_flag: many wait for what others do.
#include <weft/detail/hand_off.hpp>
#include <weft/sync.hpp>

#include <stdexcept>

namespace weft {

// --- barrier ---

barrier::barrier(std::size_t n) : parties_(n) {
    if (n == 0) throw std::invalid_argument("weft: a barrier for nobody");
}

/// Under the lock: if everybody else has arrived, all go on.
bool barrier::arrive_last() noexcept {
    if (arrived_ + 1 < parties_) return false;
    arrived_ = 0;
    ++round_;
    waiting_.wake_all();
    return true;
}

bool barrier::wait(deadline d) {
    for (;;) {
        rt::interruption_point();
        rt::waiter w("a barrier", this);
        lock_.lock();
        const bool last = arrive_last();
        const std::uint64_t mine = round_;
        if (!last) {
            ++arrived_;
            waiting_.push(w.node);
        }
        lock_.unlock();
        if (last) {
            w.abandon();
            return true;
        }
        const rt::wake_reason reason = w.suspend(d);
        if (reason == rt::wake_reason::woken && w.woken_at_home()) return true;
        bool complete = true;
        {
            const std::lock_guard hold(lock_);
            rt::wait_list::remove(w.node);
            complete = round_ != mine; // it may have been the moment before the others heard of the deadline
            if (!complete) --arrived_;
        }
        if (complete && (reason == rt::wake_reason::woken || reason == rt::wake_reason::deadline)) return true;
        if (rt::deadline_reached(reason)) return false;
        if (complete) return true;
    }
}

void barrier::arrive_and_drop() noexcept {
    const std::lock_guard hold(lock_);
    (void)arrive_last();
    if (parties_ > 0) --parties_;
}

std::size_t barrier::parties() const noexcept {
    const std::lock_guard hold(lock_);
    return parties_;
}

std::size_t barrier::waiting() const noexcept {
    const std::lock_guard hold(lock_);
    return arrived_;
}

// --- latch ---

void latch::count_down(std::size_t n) {
    bool allowed = true;
    {
        const std::lock_guard hold(lock_);
        allowed = n <= count_;
        if (allowed && (count_ -= n) == 0) waiting_.wake_all();
    }
    if (!allowed) throw std::logic_error("weft: a latch was counted down below 0");
}

bool latch::try_wait() const noexcept {
    const std::lock_guard hold(lock_);
    return count_ == 0;
}

bool latch::wait(deadline d) const {
    return rt::take_or_wait(lock_, waiting_, "a latch", this, d, [this] { return count_ == 0; });
}

bool latch::arrive_and_wait(std::size_t n, deadline d) {
    count_down(n);
    return wait(d);
}

latch::operator waitable() const {
    static constexpr rt::watch_operations operations{
        [](void* object, rt::wait_node& n) noexcept {
            auto& self = *static_cast<latch*>(object);
            const std::lock_guard hold(self.lock_);
            if (self.count_ == 0) return false;
            self.waiting_.push(n);
            return true;
        },
        [](void* object, rt::wait_node& n) noexcept {
            const std::lock_guard hold(static_cast<latch*>(object)->lock_);
            rt::wait_list::remove(n);
        }};
    return waitable(const_cast<latch*>(this), operations);
}

// --- once_flag ---

bool once_flag::begin() {
    bool first = false;
    rt::take_or_wait(lock_, waiting_, "a call_once", this, {}, [&] {
        if (status_.load(std::memory_order_relaxed) == status::running) return false;
        first = !is_done();
        if (first) status_.store(status::running, std::memory_order_relaxed);
        return true;
    });
    return first || !is_done(); // woken: it is done, or the turn is ours
}

void once_flag::end(status now) noexcept {
    const std::lock_guard hold(lock_);
    if (now == status::done) {
        status_.store(now, std::memory_order_release);
        waiting_.wake_all();
    } else if (waiting_.wake_one() == nullptr) {
        status_.store(now, std::memory_order_relaxed);
    }
}

} // namespace weft
