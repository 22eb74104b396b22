// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <weft/deadline.hpp>
#include <weft/detail/coroutine_core.hpp>
#include <weft/detail/invoke.hpp>
#include <weft/errors.hpp>
#include <weft/export.hpp>
#include <weft/fiber.hpp>

#include <concepts>
#include <cstddef>
#include <iterator>
#include <memory>
#include <optional>
#include <stdexcept>
#include <type_traits>
#include <utility>

/// Functions that are left in the middle and entered again there, from any depth of calls, since each has a fiber of its own.
///
/// A coroutine is resumed with a value and yields one; a generator only yields, and is a range. The body starts with the first
/// resume. While it runs, who resumed it waits, as in any weft call: other fibers go on. What the body throws leaves that resume. A body that
/// has not ended when its coroutine is destroyed is left by `fiber_exit`, thrown by its yield. Neither is copied nor moved.
///
/// @code
/// weft::coroutine<int, std::string> co([](auto& yield, int first) {
///     int next = yield("got " + std::to_string(first));
///     next = yield("then " + std::to_string(next));
///     return "at last " + std::to_string(next);
/// });
/// std::string a = co.resume(1); // got 1
/// std::string b = co.resume(2); // then 2
/// std::string c = co.resume(3); // at last 3; co.done()
///
/// weft::generator<int> squares([](auto& yield) {
///     for (int i = 1; i <= 3; ++i) yield(i * i);
/// });
/// for (int square : squares) std::cout << square << '\n';
/// @endcode
namespace weft {

/// From a resume whose body has ended without a value, in it or before.
class WEFT_API coroutine_ended : public std::runtime_error {
public:
    explicit coroutine_ended(const std::string& what = "the coroutine has ended") : std::runtime_error(what) {}
};

namespace rt {

/// Room for a value on its way: a reference travels as a pointer, void as nothing.
template <class T>
class parcel {
public:
    template <class U>
    void pack(U&& v) {
        if constexpr (std::is_reference_v<T>) value_.emplace(std::addressof(v));
        else value_.emplace(std::forward<U>(v));
    }
    [[nodiscard]] bool full() const noexcept { return value_.has_value(); }
    void clear() noexcept { value_.reset(); }
    [[nodiscard]] std::remove_reference_t<T>& look() noexcept {
        if constexpr (std::is_reference_v<T>) return **value_;
        else return *value_;
    }
    T unpack() {
        if constexpr (std::is_reference_v<T>) return static_cast<T>(**value_);
        else return *std::exchange(value_, std::nullopt);
    }

private:
    std::optional<std::conditional_t<std::is_reference_v<T>, std::add_pointer_t<T>, T>> value_;
};
template <>
class parcel<void> {
public:
    void pack() noexcept {}
    [[nodiscard]] bool full() const noexcept { return false; }
    void clear() noexcept {}
    void look() noexcept {}
    void unpack() noexcept {}
};

} // namespace rt

/// A function that takes an In with each resume and gives an Out; either may be void, a reference or move-only.
///
/// Its body is called with something to yield with and the first In, or the former only: `auto& yield` (copyable, `yield(v)` and
/// `yield.yield(v)` do the same), or the `coroutine&` itself. What the body returns, if it converts to Out, is what the last resume gives.
template <class In, class Out>
class coroutine {
public:
    /// What the body yields with.
    class yielder {
    public:
        /// Gives `v` to who resumed, waits for the next resume, and returns what that gave.
        template <class U = Out>
            requires(!std::is_void_v<Out> && std::convertible_to<U &&, Out>)
        In operator()(U&& v) const {
            return of_->yield(std::forward<U>(v));
        }
        In operator()() const
            requires std::is_void_v<Out>
        {
            return of_->yield();
        }
        template <class... U>
            requires(sizeof...(U) == (std::is_void_v<Out> ? 0 : 1))
        In yield(U&&... v) const {
            return of_->yield(std::forward<U>(v)...);
        }
        /// What the first resume gave, where the body does not take it.
        [[nodiscard]] std::add_lvalue_reference_t<In> received() const { return of_->in_.look(); }

