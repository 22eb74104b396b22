// SPDX-License-Identifier: Apache-2.0
#pragma once

// How the synchronisation objects wait: in a FIFO, for a hand-off.

#include <weft/deadline.hpp>
#include <weft/detail/waiter.hpp>
#include <weft/export.hpp>

#include <mutex>

namespace weft::rt {

/// A lock for that object which is not within it, so that whoever wakes, and whoever was woken or timed out, may take it when the
/// other has destroyed the object. Objects share a few hundred; never hold two, nor call out while holding one.
WEFT_API spinlock& lasting_lock(const void* object) noexcept;

/// Suspends a waiter that is linked in a list, then takes it out under the list's lock; it touches nothing of the object
/// before it has that lock, so a waker of another kernel thread is done with the object before the woken may destroy it. One of the
/// same hub is done anyway, and may have destroyed it.
inline wake_reason suspend_in(spinlock& lock, waiter& w, deadline d) noexcept {
    const wake_reason reason = w.suspend(d);
    if (reason == wake_reason::woken && w.woken_at_home()) return reason; // and its node is out
    const std::lock_guard hold(lock);
    wait_list::remove(w.node);
    return reason;
}

/// Takes something now, or waits in `list` until somebody hands it over.
///
/// `take` runs under `lock` and says whether it took; `data` is for the waker, under `lock` too. Whoever gives calls
/// `list.wake_one()` under the lock: a node means that its waiter owns the thing now, nullptr that nobody waits for it. So
/// nobody barges in, and a killed or timed-out waiter swallows nothing. False: the deadline came first. Throws what
/// interruption_point and a deadlock throw.
template <class Take>
bool take_or_wait(spinlock& lock, wait_list& list, const char* what, const void* object, deadline d, Take take,
                  void* data = nullptr) {
    for (;;) {
        interruption_point();
        {
            const std::lock_guard hold(lock);
            if (take()) return true;
        }
        waiter w(what, object); // not under the lock: the main thread's first wait makes its hub
        w.node.data = data;
        lock.lock();
        if (take()) {
            lock.unlock();
            w.abandon();
            return true;
        }
        list.push(w.node);
        lock.unlock();
        const wake_reason reason = suspend_in(lock, w, d);
        if (reason == wake_reason::woken) return true;
        if (deadline_reached(reason)) return false;
    }
}

} // namespace weft::rt
