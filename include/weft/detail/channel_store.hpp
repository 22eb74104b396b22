// SPDX-License-Identifier: Apache-2.0
#pragma once

// How a channel passes its values on (queue_store.hpp).

#include <weft/deadline.hpp>
#include <weft/detail/channel_core.hpp>
#include <weft/detail/queue_core.hpp>
#include <weft/detail/select_case.hpp>

#include <optional>
#include <type_traits>
#include <utility>

namespace weft::rt {

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
