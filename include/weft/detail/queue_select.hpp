// SPDX-License-Identifier: Apache-2.0
#pragma once

// The part of <weft/queue.hpp> that waits for one of several queues.

#include <weft/detail/invoke.hpp>
#include <weft/queue.hpp>

#include <array>
#include <concepts>
#include <cstddef>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>

namespace weft {

namespace rt {

struct do_nothing {
    void operator()() const noexcept {}
};

/// What on_get and its like return: what is wanted, to be given to select.
template <class Queue, class F>
struct get_wish {
    Queue& queue;
    F fn;
};
/// Value: T itself, or a pointer to a value that stays the caller's until it is put.
template <class Queue, class Value, class F>
struct put_wish {
    Queue& queue;
    Value value;
    F fn;
};
template <class F>
struct timeout_wish {
    deadline until;
    F fn;
};

/// A wish being fulfilled: its case for `choose`, null for none, and what to do when it was chosen.
template <class Wish>
class wish_in_progress;

template <class Queue, class F>
class wish_in_progress<get_wish<Queue, F>> {
public:
    explicit wish_in_progress(get_wish<Queue, F>& w) : case_(w.queue.store()), fn_(w.fn) {}
    select_case* in_queue() noexcept { return &case_; }
    [[nodiscard]] deadline until() const noexcept { return {}; }
    void carry_out() {
        std::optional<typename Queue::value_type> got;
        case_.receive(got);
        rt::invoke(fn_, *std::move(got));
    }

private:
    typename std::remove_reference_t<decltype(std::declval<Queue&>().store())>::get_case case_;
    F& fn_;
};

template <class Queue, class Value, class F>
class wish_in_progress<put_wish<Queue, Value, F>> {
    using T = typename Queue::value_type;
    using given = std::conditional_t<std::is_same_v<Value, const T*>, const T&, T&&>;

public:
    explicit wish_in_progress(put_wish<Queue, Value, F>& w) : case_(w.queue.store(), value_of(w.value)), fn_(w.fn) {}
    select_case* in_queue() noexcept { return &case_; }
    [[nodiscard]] deadline until() const noexcept { return {}; }
    void carry_out() {
        case_.deliver();
        rt::invoke(fn_);
    }

private:
    static given value_of(Value& v) noexcept {
        if constexpr (std::is_same_v<Value, T>) return std::move(v);
        else return static_cast<given>(*v);
    }
    typename std::remove_reference_t<decltype(std::declval<Queue&>().store())>::template put_case<given> case_;
    F& fn_;
};

template <class F>
class wish_in_progress<timeout_wish<F>> {
public:
    explicit wish_in_progress(timeout_wish<F>& w) : until_(w.until), fn_(w.fn) {}
    select_case* in_queue() noexcept { return nullptr; }
    [[nodiscard]] deadline until() const noexcept { return until_; }
    void carry_out() { rt::invoke(fn_); }

private:
    deadline until_;
    F& fn_;
};

} // namespace rt

/// For select: get from `q` and call `fn(value)`.
template <class Queue, class F>
    requires std::invocable<F&, typename Queue::value_type>
auto on_get(Queue& q, F fn) {
    return rt::get_wish<Queue, F>{q, std::move(fn)};
}

/// For select: put `value` into `q` and call `fn()`. The value is copied or moved from only if this is what happens, so it must live
/// as long as the select.
template <class Queue, class Value, class F = rt::do_nothing>
    requires std::convertible_to<Value, typename Queue::value_type> && std::invocable<F&>
auto on_put(Queue& q, Value&& value, F fn = {}) {
    using T = typename Queue::value_type;
    if constexpr (!std::is_same_v<std::remove_cvref_t<Value>, T> ||
                  (!std::is_lvalue_reference_v<Value> && std::is_trivially_copyable_v<T>)) {
        return rt::put_wish<Queue, T, F>{q, static_cast<T>(std::forward<Value>(value)), std::move(fn)};
    } else if constexpr (std::is_lvalue_reference_v<Value> || std::is_const_v<std::remove_reference_t<Value>>) {
        return rt::put_wish<Queue, const T*, F>{q, &value, std::move(fn)};
    } else {
        return rt::put_wish<Queue, T*, F>{q, &value, std::move(fn)};
    }
}

/// For select: call `fn()` if nothing else could be done by the deadline; one in the past makes it a poll.
template <class F = rt::do_nothing>
    requires std::invocable<F&>
auto on_timeout(deadline d, F fn = {}) {
    return rt::timeout_wish<F>{d, std::move(fn)};
}

/// Waits until one of several can be done, does it, and returns its index, counted from 0. It does exactly one; where several can be done
/// at once each has the same chance, and in each queue it waits its turn among those that wait there. Throws queue_shutdown if a queue is
/// shut down (to get from it: and empty) and nothing else can be done. What `fn` throws leaves select, when the get or put is done.
template <class... Wishes>
    requires(sizeof...(Wishes) > 0)
std::size_t select(Wishes&&... wishes) {
    constexpr std::size_t count = sizeof...(Wishes);
    std::tuple<rt::wish_in_progress<std::remove_cvref_t<Wishes>>...> all(wishes...);
    std::array<rt::select_case*, count> cases{};
    std::array<std::size_t, count> index{}; // of each case
    std::array<rt::spinlock*, count> scratch{};
    std::size_t in_queues = 0;
    std::size_t timeout_index = rt::none_of_them;
    deadline until;
    std::size_t at = 0;
    const auto look = [&](auto& wish) {
        if (rt::select_case* c = wish.in_queue()) {
            index[in_queues] = at;
            cases[in_queues++] = c;
        } else if (timeout_index == rt::none_of_them || wish.until() < until) {
            until = wish.until();
            timeout_index = at;
        }
        ++at;
    };
    std::apply([&](auto&... wish) { (look(wish), ...); }, all);
    const std::size_t chosen = rt::choose(std::span(cases).first(in_queues), std::span(scratch).first(in_queues), until);
    const std::size_t result = chosen == rt::none_of_them ? timeout_index : index[chosen];
    at = 0;
    std::apply([&](auto&... wish) { ((at++ == result ? wish.carry_out() : void()), ...); }, all);
    return result;
}

} // namespace weft
