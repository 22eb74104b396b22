// SPDX-License-Identifier: Apache-2.0
#pragma once

// The part of <weft/process.hpp> that has processes work for it.

#include <weft/deadline.hpp>
#include <weft/detail/invoke.hpp>
#include <weft/detail/packing.hpp>
#include <weft/detail/worker_set.hpp>
#include <weft/errors.hpp>
#include <weft/event.hpp>
#include <weft/pool.hpp>
#include <weft/process.hpp>

#include <concepts>
#include <cstddef>
#include <cstring>
#include <exception>
#include <memory>
#include <optional>
#include <ranges>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

namespace weft {

namespace rt {

/// A function that means the same in another process of this program: a lambda without captures, or a pointer to a function. (What
/// std::is_empty says of a lambda is that it has none.)
template <class F>
concept captureless = (std::is_empty_v<F> && std::is_trivially_copyable_v<F>) || std::is_member_function_pointer_v<F> ||
                      (std::is_pointer_v<F> && std::is_function_v<std::remove_pointer_t<F>>);

/// What a worker calls: takes the arguments off the message and adds the result to the answer.
using remote_call = void (*)(std::string_view arguments, std::string& answer);

template <class F, class... Args>
void call_packed(std::string_view arguments, std::string& answer) {
    union {
        char nothing;
        F fn;
    } place{0};
    std::memcpy(static_cast<void*>(&place.fn), take_bytes(arguments, sizeof(F)).data(), sizeof(F));
    std::tuple<Args...> given{unpack<Args>(arguments)...};
    using R = std::invoke_result_t<F&, Args...>;
    if constexpr (std::is_void_v<R>) std::apply(place.fn, std::move(given));
    else pack<std::decay_t<R>>(answer, std::apply(place.fn, std::move(given)));
}

template <class F, class... Args>
std::string packed_call(const F& fn, const Args&... args) {
    std::string request;
    pack(request, reinterpret_cast<std::uintptr_t>(static_cast<remote_call>(&call_packed<F, packed_t<Args>...>)));
    request.append(reinterpret_cast<const char*>(&fn), sizeof fn);
    (pack<packed_t<Args>>(request, args), ...);
    return request;
}

template <class F, class... Args>
using remote_result_t = std::decay_t<std::invoke_result_t<std::decay_t<F>&, packed_t<Args>...>>;

/// The result of a job, set as failed if the job is dropped.
template <class R>
class pending_job {
public:
    explicit pending_job(async_result<R> r) : result_(std::move(r)) {}
    pending_job(pending_job&&) noexcept = default;
    pending_job& operator=(pending_job&&) = delete;
    ~pending_job() {
        if (open_.held) result_.set_exception(std::make_exception_ptr(fiber_killed("the process pool was terminated before the job's end")));
    }
    template <class Call>
    void run(Call call) {
        if (result_.ready()) return; // cancelled
        try {
            if constexpr (std::is_void_v<R>) call(), result_.set();
            else result_.set(call());
            open_.held = false;
        } catch (const fiber_exit&) {
            throw;
        } catch (...) {
            result_.set_exception(std::current_exception());
            open_.held = false;
        }
    }

private:
    struct flag { // which a move takes along
        bool held = true;
        flag() = default;
        flag(flag&& other) noexcept : held(std::exchange(other.held, false)) {}
    };
    async_result<R> result_;
    flag open_;
};

} // namespace rt

/// Processes that call functions: for CPU work on all cores, or code that may crash.
///
/// The workers are forked when the pool is made, and one that dies is replaced: its job fails with process_error, the others go on. So
/// functions have no captures, and must have been loaded before the pool was made; arguments and results are what can be sent. An exception of a
/// function reaches the caller as what it was if it is one of the standard's or weft's, else as a process_error that names it. A job
/// that has begun goes on if its caller is killed or times out. Workers are daemons; they end with this process whatever ends it. Destroying
/// the pool terminates it, then waits.
class process_pool {
public:
    /// Throws std::invalid_argument for 0, std::system_error if there can be no more processes.
    explicit process_pool(std::size_t n = rt::processors()) : workers_(n), callers_(n) {}
    process_pool(const process_pool&) = delete;
    process_pool& operator=(const process_pool&) = delete;
    ~process_pool() { workers_.terminate(); }

