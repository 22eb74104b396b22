// SPDX-License-Identifier: Apache-2.0
#include <weft/detail/hand_off.hpp>
#include <weft/event.hpp>

namespace weft {

void event::set() noexcept {
    const std::lock_guard hold(rt::lasting_lock(this));
    set_ = true;
    waiting_.wake_all();
}

void event::clear() noexcept {
    const std::lock_guard hold(rt::lasting_lock(this));
    set_ = false;
}

bool event::is_set() const noexcept {
    const std::lock_guard hold(rt::lasting_lock(this));
    return set_;
}

bool event::wait(deadline d) {
    return rt::take_or_wait(rt::lasting_lock(this), waiting_, "an event", this, d, [this] { return set_; });
}

event::operator waitable() const {
    static constexpr rt::watch_operations operations{
        [](void* object, rt::wait_node& n) noexcept {
            auto& self = *static_cast<event*>(object);
            const std::lock_guard hold(rt::lasting_lock(object));
            if (self.set_) return false;
            self.waiting_.push(n);
            return true;
        },
        [](void* object, rt::wait_node& n) noexcept {
            const std::lock_guard hold(rt::lasting_lock(object));
            rt::wait_list::remove(n);
        }};
    return waitable(const_cast<event*>(this), operations);
}

} // namespace weft
