// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <weft/deadline.hpp>
#include <weft/detail/group_core.hpp>
#include <weft/detail/invoke.hpp>
#include <weft/detail/mapping.hpp>
#include <weft/export.hpp>
#include <weft/fiber.hpp>

#include <concepts>
#include <cstddef>
#include <memory>
#include <ranges>
#include <stdexcept>
#include <tuple>
#include <type_traits>
#include <utility>

namespace weft {

namespace rt {

/// A function that first waits for a place in the pool that its fiber is in.
template <class F>
struct placed_call {
    std::shared_ptr<group_core> pool;
    F fn;

    template <class... Args>
        requires std::invocable<F, Args...>
    decltype(auto) operator()(Args&&... args) {
        pool->enter();
        return rt::invoke(std::move(fn), std::forward<Args>(args)...);
    }
};

} // namespace rt

/// Fibers that belong together: to be waited for, or killed, all at once.
///
/// A fiber is in it from spawn or add until it ends, and has left before anyone who waits for it runs. All calls may be made from
/// any fiber of any hub; what they spawn runs on the caller's hub. Destroying a group kills its fibers, then waits for
/// them. Calls that wait throw as those of <weft/sync.hpp> do.
///
/// @code
/// weft::group workers;
/// for (int i = 0; i < 3; ++i) workers.spawn([] { weft::this_fiber::sleep_for(1ms); });
/// workers.join();
///
/// weft::pool ten(10); // at most ten at a time
/// std::vector<int> numbers{1, 2, 3};
/// std::vector<int> squares = ten.map([](int n) { return n * n; }, numbers);
/// for (int s : ten.imap_unordered([](int n) { return n * n; }, numbers)) std::cout << s;
/// ten.apply_async([](int n) { return n + 1; }, 41, [](int n) { std::cout << n; }).get();
/// (void)squares;
/// @endcode
class group {
public:
    group() : group(rt::group_core::unlimited) {}
    group(const group&) = delete;
    group& operator=(const group&) = delete;
    /// Kills, then waits.
    ~group() = default;

    // --- Members ---

    /// As weft::spawn, in the group. A pool first waits for a free place.
    template <class F, class... Args>
        requires std::invocable<std::decay_t<F>, std::decay_t<Args>...>
    auto spawn(F&& fn, Args&&... args) {
        return spawn(fiber_options{}, std::forward<F>(fn), std::forward<Args>(args)...);
    }
    template <class F, class... Args>
        requires std::invocable<std::decay_t<F>, std::decay_t<Args>...>
    auto spawn(fiber_options options, F&& fn, Args&&... args) {
        fibers_->take_place({});
        try {
            auto member = fibers_->prepare();
            auto f = weft::spawn(options, std::forward<F>(fn), std::forward<Args>(args)...);
            fibers_->enrol(f.core(), std::move(member), rt::group_member::role::placed);
            return f;
        } catch (...) {
            fibers_->return_place();
            throw;
        }
    }
    /// Takes in a fiber that was spawned elsewhere; one that has ended, or is in, is ignored. A pool first waits for a place.
    void add(const any_fiber& f) {
        if (f.ready() || fibers_->contains(f.core())) return;
        auto member = fibers_->prepare();
        fibers_->take_place({});
        fibers_->enrol(f.core(), std::move(member), rt::group_member::role::placed);
    }
    /// Lets a fiber go on without the group; its place is free then. False: it was not in.
    bool discard(const any_fiber& f) noexcept { return fibers_->discard(f.core()); }

    // --- All of them ---

    /// Waits until it is empty, also of fibers that are spawned meanwhile. False: the deadline came first. With raise_error the
    /// first exception that is met is rethrown.
    bool join(deadline d = {}, bool raise_error = false) { return fibers_->join(d, raise_error); }
    /// Kills all, also those that are spawned meanwhile, and waits. False: some still run at the deadline. A member that calls
    /// it is killed last, by this call.
    bool kill(deadline d = {}) { return fibers_->kill(d); }
    /// Kills one member and waits. False: it still runs at the deadline, or is not in.
    bool killone(const any_fiber& f, deadline d = {}) { return fibers_->kill_one(f.core(), d); }

    /// How many fibers are in it now.
    [[nodiscard]] std::size_t size() const noexcept { return fibers_->size(); }
    [[nodiscard]] bool empty() const noexcept { return size() == 0; }
    [[nodiscard]] bool contains(const any_fiber& f) const noexcept { return fibers_->contains(f.core()); }
    /// Whether spawn would wait. Never for a group.
    [[nodiscard]] bool full() const noexcept { return free_count() == 0; }
    /// Free places; the greatest std::size_t for a group.
    [[nodiscard]] std::size_t free_count() const noexcept { return fibers_->free_places(); }
    /// Waits until there is a free place. False: the deadline came first.
    bool wait_available(deadline d = {}) { return fibers_->wait_place(d); }

    // --- Calls ---

