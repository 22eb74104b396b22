// SPDX-License-Identifier: Apache-2.0
#include <weft/detail/hand_off.hpp>
#include <weft/sync.hpp>

#include <stdexcept>

namespace weft {

bool semaphore::try_acquire() noexcept {
    const std::lock_guard hold(lock_);
    if (count_ == 0) return false;
    --count_;
    return true;
}

bool semaphore::acquire(deadline d) {
    return rt::take_or_wait(lock_, waiting_, "a semaphore", this, d, [this] { return count_ > 0 && count_-- > 0; });
}

void semaphore::give(std::size_t n) noexcept {
    while (n > 0 && waiting_.wake_one() != nullptr) --n;
    count_ += n;
}

void semaphore::release(std::size_t n) noexcept {
    const std::lock_guard hold(lock_);
    give(n);
}

bool semaphore::release_within(std::size_t bound, std::size_t n) noexcept {
    const std::lock_guard hold(lock_);
    if (n > bound - count_) return false;
    give(n);
    return true;
}

void bounded_semaphore::release(std::size_t n) {
    if (!release_within(bound_, n)) throw std::logic_error("weft: a bounded_semaphore was released more often than acquired");
}

std::size_t semaphore::count() const noexcept {
    const std::lock_guard hold(lock_);
    return count_;
}

semaphore::operator waitable() const {
    static constexpr rt::watch_operations operations{
        [](void* object, rt::wait_node& n) noexcept {
            auto& self = *static_cast<semaphore*>(object);
            const std::lock_guard hold(self.lock_);
            if (self.count_ > 0) return false;
            self.waiting_.push(n);
            return true;
        },
        [](void* object, rt::wait_node& n) noexcept {
            const std::lock_guard hold(static_cast<semaphore*>(object)->lock_);
            rt::wait_list::remove(n);
        }};
    return waitable(const_cast<semaphore*>(this), operations);
}

} // namespace weft
