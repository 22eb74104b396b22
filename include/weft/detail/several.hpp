// SPDX-License-Identifier: Apache-2.0
#pragma once

// The part of <weft/fiber.hpp> that waits for several fibers, or other objects, at once.

#include <weft/detail/range.hpp>
#include <weft/fiber.hpp>

#include <concepts>
#include <cstddef>
#include <initializer_list>
#include <iterator>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace weft {

namespace rt {

/// What to wait for in an element: it is waitable, or refers to one (a pointer of any kind, a std::reference_wrapper).
template <class T>
waitable waitable_of(T& element) {
    if constexpr (std::is_convertible_v<T&, waitable>) return element;
    else if constexpr (requires { *element; }) return waitable_of(*element);
    else return waitable_of(element.get());
}

/// What stands for an element in an answer: a copy of it, or a waitable where it is an object that cannot be copied.
template <class Range>
using answer_t = std::conditional_t<std::copy_constructible<range_value_t<Range>>, range_value_t<Range>, waitable>;

template <class Range>
std::vector<answer_t<Range>> answers_of(Range&& objects) {
    std::vector<answer_t<Range>> all;
    if constexpr (requires { std::ranges::size(objects); }) all.reserve(std::ranges::size(objects));
    for (auto&& o : objects) {
        if constexpr (std::copy_constructible<range_value_t<Range>>) all.emplace_back(std::forward<decltype(o)>(o));
        else all.push_back(waitable_of(o));
    }
    return all;
}

template <class T>
std::vector<waitable> waitables_of(std::vector<T>& objects) {
    std::vector<waitable> all;
    all.reserve(objects.size());
    for (T& o : objects) all.push_back(waitable_of(o));
    return all;
}

WEFT_API bool wait_until_quiet(deadline d);
} // namespace rt

/// Waits until nothing is left to run but the callers of this: all other fibers of the hub have ended, or nothing could wake
/// those that have not. Coroutines that have yielded, and signal handlers, do not keep it waiting. False: the deadline came first.
inline bool wait() { return rt::wait_until_quiet({}); }
inline bool wait(deadline d) { return rt::wait_until_quiet(d); }

/// Waits until `count` of the objects are ready (all of them by default) or the deadline; those that are, in order of completion.
/// The range may hold handles, waitables, pointers to objects, or the objects themselves: then the answer is of waitables, which
/// compare equal to the objects.
template <rt::input_range Range>
auto wait(Range&& objects, deadline d = {}, std::size_t count = static_cast<std::size_t>(-1)) {
    auto given = rt::answers_of(objects);
    rt::wait_set set(rt::waitables_of(given));
    decltype(given) ready;
    while (ready.size() < count) {
        const std::size_t i = set.next(d);
        if (i == rt::wait_set::none) break;
        ready.push_back(given[i]);
    }
    return ready;
}
inline std::vector<waitable> wait(std::initializer_list<waitable> objects, deadline d = {},
                                  std::size_t count = static_cast<std::size_t>(-1)) {
    return wait<std::initializer_list<waitable>&>(objects, d, count);
}

/// The objects one by one as they become ready; it ends when all have, or at the deadline. Advancing waits.
template <class T>
class ready_range {
public:
    ready_range(std::vector<T> objects, deadline d)
        : objects_(std::move(objects)), set_(rt::waitables_of(objects_)), deadline_(d) {}

    class iterator {
    public:
        using value_type = T;
        using difference_type = std::ptrdiff_t;
        using iterator_concept = std::input_iterator_tag;
        iterator() = default;
        explicit iterator(ready_range& r) : range_(&r) { ++*this; }
        T& operator*() const { return range_->objects_[at_]; }
        iterator& operator++() {
            at_ = range_->set_.next(range_->deadline_);
            return *this;
        }
        void operator++(int) { ++*this; }
        bool operator==(std::default_sentinel_t) const noexcept { return at_ == rt::wait_set::none; }

    private:
        ready_range* range_ = nullptr;
        std::size_t at_ = rt::wait_set::none;
    };

    iterator begin() { return iterator(*this); }
    std::default_sentinel_t end() const noexcept { return {}; }

private:
    std::vector<T> objects_;
    rt::wait_set set_;
    deadline deadline_;
};

template <rt::input_range Range>
auto iwait(Range&& objects, deadline d = {}) {
    return ready_range<rt::answer_t<Range>>(rt::answers_of(objects), d);
}
inline ready_range<waitable> iwait(std::initializer_list<waitable> objects, deadline d = {}) {
    return ready_range<waitable>(std::vector<waitable>(objects), d);
}

/// Waits for all of them or the deadline; those that have ended, in order of completion. With raise_error the first
/// exception among them is rethrown as soon as it is known.
template <rt::input_range Range>
std::vector<any_fiber> joinall(Range&& fibers, deadline d = {}, bool raise_error = false) {
    std::vector<any_fiber> ended;
    for (auto& f : iwait(std::forward<Range>(fibers), d)) {
        if (raise_error) rt::raise_error_of(f.core());
        ended.push_back(f);
    }
    return ended;
}
inline std::vector<any_fiber> joinall(std::initializer_list<any_fiber> fibers, deadline d = {}, bool raise_error = false) {
    return joinall<std::initializer_list<any_fiber>&>(fibers, d, raise_error);
}

/// Kills all of them, then waits. False: some still run at the deadline.
template <rt::input_range Range>
bool killall(Range&& fibers, deadline d = {}) {
    std::vector<any_fiber> all(std::ranges::begin(fibers), std::ranges::end(fibers));
    for (const any_fiber& f : all) f.kill_async();
    return joinall(all, d).size() == all.size();
}
inline bool killall(std::initializer_list<any_fiber> fibers, deadline d = {}) {
    return killall<std::initializer_list<any_fiber>&>(fibers, d);
}

namespace rt {
template <class Result>
auto gathered(Result&& f) {
    using R = decltype(std::declval<Result>().get());
    if constexpr (std::is_void_v<R>) {
        std::forward<Result>(f).get();
        return std::monostate();
    } else {
        return std::decay_t<R>(std::forward<Result>(f).get());
    }
}
template <class T>
concept has_result = std::convertible_to<T&, waitable> && requires(T& r) {
    r.get();
    { r.successful() } -> std::convertible_to<bool>;
};
} // namespace rt

/// The results of all, in the order given: of fibers, and of async_results. They are moved out of temporary handles; std::monostate
/// stands for void. Waits for all, but as soon as one has failed what its get() throws is thrown; the others go on.
template <class... Results>
    requires(rt::has_result<std::remove_reference_t<Results>> && ...)
auto gather(Results&&... results) {
    if constexpr (sizeof...(Results) > 1) {
        rt::wait_set set(std::vector<waitable>{static_cast<waitable>(results)...});
        for (std::size_t i = set.next({}); i != rt::wait_set::none; i = set.next({})) {
            std::size_t at = 0;
            const auto check = [&](auto& r) {
                if (at++ == i && !r.successful()) (void)r.get();
            };
            (check(results), ...);
        }
    }
    return std::tuple<decltype(rt::gathered(std::forward<Results>(results)))...>{
        rt::gathered(std::forward<Results>(results))...};
}

} // namespace weft
