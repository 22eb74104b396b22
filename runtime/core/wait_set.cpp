// SPDX-License-Identifier: Apache-2.0
#include <weft/detail/waitable.hpp>

#include <mutex>

namespace weft::rt {

wait_set::wait_set(std::vector<waitable> objects)
    : objects_(std::move(objects)), entries_(std::make_unique<entry[]>(objects_.size())), left_(objects_.size()) {
    for (std::size_t i = 0; i < objects_.size(); ++i) {
        entry& e = entries_[i];
        e.set = this;
        e.notify = [](wait_node& n) noexcept {
            auto& self = static_cast<entry&>(n);
            self.set->completed(self);
        };
        if (!objects_[i].watch(e)) completed(e);
    }
}

wait_set::~wait_set() {
    for (std::size_t i = 0; i < objects_.size(); ++i) {
        lock_.lock();
        const bool told = entries_[i].told;
        lock_.unlock();
        if (!told) objects_[i].unwatch(entries_[i]); // who told of itself may be gone since
    }
}

void wait_set::completed(entry& e) noexcept {
    const std::lock_guard hold(lock_);
    e.told = true;
    (last_ == nullptr ? first_ : last_->later) = &e;
    last_ = &e;
    waiting_.wake_one();
}

std::size_t wait_set::next(deadline d) {
    if (left_ == 0) return none;
    for (;;) {
        interruption_point();
        lock_.lock();
        if (entry* e = first_) {
            first_ = e->later;
            if (first_ == nullptr) last_ = nullptr;
            --left_;
            lock_.unlock();
            return static_cast<std::size_t>(e - entries_.get());
        }
        waiter w("the first of several", this);
        waiting_.push(w.node);
        lock_.unlock();
        const wake_reason reason = w.suspend(d);
        {
            const std::lock_guard hold(lock_);
            wait_list::remove(w.node);
        }
        if (reason != wake_reason::woken && deadline_reached(reason)) return none;
    }
}

} // namespace weft::rt
