// SPDX-License-Identifier: Apache-2.0
#pragma once

// How a queue by priority keeps its values (queue_store.hpp).

#include <weft/deadline.hpp>
#include <weft/detail/barging_lock.hpp>
#include <weft/detail/queue_core.hpp>
#include <weft/detail/select_case.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

namespace weft::rt {

/// In a heap, the smallest first, and what compares equal in the order of arrival. The core counts; whoever got one from it takes what is
/// smallest then. Compare runs under a lock that suspends who waits for it, so it may wait, and throw: then nothing has happened.
template <class T, class Compare>
class heap_store {
    struct item {
        template <class U>
        item(U&& v, std::uint64_t n) : value(std::forward<U>(v)), order(n) {}
        T value;
        std::uint64_t order;
    };
    using item_ptr = std::unique_ptr<item>;

public:
    explicit heap_store(std::size_t maxsize, Compare compare = Compare()) : core_(maxsize), compare_(std::move(compare)) {}
    ~heap_store() { shutdown(true); }

    [[nodiscard]] token_core& core() noexcept { return core_; }
    [[nodiscard]] const token_core& core() const noexcept { return core_; }

    template <class U>
    queue_outcome put(U&& value, deadline d) {
        return fill_if(core_.reserve(d), std::forward<U>(value));
    }
    template <class U>
    queue_outcome try_put(U&& value) {
        return fill_if(core_.try_reserve(), std::forward<U>(value));
    }
    queue_outcome get(std::optional<T>& place, deadline d) {
        queue_node* token = nullptr;
        const queue_outcome o = core_.take(token, d);
        if (o == queue_outcome::done) extract(place);
        return o;
    }
    queue_outcome try_get(std::optional<T>& place) {
        queue_node* token = nullptr;
        const queue_outcome o = core_.try_take(token);
        if (o == queue_outcome::done) extract(place);
        return o;
    }
    queue_outcome peek(std::optional<T>& place, deadline d) {
        for (;;) {
            queue_node* token = nullptr;
            const queue_outcome o = core_.peek(token, d);
            if (o != queue_outcome::done) return o;
            core_.release(*token);
            if (copy(place)) return o;
        }
    }
    queue_outcome try_peek(std::optional<T>& place) {
        queue_node* token = nullptr;
        const queue_outcome o = core_.try_peek(token);
        if (o != queue_outcome::done) return o;
        core_.release(*token);
        return copy(place) ? o : queue_outcome::late;
    }
    void shutdown(bool immediate) noexcept {
        std::size_t dropped = 0;
        core_.shutdown(immediate, dropped);
        while (dropped-- > 0) drop_one();
    }

    class get_case final : public queue_get_case {
    public:
        explicit get_case(heap_store& s) noexcept : queue_get_case(s.core_), store_(s) {}
        void receive(std::optional<T>& place) { store_.extract(place); }

    private:
        heap_store& store_;
    };
    template <class U>
    class put_case final : public queue_put_case {
    public:
        put_case(heap_store& s, U value) noexcept : queue_put_case(s.core_), store_(s), value_(static_cast<U>(value)) {}
        void deliver() { store_.fill(static_cast<U>(value_)); }

    private:
        heap_store& store_;
        U value_;
    };

private:
    [[nodiscard]] bool before(const item& a, const item& b) {
        if (compare_(a.value, b.value)) return true;
        return !compare_(b.value, a.value) && a.order < b.order;
    }

    /// A place is reserved. Compares first, then moves the value in.
    template <class U>
    void fill(U&& value) {
        const no_interruption to_the_end;
        bool kept = false;
        try {
            const std::lock_guard hold(lock_);
            heap_.emplace_back(); // a hole, which goes up to where the value belongs
            try {
                std::size_t at = heap_.size() - 1;
                while (at > 0 && compare_(std::as_const(value), std::as_const(heap_[(at - 1) / 2]->value))) at = (at - 1) / 2;
                auto made = std::make_unique<item>(std::forward<U>(value), arrivals_);
                for (std::size_t i = heap_.size() - 1; i != at; i = (i - 1) / 2) heap_[i] = std::move(heap_[(i - 1) / 2]);
                heap_[at] = std::move(made);
            } catch (...) {
                heap_.pop_back();
                throw;
            }
            ++arrivals_;
            kept = core_.commit(core_.token());
        } catch (...) {
            core_.cancel();
            throw;
        }
        if (!kept) drop_one();
    }
    template <class U>
    queue_outcome fill_if(queue_outcome place, U&& value) {
        if (place == queue_outcome::done) fill(std::forward<U>(value));
        return place;
    }

    /// A token was taken, so there is one for us.
    void extract(std::optional<T>& place) {
        const no_interruption to_the_end;
        item_ptr taken;
        try {
            const std::lock_guard hold(lock_);
            taken = pop();
        } catch (...) {
            core_.give_back(core_.token());
            throw;
        }
        place.emplace(std::move(taken->value));
    }

    /// The hole at the top goes down to where the last belongs: compares first, then moves.
    item_ptr pop() {
        constexpr std::size_t deepest = 64;
        std::size_t path[deepest];
        std::size_t depth = 0;
        const std::size_t last = heap_.size() - 1;
        for (std::size_t child = 1; child < last; child = 2 * child + 1) {
            if (child + 1 < last && before(*heap_[child + 1], *heap_[child])) ++child;
            if (!before(*heap_[child], *heap_[last])) break;
            path[depth++] = child;
        }
        item_ptr top = std::move(heap_.front());
        std::size_t hole = 0;
        for (std::size_t i = 0; i < depth; hole = path[i++]) heap_[hole] = std::move(heap_[path[i]]);
        if (hole != last) heap_[hole] = std::move(heap_[last]);
        heap_.pop_back();
        return top;
    }

    bool copy(std::optional<T>& place) {
        const std::lock_guard hold(lock_);
        if (heap_.empty()) return false; // it was taken meanwhile
        place.emplace(std::as_const(heap_.front()->value));
        return true;
    }

    /// One that nobody has a token for; any will do.
    void drop_one() noexcept {
        const no_interruption to_the_end;
        item_ptr gone;
        const std::lock_guard hold(lock_);
        gone = std::move(heap_.back());
        heap_.pop_back();
    }

    token_core core_;
    barging_lock lock_; // guards what follows
    std::vector<item_ptr> heap_;
    std::uint64_t arrivals_ = 0;
    Compare compare_;
};

} // namespace weft::rt
