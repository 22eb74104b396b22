// SPDX-License-Identifier: Apache-2.0
#pragma once

// How queues keep their values. Each store has the same members, which basic_queue makes into what the user sees:
// put, try_put, get, try_get, peek, try_peek, shutdown, core, and its cases of a select.

#include <weft/deadline.hpp>
#include <weft/detail/barging_lock.hpp>
#include <weft/detail/channel_core.hpp>
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

/// In nodes, one for each value, in the order that Core gives them: a value is moved outside of every lock.
template <class T, class Core>
class node_store {
    struct item final : queue_node {
        template <class U>
        explicit item(U&& v) : value(std::forward<U>(v)) {}
        T value;
    };

public:
    explicit node_store(std::size_t maxsize) noexcept : core_(maxsize) {}
    ~node_store() { shutdown(true); }

    [[nodiscard]] Core& core() noexcept { return core_; }
    [[nodiscard]] const Core& core() const noexcept { return core_; }

    template <class U>
    queue_outcome put(U&& value, deadline d) {
        return fill_if(core_.reserve(d), std::forward<U>(value));
    }
    template <class U>
    queue_outcome try_put(U&& value) {
        return fill_if(core_.try_reserve(), std::forward<U>(value));
    }
    queue_outcome get(std::optional<T>& place, deadline d) {
        queue_node* n = nullptr;
        const queue_outcome o = core_.take(n, d);
        if (o == queue_outcome::done) extract(n, place);
        return o;
    }
    queue_outcome try_get(std::optional<T>& place) {
        queue_node* n = nullptr;
        const queue_outcome o = core_.try_take(n);
        if (o == queue_outcome::done) extract(n, place);
        return o;
    }
    queue_outcome peek(std::optional<T>& place, deadline d) {
        queue_node* n = nullptr;
        const queue_outcome o = core_.peek(n, d);
        return copy_if(o, n, place);
    }
    queue_outcome try_peek(std::optional<T>& place) {
        queue_node* n = nullptr;
        const queue_outcome o = core_.try_peek(n);
        return copy_if(o, n, place);
    }
    void shutdown(bool immediate) noexcept {
        std::size_t dropped = 0;
        for (queue_node* n = core_.shutdown(immediate, dropped); n != nullptr;) {
            const std::unique_ptr<item> gone(static_cast<item*>(std::exchange(n, n->next)));
            core_.wait_for_readers(*gone);
        }
    }

    class get_case final : public queue_get_case {
    public:
        explicit get_case(node_store& s) noexcept : queue_get_case(s.core_), store_(s) {}
        void receive(std::optional<T>& place) { store_.extract(got(), place); }

    private:
        node_store& store_;
    };
    template <class U> // T&& or const T&
    class put_case final : public queue_put_case {
    public:
        put_case(node_store& s, U value) noexcept : queue_put_case(s.core_), store_(s), value_(static_cast<U>(value)) {}
        void deliver() { store_.fill(static_cast<U>(value_)); }

    private:
        node_store& store_;
        U value_;
    };

private:
    /// A place is reserved.
    template <class U>
    void fill(U&& value) {
        std::unique_ptr<item> made;
        try {
            made = std::make_unique<item>(std::forward<U>(value));
        } catch (...) {
            core_.cancel();
            throw;
        }
        if (core_.commit(*made)) (void)made.release();
    }
    template <class U>
    queue_outcome fill_if(queue_outcome place, U&& value) {
        if (place == queue_outcome::done) fill(std::forward<U>(value));
        return place;
    }
    void extract(queue_node* n, std::optional<T>& place) {
        const std::unique_ptr<item> taken(static_cast<item*>(n));
        core_.wait_for_readers(*taken);
        place.emplace(std::move(taken->value));
    }
    queue_outcome copy_if(queue_outcome o, queue_node* n, std::optional<T>& place) {
        if (o != queue_outcome::done) return o;
        struct reading {
            queue_core& core;
            queue_node& node;
            ~reading() { core.release(node); }
        } const until_copied{core_, *n};
        place.emplace(std::as_const(static_cast<item*>(n)->value));
        return o;
    }

    Core core_;
};

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

/// Nowhere: a put hands its value to a get.
template <class T>
class channel_store {
    using side = channel_core::side;

    struct offer { // one of the two
        T* to_move = nullptr;
        const T* to_copy = nullptr;
        explicit offer(T&& v) noexcept : to_move(&v) {}
        explicit offer(const T& v) noexcept : to_copy(&v) {}
    };

public:
    channel_store() noexcept = default;
    ~channel_store() { shutdown(true); }

    [[nodiscard]] channel_core& core() noexcept { return core_; }
    [[nodiscard]] const channel_core& core() const noexcept { return core_; }