    private:
        friend class coroutine;
        explicit yielder(coroutine& c) noexcept : of_(&c) {}
        coroutine* of_;
    };

    template <class F>
        requires(!std::same_as<std::remove_cvref_t<F>, coroutine>)
    explicit coroutine(F&& body) : coroutine(fiber_options{.name = "coroutine"}, std::forward<F>(body)) {}
    template <class F>
    coroutine(fiber_options options, F&& body)
        : body_(std::make_unique<body_of<std::decay_t<F>>>(std::forward<F>(body))), name_(options.name), options_(options) {}
    coroutine(const coroutine&) = delete;
    coroutine& operator=(const coroutine&) = delete;
    ~coroutine() { core_.close(); }

    /// Goes on with the body until it yields or returns, and gives that value. Throws what the body throws; coroutine_ended if it ends
    /// without a value, or had ended; std::logic_error if it is running; timeout_error past the deadline (the body goes on, and what
    /// it yields then is lost).
    template <class U = In>
        requires(!std::is_void_v<In> && std::convertible_to<U &&, In>)
    Out resume(U&& v, deadline d = {}) {
        if (!step([&] { in_.pack(std::forward<U>(v)); }, d) && !out_.full() && !std::is_void_v<Out>) throw coroutine_ended();
        return out_.unpack();
    }
    Out resume(deadline d = {})
        requires std::is_void_v<In>
    {
        if (!step([] {}, d) && !out_.full() && !std::is_void_v<Out>) throw coroutine_ended();
        return out_.unpack();
    }

    /// Inside of the body: gives `v` to who resumed, waits for the next resume, and returns what that gave.
    template <class U = Out>
        requires(!std::is_void_v<Out> && std::convertible_to<U &&, Out>)
    In yield(U&& v) {
        out_.pack(std::forward<U>(v));
        core_.pass_out();
        return in_.unpack();
    }
    In yield()
        requires std::is_void_v<Out>
    {
        core_.pass_out();
        return in_.unpack();
    }

    /// The body has returned, or was left by an exception.
    [[nodiscard]] bool done() const noexcept { return core_.is_done(); }

private:
    template <class T>
    friend class generator;

    struct any_body {
        any_body() noexcept = default;
        any_body(const any_body&) = delete;
        any_body& operator=(const any_body&) = delete;
        virtual ~any_body() = default;
        virtual void run(coroutine& c) = 0;
    };
    template <class F>
    struct body_of final : any_body {
        F fn;
        template <class Given>
        explicit body_of(Given&& f) : fn(std::forward<Given>(f)) {}
        void run(coroutine& c) override {
            yielder y(c);
            if constexpr (std::is_void_v<In>) {
                if constexpr (std::invocable<F&, yielder&>) c.keep([&]() -> decltype(auto) { return rt::invoke(fn, y); });
                else c.keep([&]() -> decltype(auto) { return rt::invoke(fn, c); });
            } else if constexpr (std::invocable<F&, yielder&, In>) {
                c.keep([&]() -> decltype(auto) { return rt::invoke(fn, y, c.in_.unpack()); });
            } else if constexpr (std::invocable<F&, coroutine&, In>) {
                c.keep([&]() -> decltype(auto) { return rt::invoke(fn, c, c.in_.unpack()); });
            } else if constexpr (std::invocable<F&, yielder&>) {
                c.keep([&]() -> decltype(auto) { return rt::invoke(fn, y); });
            } else {
                c.keep([&]() -> decltype(auto) { return rt::invoke(fn, c); });
            }
        }
    };

    /// Calls the body, and keeps what it returns if it is an Out.
    template <class Call>
    void keep(Call call) {
        using R = std::invoke_result_t<Call>;
        if constexpr (!std::is_void_v<R> && !std::is_void_v<Out> && std::is_convertible_v<R, Out>) {
            decltype(auto) result = call();
            out_.pack(std::forward<R>(result));
        } else {
            (void)call();
        }
    }

