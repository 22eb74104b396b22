// SPDX-License-Identifier: Apache-2.0
#include "core/log.hpp"

#include <weft/detail/hand_off.hpp>
#include <weft/sync.hpp>

#include <utility>

namespace weft {

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

} // namespace weft
