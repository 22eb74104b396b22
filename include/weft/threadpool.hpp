// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <weft/deadline.hpp>
#include <weft/detail/invoke.hpp>
#include <weft/detail/workers.hpp>
#include <weft/errors.hpp>
#include <weft/event.hpp>
#include <weft/pool.hpp>

#include <chrono>
#include <concepts>
#include <cstddef>
#include <exception>
#include <memory>
#include <optional>
#include <ranges>
#include <stdexcept>
#include <tuple>
#include <type_traits>
#include <utility>

namespace weft {

namespace rt {

/// A call on a worker thread, and where its result goes.
template <class R, class F, class... Args>
class thread_call final : public work_item {
public:
    template <class... Given>
    explicit thread_call(std::shared_ptr<result_state<R>> s, Given&&... given)
        : state_(std::move(s)), call_(std::in_place, std::forward<Given>(given)...) {}

    void run() noexcept override {
        claimed_ = state_->claim(); // not if it was cancelled
        if (claimed_) {
            try {
                auto call = [this]() -> R {
                    return std::apply([](auto&&... parts) -> R { return rt::invoke(std::move(parts)...); }, *call_);
                };
                if constexpr (std::is_void_v<R>) call(), state_->value.emplace(true);
                else if constexpr (std::is_reference_v<R>) state_->value.emplace(std::addressof(call()));
                else state_->value.emplace(call());
            } catch (...) {
                error_ = std::current_exception();
            }
        }
        call_.reset(); // before anybody hears of it
    }
    void deliver() noexcept override {
        if (claimed_) state_->publish(std::move(error_));
    }
    void drop() noexcept override {
        call_.reset();
        state_->fail(std::make_exception_ptr(fiber_killed("the thread pool was killed before the job began")));
    }

private:
    std::shared_ptr<result_state<R>> state_;
    std::optional<std::tuple<F, Args...>> call_;
    std::exception_ptr error_;
    bool claimed_ = false;
};

} // namespace rt

/// Kernel threads for what would keep the hub: computing, or calls that block the kernel thread.
///
/// The threads are made when there is work, block every signal, and end after ten seconds without work. The calling fiber waits
/// as for everything else; a kernel thread without a hub may use a pool too. A job may use weft's synchronisation objects: it
/// blocks its thread then. Functions and arguments are copied or moved in; what they refer to must last until the job has ended,
/// also where the caller is killed or times out. A child of fork has no jobs and makes its own threads. Destroying the
/// pool drops the jobs that have not begun (their results throw fiber_killed), then waits for the others.
///
/// @code
/// weft::threadpool workers(2);
/// int sum = workers.apply([](int a, int b) { return a + b; }, 1, 2);
/// weft::async_result<int> later = workers.submit([] { return 6 * 7; });
/// std::vector<double> halves = workers.map([](int n) { return n / 2.0; }, std::vector{1, 2, 3});
/// later.get(5s);
/// (void)sum, (void)halves;
/// @endcode
class threadpool {
public:
    /// At most n threads. Throws std::invalid_argument for 0.
    explicit threadpool(std::size_t n) : threads_(checked(n), std::chrono::seconds(10)), callers_(n) {}
    threadpool(const threadpool&) = delete;
    threadpool& operator=(const threadpool&) = delete;

