// SPDX-License-Identifier: Apache-2.0
#include <weft/detail/hand_off.hpp>
#include <weft/sync.hpp>

namespace weft {

using rt::lasting_lock;

condition_variable::link::link(condition_variable& c) noexcept : of(c) {
    node.data = this;
    const std::lock_guard hold(lasting_lock(&of));
    of.waiting_.push(node);
}

/// Only where the wait did not come about is it still linked: then a notification that it took goes to the next.
condition_variable::link::~link() {
    bool passes_on = false;
    {
        const std::lock_guard hold(lasting_lock(&of));
        rt::wait_list::remove(node);
        passes_on = notified;
    }
    if (passes_on) of.notify_one();
}

rt::wake_reason condition_variable::link::suspend(deadline d) {
    rt::interruption_point(); // giving up the lock may have taken its time, and was not interrupted
    rt::spinlock& lock = lasting_lock(&of);
    rt::waiter w("a condition_variable", &of);
    lock.lock();
    if (notified) {
        notified = false;
        lock.unlock();
        w.abandon();
        return rt::wake_reason::woken;
    }
    suspended = &w;
    lock.unlock();
    const rt::wake_reason reason = w.suspend(d);
    const std::lock_guard hold(lock);
    rt::wait_list::remove(node);
    notified = false;
    return reason;
}

/// Under the lock, when it is out of the list: whether the notification is its own.
bool condition_variable::link::take() noexcept {
    notified = true;
    if (suspended == nullptr || suspended->wake()) return true;
    notified = false; // it was killed or timed out first
    return false;
}

void condition_variable::notify_one() noexcept {
    const std::lock_guard hold(lasting_lock(this));
    while (rt::wait_node* n = waiting_.front()) {
        rt::wait_list::remove(*n);
        if (static_cast<link*>(n->data)->take()) return;
    }
}

void condition_variable::notify_all() noexcept {
    const std::lock_guard hold(lasting_lock(this));
    while (rt::wait_node* n = waiting_.front()) {
        rt::wait_list::remove(*n);
        static_cast<link*>(n->data)->take();
    }
}

} // namespace weft