    /// The result of `fn(args...)`, called in a worker.
    template <class F, class... Args>
        requires std::invocable<std::decay_t<F>&, rt::packed_t<Args>...>
    auto apply(F&& fn, Args&&... args) -> rt::remote_result_t<F, Args...> {
        auto result = apply_async(std::forward<F>(fn), std::forward<Args>(args)...);
        try {
            result.wait();
        } catch (...) {
            result.cancel();
            throw;
        }
        return std::move(result).get();
    }
    /// The same without waiting. An argument more than fn takes, at the end, is a callback: it gets the result (nothing for void) in a
    /// fiber of the caller's hub, if there is one. Throws std::logic_error when the pool is closed.
    template <class F, class... Args>
    auto apply_async(F&& fn, Args&&... args) {
        if constexpr (std::invocable<std::decay_t<F>&, rt::packed_t<Args>...>) {
            return start<rt::remote_result_t<F, Args...>>(rt::packed_call(checked(fn), args...));
        } else {
            static_assert(sizeof...(Args) > 0, "fn cannot be called with these arguments");
            auto given = std::forward_as_tuple(std::forward<Args>(args)...);
            constexpr std::size_t last = sizeof...(Args) - 1;
            auto result = [&]<std::size_t... I>(std::index_sequence<I...>) {
                return apply_async(std::forward<F>(fn), std::get<I>(std::move(given))...);
            }(std::make_index_sequence<last>());
            add_callback(result, std::get<last>(std::move(given)));
            return result;
        }
    }
    /// As a pool's of fibers.
    template <class F, std::ranges::input_range Range>
    auto map(F&& fn, Range&& range) {
        return callers_.map(remote(checked(fn)), std::forward<Range>(range));
    }
    template <class F, std::ranges::viewable_range Range>
    auto map_async(F&& fn, Range&& range) {
        return callers_.map_async(remote(checked(fn)), std::forward<Range>(range));
    }
    template <class F, std::ranges::viewable_range Range>
    auto imap(F&& fn, Range&& range, std::size_t maxsize = 0) {
        return callers_.imap(remote(checked(fn)), std::forward<Range>(range), maxsize);
    }
    template <class F, std::ranges::viewable_range Range>
    auto imap_unordered(F&& fn, Range&& range, std::size_t maxsize = 0) {
        return callers_.imap_unordered(remote(checked(fn)), std::forward<Range>(range), maxsize);
    }

    /// No more jobs; those that there are go on.
    void close() { workers_.close(); }
    /// Kills the workers at once; jobs that have not ended fail with fiber_killed.
    void terminate() { workers_.terminate(); }
    /// Waits until all jobs have ended, and for the end of the workers if the pool is closed or terminated. False: the deadline came first.
    bool join(deadline d = {}) { return callers_.join(d) && workers_.join(d); }
    /// The number of workers.
    [[nodiscard]] std::size_t size() const noexcept { return workers_.size(); }

private:
    template <class F>
    const std::decay_t<F> checked(F&& fn) {
        static_assert(rt::captureless<std::decay_t<F>>, "weft: what another process calls has no captures: a captureless lambda or a function");
        workers_.check_open();
        return fn;
    }
    template <class R>
    auto start(std::string request) {
        async_result<R> result;
        callers_.apply_async([this, job = rt::pending_job<R>(result), request = std::move(request)]() mutable {
            job.run([&]() -> R { return value_of<R>(workers_.call(request)); });
        });
        return result;
    }
    template <class F>
    auto remote(F fn) {
        return [this, fn]<class Element>(Element&& element) {
            using R = rt::remote_result_t<F, Element>;
            return value_of<R>(workers_.call(rt::packed_call<F, std::remove_cvref_t<Element>>(fn, element)));
        };
    }
    template <class R>
    static R value_of(std::string_view answer) {
        if constexpr (!std::is_void_v<R>) return rt::unpack<R>(answer);
    }
    template <class R, class Callback>
    static void add_callback(const async_result<R>& result, Callback&& callback) {
        result.link([fn = std::decay_t<Callback>(std::forward<Callback>(callback))](const async_result<R>& done) mutable {
            if (!done.successful()) return;
            if constexpr (std::is_void_v<R>) rt::invoke(fn);
            else rt::invoke(fn, done.get());
        });
    }

    rt::worker_set workers_;
    pool callers_; // fibers that wait for workers; goes first
};

} // namespace weft