    template <class U>
    queue_outcome put(U&& value, deadline d) {
        offer mine(std::forward<U>(value));
        channel_party me(&mine);
        channel_party* other = nullptr;
        const queue_outcome o = core_.meet(side::put, me, other, d);
        return give_if(o, other, mine);
    }
    template <class U>
    queue_outcome try_put(U&& value) {
        offer mine(std::forward<U>(value));
        channel_party* other = nullptr;
        const queue_outcome o = core_.try_meet(side::put, other);
        return give_if(o, other, mine);
    }
    queue_outcome get(std::optional<T>& place, deadline d) {
        channel_party me(&place);
        channel_party* other = nullptr;
        const queue_outcome o = core_.meet(side::get, me, other, d);
        return take_if(o, other, place);
    }
    queue_outcome try_get(std::optional<T>& place) {
        channel_party* other = nullptr;
        const queue_outcome o = core_.try_meet(side::get, other);
        return take_if(o, other, place);
    }
    queue_outcome peek(std::optional<T>& place, deadline d) {
        channel_party* put = nullptr;
        const queue_outcome o = core_.peek(put, d);
        return copy_if(o, put, place);
    }
    queue_outcome try_peek(std::optional<T>& place) {
        channel_party* put = nullptr;
        const queue_outcome o = core_.try_peek(put);
        return copy_if(o, put, place);
    }
    void shutdown(bool) noexcept { core_.shutdown(); }

    /// What a get and a put in a select have in common.
    class party_case : public select_case {
    public:
        [[nodiscard]] spinlock& guard() const noexcept final { return store_.core_.guard(); }
        queue_outcome look() noexcept final { return store_.core_.meet_now(as_, other_ = nullptr); }
        void enlist(waiter& w) noexcept final {
            me_.node.owner = &w;
            store_.core_.enlist(as_, me_);
        }
        queue_outcome withdraw() noexcept final {
            wait_list::remove(me_.node);
            if (me_.now == channel_party::stage::waiting) return queue_outcome::late;
            return me_.now == channel_party::stage::closed ? queue_outcome::closed : queue_outcome::done;
        }
        bool settle() noexcept final { return store_.core_.settle(me_) != channel_party::stage::failed; }

    protected:
        party_case(channel_store& s, side as, void* value) noexcept : store_(s), me_(value), as_(as) {}
        ~party_case() = default;
        channel_store& store_;
        channel_party me_;
        channel_party* other_ = nullptr;

    private:
        side as_;
    };
    class get_case final : public party_case {
    public:
        explicit get_case(channel_store& s) noexcept : party_case(s, side::get, &place_) {}
        void receive(std::optional<T>& place) {
            if (this->other_ == nullptr) place.emplace(std::move(*place_));
            else this->store_.take_if(queue_outcome::done, this->other_, place);
        }

    private:
        std::optional<T> place_;
    };
    template <class U>
    class put_case final : public party_case {
    public:
        put_case(channel_store& s, U value) noexcept : party_case(s, side::put, &offer_), offer_(static_cast<U>(value)) {}
        void deliver() { this->store_.give_if(queue_outcome::done, this->other_, offer_); }

    private:
        offer offer_;
    };

private:
    /// Moves a value, and tells the other one whether that went well.
    template <class Move>
    void transfer(channel_party& other, Move move) {
        struct telling {
            channel_core& core;
            channel_party& other;
            bool moved = false;
            ~telling() { core.finish(other, moved); }
        } at_end{core_, other};
        move();
        at_end.moved = true;
    }
    static void move_into(std::optional<T>& place, const offer& from) {
        if (from.to_move != nullptr) {
            place.emplace(std::move(*from.to_move));
        } else if constexpr (std::is_copy_constructible_v<T>) {
            place.emplace(*from.to_copy);
        }
    }
    queue_outcome give_if(queue_outcome o, channel_party* getter, const offer& mine) {
        if (o == queue_outcome::done && getter != nullptr)
            transfer(*getter, [&] { move_into(*static_cast<std::optional<T>*>(getter->value), mine); });
        return o;
    }
    queue_outcome take_if(queue_outcome o, channel_party* putter, std::optional<T>& place) {
        if (o == queue_outcome::done && putter != nullptr) {
            core_.wait_for_readers(*putter);
            transfer(*putter, [&] { move_into(place, *static_cast<const offer*>(putter->value)); });
        }
        return o;
    }
    queue_outcome copy_if(queue_outcome o, channel_party* put, std::optional<T>& place) {
        if (o != queue_outcome::done) return o;
        struct reading {
            channel_core& core;
            channel_party& put;
            ~reading() { core.release(put); }
        } const until_copied{core_, *put};
        const auto& from = *static_cast<const offer*>(put->value);
        place.emplace(std::as_const(from.to_move != nullptr ? *from.to_move : *from.to_copy));
        return o;
    }

    channel_core core_;
};

} // namespace weft::rt
