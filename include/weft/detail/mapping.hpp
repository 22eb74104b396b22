// SPDX-License-Identifier: Apache-2.0
#pragma once

// map and imap: a function called for every element of a range, each call in a fiber that somebody else spawns.

#include <weft/detail/group_core.hpp>
#include <weft/detail/invoke.hpp>
#include <weft/errors.hpp>
#include <weft/event.hpp>
#include <weft/queue.hpp>
#include <weft/sync.hpp>

#include <cstddef>
#include <deque>
#include <exception>
#include <iterator>
#include <memory>
#include <optional>
#include <ranges>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace weft {

namespace rt {

/// How one call ended; it is empty while it runs, and after it was killed.
template <class R>
struct call_outcome {
    using stored = std::conditional_t<std::is_void_v<R>, std::monostate, R>;
    std::optional<stored> value;
    std::exception_ptr error;

    template <class F, class Element>
    void run(F& fn, Element&& element) {
        try {
            if constexpr (std::is_void_v<R>) {
                rt::invoke(fn, std::forward<Element>(element));
                value.emplace();
            } else {
                value.emplace(rt::invoke(fn, std::forward<Element>(element)));
            }
        } catch (const fiber_exit&) {
            throw;
        } catch (...) {
            error = std::current_exception();
        }
    }
    stored take() {
        if (error != nullptr) std::rethrow_exception(std::exchange(error, nullptr));
        if (!value) throw fiber_killed("the call for an element was killed");
        return std::move(*value);
    }
};

/// An element on its way to its call: a reference where the range has lasting elements, else the value.
template <class Range>
class element_holder {
    using reference = std::ranges::range_reference_t<Range>;
    static constexpr bool lasting = std::ranges::forward_range<Range> && std::is_lvalue_reference_v<reference>;
    using stored = std::conditional_t<lasting, std::add_pointer_t<reference>, std::ranges::range_value_t<Range>>;

public:
    explicit element_holder(reference&& element) : element_(hold(std::forward<reference>(element))) {}
    decltype(auto) operator*() {
        if constexpr (lasting) return static_cast<reference>(*element_);
        else return std::move(element_);
    }

private:
    static stored hold(reference&& element) {
        if constexpr (lasting) return std::addressof(element);
        else return stored(std::forward<reference>(element));
    }
    stored element_;
};

/// What fn makes of an element of the range.
template <class F, class Range>
using mapped_t = std::remove_cvref_t<std::invoke_result_t<F&, decltype(*std::declval<element_holder<Range>&>())>>;

/// Calls `start(task)`, which spawns a fiber and returns it, for every element, and waits for all. If the caller is
/// interrupted, the calls are killed and waited for: they use its frame.
template <class Start, class F, class Range>
auto map_over(Start start, F& fn, Range&& range) {
    using R = mapped_t<F, Range>;
    std::deque<call_outcome<R>> outcomes;
    {
        const fiber_scope calls;
        for (auto&& element : range) {
            call_outcome<R>& mine = outcomes.emplace_back();
            auto member = calls->prepare();
            auto f = start([&fn, &mine, e = element_holder<Range>(std::forward<decltype(element)>(element))]() mutable {
                mine.run(fn, *e);
            });
            calls->enrol(f.core(), std::move(member), group_member::role::placed);
        }
        calls->join({}, false);
    }
    if constexpr (std::is_void_v<R>) {
        for (auto& o : outcomes) o.take();
    } else {
        std::vector<R> results;
        results.reserve(outcomes.size());
        for (auto& o : outcomes) results.push_back(o.take());
        return results;
    }
}

/// What an imap in progress and its range share.
template <class R>
struct imap_state {
    struct entry {
        call_outcome<R> outcome;
        event done;
    };
    queue<std::shared_ptr<entry>> results;
    semaphore window;
    const bool bounded;
    const bool ordered;
    std::shared_ptr<group_core> fibers = std::make_shared<group_core>();
    std::shared_ptr<entry> current; // taken out, not yet delivered
    bool complete = false;          // the range was gone through to its end; set before results is shut down

    imap_state(std::size_t maxsize, bool in_order) : window(maxsize), bounded(maxsize != 0), ordered(in_order) {}
};

/// Says that a call is over, also if it never ran.
template <class R>
class imap_ticket {
public:
    using entry = typename imap_state<R>::entry;

