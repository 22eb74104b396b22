// SPDX-License-Identifier: Apache-2.0
#pragma once

// The part of <weft/process.hpp> that processes talk and share by.

#include <weft/detail/invoke.hpp>
#include <weft/detail/packing.hpp>
#include <weft/detail/shared_core.hpp>
#include <weft/errors.hpp>
#include <weft/process.hpp>

#include <chrono>
#include <cstddef>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <span>
#include <stdexcept>
#include <type_traits>
#include <utility>

namespace weft {

// --- Talking ---

/// One end of a pipe, for both directions. Any number of fibers and processes may use it; each message goes to one of them.
template <rt::packable T>
class pipe_end {
public:
    explicit pipe_end(int fd) noexcept : end_(fd) {}

    /// Waits for room, not for the receiver. Throws timeout_error past the deadline, std::system_error (EPIPE) if nobody has the other end.
    void send(const T& value, deadline d = {}) {
        std::string message;
        rt::pack<T>(message, value);
        if (!end_.send(message, d)) throw timeout_error("the pipe is full");
    }
    /// Throws timeout_error past the deadline, queue_shutdown when nobody has the other end any more: each process that has a copy
    /// of that must have closed it.
    T recv(deadline d = {}) {
        auto message = end_.receive(d);
        if (!message) throw timeout_error("nothing came through the pipe");
        std::string_view bytes = *message;
        return rt::unpack<T>(bytes);
    }
    /// Whether recv would not wait; asks at once unless there is a deadline.
    bool poll(deadline d = std::chrono::nanoseconds(0)) { return end_.wait(d); }
    /// In this process; its destructor does it, too.
    void close() noexcept { end_.close(); }
    /// -1: closed.
    [[nodiscard]] int fd() const noexcept { return end_.fd(); }

private:
    rt::message_end end_;
};

/// Both ends of a pipe: `auto [a, b] = weft::pipe<int>();`
template <class T>
struct pipe_ends {
    pipe_end<T> first;
    pipe_end<T> second;
};

/// Throws std::system_error without descriptors.
template <class T>
pipe_ends<T> pipe() {
    int ends[2];
    rt::message_end::make(ends);
    return {pipe_end<T>(ends[0]), pipe_end<T>(ends[1])};
}

/// A queue for the fibers of any number of processes; its verbs are those of <weft/queue.hpp>. A process that dies at whatever moment does no
/// harm to it, but takes along what it has got.
template <rt::packable T>
class process_queue {
public:
    /// At most so many elements; 0: as many as memory takes.
    explicit process_queue(std::size_t maxsize = 0) : core_(maxsize) {}

    /// Throws queue_full past the deadline, queue_shutdown.
    void put(const T& value, deadline d = {}) {
        if (!try_put(value, d)) throw queue_full();
    }
    /// Throws queue_empty past the deadline, queue_shutdown when it is shut down and empty.
    T get(deadline d = {}) {
        auto message = core_.get(d);
        if (!message) throw queue_empty();
        return value_of(*message);
    }
    void put_nowait(const T& value) { put(value, at_once()); }
    T get_nowait() { return get(at_once()); }
    /// False: it is full.
    bool try_put(const T& value) { return try_put(value, at_once()); }
    std::optional<T> try_get() {
        auto message = core_.get(at_once());
        if (!message) return {};
        return value_of(*message);
    }
    [[nodiscard]] std::size_t size() { return core_.size(); }
    [[nodiscard]] bool empty() { return size() == 0; }
    [[nodiscard]] bool full() { return maxsize() != 0 && size() >= maxsize(); }
    [[nodiscard]] std::size_t maxsize() const noexcept { return core_.maxsize(); }
    /// No more puts; gets go on until it is empty. In all processes.
    void shutdown() { core_.shutdown(); }

    /// Takes what comes until the queue is shut down and empty.
    class iterator {
    public:
        using value_type = T;
        using difference_type = std::ptrdiff_t;
        using iterator_concept = std::input_iterator_tag;
        iterator() = default;
        explicit iterator(process_queue& q) : queue_(&q) { ++*this; }
        T& operator*() const noexcept { return *value_; }
        iterator& operator++() {
            try {
                value_ = queue_->get();
            } catch (const queue_shutdown&) {
                value_.reset();
            }
            return *this;
        }
        void operator++(int) { ++*this; }
        bool operator==(std::default_sentinel_t) const noexcept { return !value_; }

    private:
        process_queue* queue_ = nullptr;
        mutable std::optional<T> value_;
    };
    iterator begin() { return iterator(*this); }
    [[nodiscard]] std::default_sentinel_t end() const noexcept { return {}; }

private:
    static deadline at_once() noexcept { return std::chrono::nanoseconds(0); }
    bool try_put(const T& value, deadline d) {
        std::string message;
        rt::pack<T>(message, value);
        return core_.put(message, d);
    }
    static T value_of(std::string_view bytes) { return rt::unpack<T>(bytes); }