    void run_body() noexcept {
        std::exception_ptr failure;
        try {
            body_->run(*this);
        } catch (const fiber_exit&) {
            failure = std::make_exception_ptr(fiber_killed("the coroutine was killed"));
        } catch (...) {
            failure = std::current_exception();
        }
        if (failure != nullptr) out_.clear();
        body_.reset(); // with what it captured, before who resumed goes on
        core_.end(std::move(failure));
    }

    /// True: it has yielded; false: it has ended.
    template <class Pack>
    bool step(Pack pack, deadline d) {
        rt::interruption_point();
        bool fresh = false;
        if (!core_.claim(fresh)) {
            out_.clear();
            return false;
        }
        try {
            out_.clear();
            pack();
            if (fresh) {
                options_.name = name_;
                core_.started(rt::make_fiber(options_, {}, false, [this] { run_body(); }));
            }
        } catch (...) {
            core_.unclaim(fresh);
            throw;
        }
        if (core_.pass_in(d)) return true;
        core_.check_end();
        return false;
    }

    rt::coroutine_core core_;
    rt::parcel<In> in_;
    rt::parcel<Out> out_;
    std::unique_ptr<any_body> body_;
    std::string name_;
    fiber_options options_;
};

/// A range of what a function yields: `body(yield)` calls `yield(v)` for each element, or takes the `generator&` and calls its yield(v).
///
/// Single pass. Each loop, and each begin(), goes on with the next element. Advancing waits, and throws what the body throws.
template <class T>
class generator {
    using machine = coroutine<void, T>;

public:
    using yielder = typename machine::yielder;

    template <class F>
        requires(!std::same_as<std::remove_cvref_t<F>, generator>)
    explicit generator(F&& body) : generator(fiber_options{.name = "generator"}, std::forward<F>(body)) {}
    template <class F>
    generator(fiber_options options, F&& body)
        : machine_(options, [this, fn = std::decay_t<F>(std::forward<F>(body))](yielder& y) mutable {
              if constexpr (std::invocable<decltype(fn)&, yielder&>) (void)rt::invoke(fn, y);
              else (void)rt::invoke(fn, *this);
          }) {}
    generator(const generator&) = delete;
    generator& operator=(const generator&) = delete;

    class iterator {
    public:
        using value_type = std::remove_cvref_t<T>;
        using difference_type = std::ptrdiff_t;
        using iterator_concept = std::input_iterator_tag;

        iterator() noexcept = default;
        explicit iterator(generator& g) : generator_(&g) { ++*this; }
        std::remove_reference_t<T>& operator*() const noexcept { return generator_->machine_.out_.look(); }
        auto operator->() const noexcept { return std::addressof(**this); }
        iterator& operator++() {
            generator_->advance({});
            return *this;
        }
        void operator++(int) { ++*this; }
        bool operator==(std::default_sentinel_t) const noexcept { return !generator_->machine_.out_.full(); }

    private:
        generator* generator_ = nullptr;
    };
    iterator begin() { return iterator(*this); }
    [[nodiscard]] std::default_sentinel_t end() const noexcept { return {}; }

    /// The next element; nothing at the end. Throws timeout_error past the deadline.
    std::optional<std::remove_cvref_t<T>> next(deadline d = {}) {
        if (!advance(d)) return std::nullopt;
        return machine_.out_.unpack();
    }
    /// Inside of the body.
    template <std::convertible_to<T> U = T>
    void yield(U&& v) {
        machine_.yield(std::forward<U>(v));
    }
    /// The body has returned, or was left by an exception.
    [[nodiscard]] bool done() const noexcept { return machine_.done(); }

private:
    bool advance(deadline d) {
        const bool more = machine_.step([] {}, d);
        if (!more) machine_.out_.clear();
        return more;
    }

    machine machine_;
};

} // namespace weft