    explicit imap_ticket(std::shared_ptr<imap_state<R>> s) : state_(std::move(s)), entry_(std::make_shared<entry>()) {
        if (state_->ordered) state_->results.put(entry_);
    }
    imap_ticket(imap_ticket&&) noexcept = default;
    imap_ticket& operator=(imap_ticket&&) = delete;
    ~imap_ticket() {
        if (entry_ != nullptr) finish();
    }
    call_outcome<R>& outcome() noexcept { return entry_->outcome; }
    void finish() noexcept {
        const auto e = std::move(entry_);
        e->done.set();
        if (!state_->ordered) (void)state_->results.try_put(e);
    }

private:
    std::shared_ptr<imap_state<R>> state_;
    std::shared_ptr<entry> entry_;
};

/// The fiber that goes through the range; where it is dropped, even before it ran, there are no more results.
template <class Start, class F, class View>
class imap_producer {
    using R = mapped_t<F, View>;
    using state_ptr = std::shared_ptr<imap_state<R>>;

public:
    imap_producer(state_ptr s, Start start, F fn, View view)
        : state_(std::move(s)), start_(std::move(start)), fn_(std::move(fn)), view_(std::move(view)) {}
    imap_producer(imap_producer&&) = default;
    imap_producer& operator=(imap_producer&&) = delete;
    ~imap_producer() {
        if (state_ != nullptr) state_->results.shutdown();
    }

    void operator()() {
        const fiber_scope calls;
        try {
            for (auto&& element : view_) {
                if (state_->bounded) state_->window.acquire();
                call(*calls, element_holder<View>(std::forward<decltype(element)>(element)));
            }
        } catch (const fiber_exit&) {
            throw;
        } catch (...) { // from the range: the last result
            imap_ticket<R>(state_).outcome().error = std::current_exception();
        }
        calls->join({}, false);
        state_->complete = true;
    }

private:
    void call(group_core& calls, element_holder<View> element) {
        imap_ticket<R> ticket(state_);
        auto member = calls.prepare();
        auto f = start_([this, t = std::move(ticket), e = std::move(element)]() mutable {
            t.outcome().run(fn_, *e);
            t.finish();
        });
        calls.enrol(f.core(), std::move(member), group_member::role::placed);
    }

    state_ptr state_;
    Start start_;
    F fn_;
    View view_;
};

} // namespace rt

/// The results of imap, to be gone through once; each step waits for the next result and rethrows the exception of its call
/// (after that the others may still be had by begin()). Ending it early kills the calls that still run, and waits for them.
template <class R>
class mapped_range {
public:
    using value_type = typename rt::call_outcome<R>::stored;

    explicit mapped_range(std::shared_ptr<rt::imap_state<R>> state) noexcept : state_(std::move(state)) {}
    mapped_range(mapped_range&&) noexcept = default;
    mapped_range& operator=(mapped_range&&) = delete;
    ~mapped_range() {
        if (state_ != nullptr) state_->fibers->kill_and_wait();
    }

    class iterator {
    public:
        using value_type = typename rt::call_outcome<R>::stored;
        using difference_type = std::ptrdiff_t;
        using iterator_concept = std::input_iterator_tag;

        explicit iterator(mapped_range& r) : range_(&r) { ++*this; }
        value_type& operator*() const noexcept { return *value_; }
        value_type* operator->() const noexcept { return &*value_; }
        iterator& operator++() {
            value_ = range_->next();
            return *this;
        }
        void operator++(int) { ++*this; }
        bool operator==(std::default_sentinel_t) const noexcept { return !value_; }

    private:
        mapped_range* range_;
        mutable std::optional<value_type> value_;
    };
    iterator begin() { return iterator(*this); }
    [[nodiscard]] std::default_sentinel_t end() const noexcept { return {}; }

    /// The next result; nothing at the end.
    std::optional<value_type> next() {
        if (state_->current == nullptr) {
            auto at = state_->results.begin(); // waits
            if (at == state_->results.end()) {
                if (state_->complete) return std::nullopt;
                throw fiber_killed("what goes through the range of an imap was killed");
            }
            state_->current = std::move(*at);
        }
        state_->current->done.wait();
        const auto e = std::exchange(state_->current, nullptr);
        if (state_->bounded) state_->window.release();
        return e->outcome.take();
    }

private:
    std::shared_ptr<rt::imap_state<R>> state_;
};

namespace rt {

/// Starts an imap: `helper(task)` spawns the fiber that goes through the range, `start(task)` those that call fn.
template <class Helper, class Start, class F, class Range>
auto imap_over(Helper helper, Start start, F&& fn, Range&& range, std::size_t maxsize, bool ordered) {
    using View = std::views::all_t<Range>;
    using R = mapped_t<std::decay_t<F>, View>;
    auto state = std::make_shared<imap_state<R>>(maxsize, ordered);
    mapped_range<R> results(state);
    auto member = state->fibers->prepare();
    auto f = helper(imap_producer<Start, std::decay_t<F>, View>(state, std::move(start), std::forward<F>(fn),
                                                                std::views::all(std::forward<Range>(range))));
    state->fibers->enrol(f.core(), std::move(member), group_member::role::placed);
    return results;
}

} // namespace rt

} // namespace weft