    /// Queues `fn(args...)`, without waiting. `cancel` of the result keeps it from beginning. Throws std::system_error if no
    /// thread can be made.
    template <class F, class... Args>
        requires std::invocable<std::decay_t<F>, std::decay_t<Args>...>
    auto submit(F&& fn, Args&&... args) {
        return start(false, std::forward<F>(fn), std::forward<Args>(args)...);
    }
    /// The same, but waits for a free thread first.
    template <class F, class... Args>
        requires std::invocable<std::decay_t<F>, std::decay_t<Args>...>
    auto spawn(F&& fn, Args&&... args) {
        threads_.reserve({});
        try {
            return start(true, std::forward<F>(fn), std::forward<Args>(args)...);
        } catch (...) {
            threads_.cancel_reserved();
            throw;
        }
    }
    /// Its result, or its exception. A caller that is interrupted leaves at once; the job goes on, if it has begun.
    template <class F, class... Args>
        requires std::invocable<std::decay_t<F>, std::decay_t<Args>...>
    auto apply(F&& fn, Args&&... args) -> rt::spawn_result_t<F, Args...> {
        auto result = submit(std::forward<F>(fn), std::forward<Args>(args)...);
        try {
            result.wait();
        } catch (...) {
            result.cancel();
            throw;
        }
        return std::move(result).get();
    }
    /// As submit; an argument more than fn takes, at the end, is a callback: it gets the result (nothing for void) in a fiber of the
    /// caller's hub, if there is one.
    template <class F, class... Args>
    auto apply_async(F&& fn, Args&&... args) {
        if constexpr (std::invocable<std::decay_t<F>, std::decay_t<Args>...>) {
            return submit(std::forward<F>(fn), std::forward<Args>(args)...);
        } else {
            static_assert(sizeof...(Args) > 0, "fn cannot be called with these arguments");
            constexpr std::size_t last = sizeof...(Args) - 1;
            auto given = std::forward_as_tuple(std::forward<Args>(args)...);
            auto result = [&]<std::size_t... I>(std::index_sequence<I...>) {
                return submit(std::forward<F>(fn), std::get<I>(std::move(given))...);
            }(std::make_index_sequence<last>());
            add_callback(result, std::get<last>(std::move(given)));
            return result;
        }
    }
    /// As a pool's, but fn is called by several threads at a time. If the caller is interrupted, it waits for the calls that have
    /// begun; the others never run.
    template <class F, std::ranges::input_range Range>
    auto map(F&& fn, Range&& range) {
        return callers_.map(on_thread([&fn]<class Element>(Element&& element) -> decltype(auto) { return rt::invoke(fn, std::forward<Element>(element)); }), std::forward<Range>(range));
    }
    template <class F, std::ranges::viewable_range Range>
    auto map_async(F&& fn, Range&& range) {
        return callers_.map_async(on_thread(std::decay_t<F>(std::forward<F>(fn))), std::forward<Range>(range));
    }
    template <class F, std::ranges::viewable_range Range>
    auto imap(F&& fn, Range&& range, std::size_t maxsize = 0) {
        return callers_.imap(on_thread(std::decay_t<F>(std::forward<F>(fn))), std::forward<Range>(range), maxsize);
    }
    template <class F, std::ranges::viewable_range Range>
    auto imap_unordered(F&& fn, Range&& range, std::size_t maxsize = 0) {
        return callers_.imap_unordered(on_thread(std::decay_t<F>(std::forward<F>(fn))), std::forward<Range>(range),
                                       maxsize);
    }

    /// Waits until all jobs have ended. False: the deadline came first.
    bool join(deadline d = {}) {
        return callers_.join(d) && threads_.join(d);
    }
    /// Drops the jobs that have not begun, and waits for the others. False: some still run at the deadline.
    bool kill(deadline d = {}) {
        threads_.drop_queued();
        return callers_.kill(d) && threads_.join(d);
    }
    /// Jobs that have not ended.
    [[nodiscard]] std::size_t size() noexcept { return threads_.size(); }
    /// Whether spawn would wait.
    [[nodiscard]] bool full() noexcept { return free_count() == 0; }
    /// Threads that have no job.
    [[nodiscard]] std::size_t free_count() noexcept {
        const std::size_t jobs = threads_.size();
        return jobs < threads_.most() ? threads_.most() - jobs : 0;
    }
    /// Waits until a thread has no job. False: the deadline came first.
    bool wait_available(deadline d = {}) { return threads_.wait_free(d); }
    /// At most so many threads.
    [[nodiscard]] std::size_t capacity() const noexcept { return threads_.most(); }

private:
    static std::size_t checked(std::size_t n) {
        if (n == 0) throw std::invalid_argument("weft: a thread pool needs threads");
        return n;
    }
    template <class F, class... Args>
    auto start(bool reserved, F&& fn, Args&&... args) {
        using R = rt::spawn_result_t<F, Args...>;
        auto state = std::make_shared<rt::result_state<R>>();
        threads_.submit(std::make_shared<rt::thread_call<R, std::decay_t<F>, std::decay_t<Args>...>>(
                            state, std::forward<F>(fn), std::forward<Args>(args)...),
                        reserved);
        return async_result<R>(std::move(state));
    }
    /// fn as a fiber calls it: on a thread. Element and fn are the fiber's, so it does not leave before the call has ended.
    template <class F>
    auto on_thread(F fn) {
        return [this, fn = std::move(fn)]<class Element>(Element&& element) mutable {
            auto result = submit([&]() -> decltype(auto) { return rt::invoke(fn, std::forward<Element>(element)); });
            try {
                result.wait();
            } catch (...) {
                if (!result.cancel()) {
                    const rt::no_interruption until_ended;
                    result.wait();
                }
                throw;
            }
            return std::move(result).get();
        };
    }
    template <class R, class Callback>
    static void add_callback(const async_result<R>& result, Callback&& callback) {
        result.link([fn = std::decay_t<Callback>(std::forward<Callback>(callback))](const async_result<R>& done) mutable {
            if (!done.successful()) return;
            if constexpr (std::is_void_v<R>) rt::invoke(fn);
            else rt::invoke(fn, done.get());
        });
    }

    rt::workers threads_;
    pool callers_; // fibers that wait for the calls of map and its kin; goes first
};

} // namespace weft
