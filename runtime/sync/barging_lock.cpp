// SPDX-License-Identifier: Apache-2.0
#include <weft/detail/barging_lock.hpp>
#include <weft/detail/hand_off.hpp>

#include <utility>

namespace weft::rt {

void barging_lock::lock() noexcept {
    for (;;) {
        {
            const std::lock_guard hold(lock_);
            if (!std::exchange(held_, true)) return;
        }
        waiter w("the order of a queue", this, interruption::deferred);
        lock_.lock();
        const bool taken = !std::exchange(held_, true);
        if (!taken) waiting_.push(w.node);
        lock_.unlock();
        if (taken) {
            w.abandon();
            return;
        }
        suspend_in(lock_, w, {});
    }
}

/// All of them, as the first may be unable to run.
void barging_lock::unlock() noexcept {
    const std::lock_guard hold(lock_);
    held_ = false;
    waiting_.wake_all();
}

} // namespace weft::rt