    rt::shared_queue core_;
};

// --- Locks ---

/// A mutex between the fibers of any number of processes (TimedLockable). It is not FIFO; any process may unlock it; one that dies
/// with it leaves it locked.
class process_mutex {
public:
    process_mutex() : token_(1) {}
    void lock() { (void)token_.take({}); }
    bool try_lock() { return token_.take(std::chrono::nanoseconds(0)); }
    template <class Rep, class Period>
    bool try_lock_for(std::chrono::duration<Rep, Period> d) {
        return token_.take(d);
    }
    template <class Clock, class Duration>
    bool try_lock_until(std::chrono::time_point<Clock, Duration> t) {
        return token_.take(t);
    }
    void unlock() noexcept { token_.put(); }

private:
    rt::shared_tokens token_;
};

/// A semaphore between processes.
class process_semaphore {
public:
    explicit process_semaphore(unsigned n = 1) : tokens_(n) {}
    /// False: the deadline came first.
    bool acquire(deadline d = {}) { return tokens_.take(d); }
    bool try_acquire() { return tokens_.take(std::chrono::nanoseconds(0)); }
    void release(unsigned n = 1) noexcept {
        while (n-- > 0) tokens_.put();
    }

private:
    rt::shared_tokens tokens_;
};

// --- Memory ---

namespace rt {
template <class T>
concept shareable = std::is_object_v<T> && std::is_trivially_destructible_v<T> && !std::is_pointer_v<T>;
} // namespace rt

/// A value that all processes see, with a lock of its own: the object is TimedLockable. get, set and update take the lock; `*v`, `v->` and
/// value() do not.
template <rt::shareable T>
class shared_value : public process_mutex {
public:
    template <class... Args>
        requires std::constructible_from<T, Args...>
    explicit shared_value(Args&&... args) : block_(sizeof(T)), value_(*new (block_.data()) T(std::forward<Args>(args)...)) {}
    shared_value(const shared_value&) = delete;
    shared_value& operator=(const shared_value&) = delete;

    [[nodiscard]] T& value() noexcept { return value_; }
    [[nodiscard]] const T& value() const noexcept { return value_; }
    T& operator*() noexcept { return value_; }
    const T& operator*() const noexcept { return value_; }
    T* operator->() noexcept { return &value_; }
    const T* operator->() const noexcept { return &value_; }

    T get() {
        const std::lock_guard hold(get_lock());
        return value_;
    }
    void set(const T& value) {
        const std::lock_guard hold(get_lock());
        value_ = value;
    }
    /// Replaces the value by `fn(value)`, which it returns.
    template <std::invocable<const T&> F>
    T update(F&& fn) {
        const std::lock_guard hold(get_lock());
        return value_ = rt::invoke(std::forward<F>(fn), std::as_const(value_));
    }
    process_mutex& get_lock() noexcept { return *this; }

private:
    rt::shared_block block_;
    T& value_;
};

/// An array that all processes see, with a lock of its own, which its members do not take: the object is TimedLockable.
template <rt::shareable T>
class shared_array : public process_mutex {
public:
    using value_type = T;
    using iterator = T*;
    using const_iterator = const T*;

    /// n value-initialised elements.
    explicit shared_array(std::size_t n) : block_(bytes_for(n)), elements_(static_cast<T*>(block_.data())), size_(n) {
        std::uninitialized_value_construct_n(elements_, n);
    }
    explicit shared_array(std::span<const T> values)
        : block_(bytes_for(values.size())), elements_(static_cast<T*>(block_.data())), size_(values.size()) {
        std::uninitialized_copy(values.begin(), values.end(), elements_);
    }
    shared_array(std::initializer_list<T> values) : shared_array(std::span<const T>(values.begin(), values.size())) {}
    shared_array(const shared_array&) = delete;
    shared_array& operator=(const shared_array&) = delete;

    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
    T& operator[](std::size_t i) noexcept { return elements_[i]; }
    const T& operator[](std::size_t i) const noexcept { return elements_[i]; }
    /// Throws std::out_of_range.
    T& at(std::size_t i) {
        if (i >= size_) throw std::out_of_range("weft: shared_array");
        return elements_[i];
    }
    [[nodiscard]] T* data() noexcept { return elements_; }
    [[nodiscard]] const T* data() const noexcept { return elements_; }
    T* begin() noexcept { return elements_; }
    T* end() noexcept { return elements_ + size_; }
    const T* begin() const noexcept { return elements_; }
    const T* end() const noexcept { return elements_ + size_; }
    process_mutex& get_lock() noexcept { return *this; }

private:
    static std::size_t bytes_for(std::size_t n) {
        if (n > static_cast<std::size_t>(-1) / sizeof(T) / 2) throw std::length_error("weft: shared_array");
        return n * sizeof(T);
    }
    rt::shared_block block_;
    T* elements_;
    std::size_t size_;
};

} // namespace weft
