// SPDX-License-Identifier: Apache-2.0
#include <weft/detail/hand_off.hpp>
#include <weft/sync.hpp>

namespace weft {

condition_variable::link::link(condition_variable& c) : waiter("a condition_variable", &c), of(c) {
    const std::lock_guard hold(of.lock_);
    of.waiting_.push(waiter.node);
}

/// Only where the lock's unlock threw is it still linked: then a notification that it took goes to the next.
condition_variable::link::~link() {
    if (suspended) return;
    {
        const std::lock_guard hold(of.lock_);
        rt::wait_list::remove(waiter.node);
    }
    if (!waiter.abandon()) of.notify_one();
}

rt::wake_reason condition_variable::suspend(link& l, deadline d) noexcept {
    l.suspended = true;
    const rt::wake_reason reason = l.waiter.suspend(d);
    if (reason == rt::wake_reason::woken) return reason; // after notify_all the object may be gone; the node is out
    const std::lock_guard hold(lock_);
    rt::wait_list::remove(l.waiter.node);
    return reason;
}

void condition_variable::notify_one() noexcept {
    const std::lock_guard hold(lock_);
    waiting_.wake_one();
}

void condition_variable::notify_all() noexcept {
    const std::lock_guard hold(lock_);
    waiting_.wake_all();
}

} // namespace weft
