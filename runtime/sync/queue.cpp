// SPDX-License-Identifier: Apache-2.0
#include <weft/detail/hand_off.hpp>
#include <weft/detail/queue_core.hpp>

#include <utility>

namespace weft::rt {

// --- The order ---

void queue_core::push_node(queue_node& n) noexcept {
    n.next = nullptr;
    (head_ == nullptr ? head_ : tail_->next) = &n;
    tail_ = &n;
}

queue_node* queue_core::pop_node() noexcept {
    queue_node* n = head_;
    head_ = n->next;
    return n;
}

void lifo_core::push_node(queue_node& n) noexcept {
    n.next = head_;
    head_ = &n;
}

void token_core::push_node(queue_node&) noexcept {}
queue_node* token_core::pop_node() noexcept { return &token_; }
queue_node* token_core::pop_all() noexcept { return nullptr; }

// --- Putting ---

queue_core::outcome queue_core::look_for_room() noexcept {
    if (closed_) return outcome::closed;
    if (maxsize_ != 0 && size_ + reserved_ >= maxsize_) return outcome::late;
    ++reserved_;
    return outcome::done;
}

queue_core::outcome queue_core::try_reserve() noexcept {
    const std::lock_guard hold(lock_);
    return look_for_room();
}

queue_core::outcome queue_core::reserve(deadline d) {
    for (;;) {
        interruption_point();
        outcome now = try_reserve();
        if (now != outcome::late) return now;
        queue_ticket mine;
        waiter w("room in a queue", this);
        w.node.data = &mine;
        lock_.lock();
        now = look_for_room();
        if (now == outcome::late) putters_.push(w.node);
        lock_.unlock();
        if (now != outcome::late) {
            w.abandon();
            return now;
        }
        const wake_reason reason = suspend_in(lock_, w, d);
        if (reason == wake_reason::woken) return mine.result;
        if (deadline_reached(reason)) return outcome::late;
    }
}

/// A place got free: it is reserved for the one that has waited longest.
void queue_core::free_place() noexcept {
    if (wait_node* n = putters_.wake_one()) {
        static_cast<queue_ticket*>(n->data)->result = outcome::done;
        ++reserved_;
    }
}

/// Wakes all that wait for what will not come.
void queue_core::close_all(wait_list& waiting) noexcept {
    while (wait_node* n = waiting.wake_one()) static_cast<queue_ticket*>(n->data)->result = outcome::closed;
}

/// To the one that has waited longest; those that peek see it on its way.
bool queue_core::hand_over(queue_node& n) noexcept {
    arriving_ = &n;
    const wait_node* getter = getters_.wake_one();
    arriving_ = nullptr;
    if (getter == nullptr) return false;
    auto* ticket = static_cast<queue_ticket*>(getter->data);
    ticket->got = &n;
    ticket->result = outcome::done;
    return true;
}

bool queue_core::commit(queue_node& n) noexcept {
    const std::lock_guard hold(lock_);
    --reserved_;
    if (discards_) {
        tell_end();
        return false;
    }
    ++unfinished_;
    if (hand_over(n)) {
        free_place();
        tell_end();
    } else {
        push_node(n);
        ++size_;
    }
    return true;
}

void queue_core::give_back(queue_node& n) noexcept {
    const std::lock_guard hold(lock_);
    if (hand_over(n)) return;
    push_node(n);
    ++size_;
}

void queue_core::cancel() noexcept {
    const std::lock_guard hold(lock_);
    --reserved_;
    free_place();
    tell_end();
}

// --- Getting ---

queue_core::outcome queue_core::look(queue_node*& n, bool peeking) noexcept {
    if (size_ == 0) return ended() ? outcome::closed : outcome::late;
    if (peeking) {
        n = front_node();
        n->readers.fetch_add(1, std::memory_order_relaxed);
        return outcome::done;
    }
    n = pop_node();
    --size_;
    free_place();
    tell_end();
    return outcome::done;
}

queue_core::outcome queue_core::wait_for_node(queue_node*& n, deadline d, bool peeking) {
    for (;;) {
        interruption_point();
        lock_.lock();
        outcome now = look(n, peeking);
        lock_.unlock();
        if (now != outcome::late) return now;
        struct request : queue_ticket {
            queue_core* queue;
        } wanted;
        wanted.queue = this;
        waiter w("an item of a queue", this);
        w.node.data = static_cast<queue_ticket*>(&wanted);
        if (peeking) {
            w.node.notify = [](wait_node& node) noexcept { // shares the node with whoever takes it
                if (!node.owner->wake()) return;
                auto& r = *static_cast<request*>(static_cast<queue_ticket*>(node.data));
                r.got = r.queue->arriving_;
                r.result = r.got == nullptr ? outcome::closed : outcome::done;
                if (r.got != nullptr) r.got->readers.fetch_add(1, std::memory_order_relaxed);
            };
        }
        lock_.lock();
        now = look(n, peeking);
        if (now == outcome::late) getters_.push(w.node);
        lock_.unlock();
        if (now != outcome::late) {
            w.abandon();
            return now;
        }
        const wake_reason reason = suspend_in(lock_, w, d);
        if (reason == wake_reason::woken) {
            n = wanted.got;
            return wanted.result;
        }
        if (deadline_reached(reason)) return outcome::late;
    }
}

queue_core::outcome queue_core::take(queue_node*& n, deadline d) { return wait_for_node(n, d, false); }
queue_core::outcome queue_core::peek(queue_node*& n, deadline d) { return wait_for_node(n, d, true); }

queue_core::outcome queue_core::try_take(queue_node*& n) noexcept {
    const std::lock_guard hold(lock_);
    return look(n, false);
}

queue_core::outcome queue_core::try_peek(queue_node*& n) noexcept {
    const std::lock_guard hold(lock_);
    return look(n, true);
}

void queue_core::release(queue_node& n) noexcept {
    const std::lock_guard hold(lock_);
    if (n.readers.fetch_sub(1, std::memory_order_release) == 1) takers_.wake_all();
}

void queue_core::wait_for_readers_slow(queue_node& n) noexcept {
    while (n.readers.load(std::memory_order_acquire) != 0) {
        waiter w("a peek at an item", this, interruption::deferred);
        lock_.lock();
        if (n.readers.load(std::memory_order_relaxed) == 0) {
            lock_.unlock();
            w.abandon();
            continue;
        }
        takers_.push(w.node);
        lock_.unlock();
        suspend_in(lock_, w, {});
    }
}

// --- The end, and tasks ---

queue_node* queue_core::shutdown(bool immediate, std::size_t& dropped) noexcept {
    const std::lock_guard hold(lock_);
    closed_ = true;
    close_all(putters_);
    dropped = 0;
    queue_node* left = nullptr;
    if (immediate) {
        discards_ = true;
        left = pop_all();
        dropped = std::exchange(size_, 0);
        unfinished_ -= dropped;
        if (unfinished_ == 0) joiners_.wake_all();
    }
    tell_end();
    return left;
}

bool queue_core::task_done() noexcept {
    const std::lock_guard hold(lock_);
    if (unfinished_ == 0) return false;
    if (--unfinished_ == 0) joiners_.wake_all();
    return true;
}

bool queue_core::join(deadline d) {
    return take_or_wait(lock_, joiners_, "the tasks of a queue", this, d, [this] { return unfinished_ == 0; });
}

// --- Looking ---

std::size_t queue_core::size() const noexcept {
    const std::lock_guard hold(lock_);
    return size_;
}

bool queue_core::full() const noexcept {
    const std::lock_guard hold(lock_);
    return maxsize_ != 0 && size_ + reserved_ >= maxsize_;
}

bool queue_core::is_shutdown() const noexcept {
    const std::lock_guard hold(lock_);
    return closed_;
}

constexpr watch_operations queue_core::watching{
    [](void* object, wait_node& n) noexcept {
        auto& self = *static_cast<queue_core*>(object);
        const std::lock_guard hold(self.lock_);
        if (self.size_ > 0 || self.ended()) return false;
        self.getters_.push(n);
        return true;
    },
    [](void* object, wait_node& n) noexcept {
        const std::lock_guard hold(static_cast<queue_core*>(object)->lock_);
        wait_list::remove(n);
    }};

} // namespace weft::rt