    /// The result of `fn(args...)`, called in a fiber of the group; called at once by a fiber that is in it, which could wait for its
    /// own place.
    template <class F, class... Args>
    auto apply(F&& fn, Args&&... args) -> std::invoke_result_t<std::decay_t<F>, std::decay_t<Args>...> {
        if (fibers_->contains_caller()) return rt::invoke(std::decay_t<F>(std::forward<F>(fn)), std::decay_t<Args>(std::forward<Args>(args))...);
        return spawn(std::forward<F>(fn), std::forward<Args>(args)...).get();
    }
    /// The same without waiting: the fiber waits for its place itself. An argument more than fn takes, at the end, is a callback: it
    /// gets the result (nothing for void) in a fiber of its own if there is one.
    template <class F, class... Args>
    auto apply_async(F&& fn, Args&&... args) {
        if constexpr (std::invocable<std::decay_t<F>, std::decay_t<Args>...>) {
            return start_call(std::forward<F>(fn), std::forward<Args>(args)...);
        } else {
            static_assert(sizeof...(Args) > 0, "fn cannot be called with these arguments");
            constexpr std::size_t last = sizeof...(Args) - 1;
            auto given = std::forward_as_tuple(std::forward<Args>(args)...);
            auto f = [&]<std::size_t... I>(std::index_sequence<I...>) {
                return start_call(std::forward<F>(fn), std::get<I>(std::move(given))...);
            }(std::make_index_sequence<last>());
            add_callback(f, std::get<last>(std::move(given)));
            return f;
        }
    }
    /// `fn(element)` for each, in fibers of the group; the results in order (nothing for void). Waits for all; then the first exception, in
    /// that order, is rethrown. If the caller is killed or times out, so are the calls.
    template <class F, std::ranges::input_range Range>
    auto map(F&& fn, Range&& range) {
        return rt::map_over(spawner(), fn, std::forward<Range>(range));
    }
    /// The same in a fiber. fn and a temporary range are moved in; a named range must last.
    template <class F, std::ranges::viewable_range Range>
    auto map_async(F&& fn, Range&& range) {
        return spawn_helper([this, fn = std::decay_t<F>(std::forward<F>(fn)),
                             view = std::views::all(std::forward<Range>(range))]() mutable { return map(fn, view); });
    }
    /// A range of the results, in order, each as soon as it is there. A fiber of its own goes through the range given, ahead of
    /// the reader by at most `maxsize` elements (0: as far as places allow). fn and a temporary range are moved in.
    template <class F, std::ranges::viewable_range Range>
    auto imap(F&& fn, Range&& range, std::size_t maxsize = 0) {
        return rt::imap_over(helper_spawner(), spawner(), std::forward<F>(fn), std::forward<Range>(range), maxsize, true);
    }
    /// The same in order of completion.
    template <class F, std::ranges::viewable_range Range>
    auto imap_unordered(F&& fn, Range&& range, std::size_t maxsize = 0) {
        return rt::imap_over(helper_spawner(), spawner(), std::forward<F>(fn), std::forward<Range>(range), maxsize, false);
    }

protected:
    explicit group(std::size_t places) : fibers_(places) {}
    [[nodiscard]] std::size_t places() const noexcept { return fibers_->places(); }

private:
    auto spawner() {
        return [this](auto&& task) { return spawn(std::forward<decltype(task)>(task)); };
    }
    auto helper_spawner() {
        return [this](auto&& task) { return spawn_helper(std::forward<decltype(task)>(task)); };
    }
    template <class F>
    auto spawn_helper(F&& fn) {
        auto member = fibers_->prepare();
        auto f = weft::spawn(std::forward<F>(fn));
        fibers_->enrol(f.core(), std::move(member), rt::group_member::role::hidden);
        return f;
    }
    template <class F, class... Args>
    auto start_call(F&& fn, Args&&... args) {
        auto member = fibers_->prepare();
        auto f = weft::spawn(rt::placed_call<std::decay_t<F>>{fibers_->shared_from_this(), std::forward<F>(fn)},
                             std::forward<Args>(args)...);
        fibers_->enrol(f.core(), std::move(member), rt::group_member::role::placeless);
        return f;
    }
    template <class R, class Callback>
    static void add_callback(const fiber<R>& f, Callback&& callback) {
        f.link_value([fn = std::decay_t<Callback>(std::forward<Callback>(callback))](const fiber<R>& ended) mutable {
            if constexpr (std::is_void_v<R>) rt::invoke(fn);
            else rt::invoke(fn, ended.get());
        });
    }

    rt::fiber_scope fibers_;
};

/// A group with a number of places: no more fibers run in it at a time, and spawn waits for a free one.
class pool : public group {
public:
    /// Throws std::invalid_argument for 0.
    explicit pool(std::size_t size) : group(size) {
        if (size == 0) throw std::invalid_argument("weft: a pool needs places");
    }
    /// The number of places.
    [[nodiscard]] std::size_t capacity() const noexcept { return places(); }
};

} // namespace weft
