// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <weft/deadline.hpp>
#include <weft/detail/queue_core.hpp>
#include <weft/detail/waitable.hpp>
#include <weft/errors.hpp>
#include <weft/export.hpp>

#include <concepts>
#include <cstddef>
#include <iterator>
#include <memory>
#include <optional>
#include <stdexcept>
#include <utility>

namespace weft {

namespace rt {

/// What all queues have; Core says in what order the items leave.
template <class T, class Core>
class basic_queue {
    struct item final : queue_node {
        template <class U>
        explicit item(U&& v) : value(std::forward<U>(v)) {}
        T value;
    };
    using outcome = queue_core::outcome;

public:
    using value_type = T;

    /// For at most `maxsize` items; 0: as many as memory holds.
    explicit basic_queue(std::size_t maxsize = 0) noexcept : core_(maxsize) {}
    basic_queue(const basic_queue&) = delete;
    basic_queue& operator=(const basic_queue&) = delete;
    ~basic_queue() { drop(core_.shutdown(true)); }

    // --- Putting. A value that could not be put is left as it was. ---

    /// Waits for room. Throws queue_full past the deadline, queue_shutdown after shutdown.
    void put(T&& value, deadline d = {}) { put_in(core_.reserve(d), std::move(value)); }
    void put(const T& value, deadline d = {}) { put_in(core_.reserve(d), value); }
    /// Throws queue_full if there is no room now.
    void put_nowait(T&& value) { put_in(core_.try_reserve(), std::move(value)); }
    void put_nowait(const T& value) { put_in(core_.try_reserve(), value); }
    /// False: there is no room now, or the queue is shut down.
    [[nodiscard]] bool try_put(T&& value) { return try_put_in(std::move(value)); }
    [[nodiscard]] bool try_put(const T& value) { return try_put_in(value); }

    // --- Getting ---

    /// Waits for an item. Throws queue_empty past the deadline, queue_shutdown when there is none after shutdown.
    T get(deadline d = {}) {
        queue_node* n = nullptr;
        check(core_.take(n, d));
        return extract(n);
    }
    /// Throws queue_empty if there is none now.
    T get_nowait() {
        queue_node* n = nullptr;
        check(core_.try_take(n));
        return extract(n);
    }
    /// Nothing: there is none now, or the queue is shut down and empty.
    [[nodiscard]] std::optional<T> try_get() {
        queue_node* n = nullptr;
        if (core_.try_take(n) != outcome::done) return std::nullopt;
        return extract(n);
    }
    /// A copy of what get would take; it stays in the queue.
    T peek(deadline d = {})
        requires std::copy_constructible<T>
    {
        queue_node* n = nullptr;
        check(core_.peek(n, d));
        return copy(*n);
    }
    T peek_nowait()
        requires std::copy_constructible<T>
    {
        queue_node* n = nullptr;
        check(core_.try_peek(n));
        return copy(*n);
    }

    // --- State; what others do may change it at once ---

    [[nodiscard]] std::size_t size() const noexcept { return core_.size(); }
    [[nodiscard]] bool empty() const noexcept { return size() == 0; }
    /// Whether a put would have to wait.
    [[nodiscard]] bool full() const noexcept { return core_.full(); }
    /// 0: unlimited.
    [[nodiscard]] std::size_t maxsize() const noexcept { return core_.maxsize(); }

    // --- Tasks: every item put is one until task_done is called for it ---

    /// An item that was got is dealt with. Throws std::logic_error if called more often than items were put.
    void task_done() {
        if (!core_.task_done()) throw std::logic_error("weft: task_done() called more often than items were put");
    }
    /// Waits until every task is done. False: the deadline came first.
    bool join(deadline d = {}) { return core_.join(d); }

    // --- The end ---

    /// From now on put throws queue_shutdown, get too once the queue is empty; range-for ends. Wakes all that wait for what
    /// will not come. With immediate the items left are dropped, and count as done.
    void shutdown(bool immediate = false) noexcept { drop(core_.shutdown(immediate)); }
    [[nodiscard]] bool is_shutdown() const noexcept { return core_.is_shutdown(); }

    /// Gets one item after the other until the queue is shut down and empty. Single pass; each step waits as get does.
    class iterator {
    public:
        using value_type = T;
        using difference_type = std::ptrdiff_t;
        using iterator_concept = std::input_iterator_tag;

        explicit iterator(basic_queue& q) : queue_(&q) { ++*this; }
        T& operator*() const noexcept { return *item_; }
        T* operator->() const noexcept { return &*item_; }
        iterator& operator++() {
            item_.reset();
            queue_node* n = nullptr;
            if (queue_->core_.take(n, {}) == outcome::done) item_.emplace(queue_->extract(n));
            return *this;
        }
        void operator++(int) { ++*this; }
        bool operator==(std::default_sentinel_t) const noexcept { return !item_; }

    private:
        basic_queue* queue_;
        mutable std::optional<T> item_;
    };
    iterator begin() { return iterator(*this); }
    [[nodiscard]] std::default_sentinel_t end() const noexcept { return {}; }

    /// Ready while there is something to get, or shut down.
    operator waitable() const { return waitable(static_cast<queue_core*>(const_cast<Core*>(&core_)), queue_core::watching); }

private:
    template <class U>
    void put_in(outcome place, U&& value) {
        if (place == outcome::late) throw queue_full();
        if (place == outcome::closed) throw queue_shutdown();
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
    bool try_put_in(U&& value) {
        const outcome place = core_.try_reserve();
        if (place != outcome::done) return false;
        put_in(place, std::forward<U>(value));
        return true;
    }
    static void check(outcome o) {
        if (o == outcome::late) throw queue_empty();
        if (o == outcome::closed) throw queue_shutdown();
    }
    T extract(queue_node* n) {
        const std::unique_ptr<item> taken(static_cast<item*>(n));
        core_.wait_for_readers(*taken);
        return std::move(taken->value);
    }
    T copy(queue_node& n) {
        struct reading {
            queue_core& core;
            queue_node& node;
            ~reading() { core.release(node); }
        } const until_copied{core_, n};
        return static_cast<item&>(n).value;
    }
    void drop(queue_node* first) noexcept {
        while (first != nullptr) {
            const std::unique_ptr<item> dropped(static_cast<item*>(std::exchange(first, first->next)));
            core_.wait_for_readers(*dropped);
        }
    }

    Core core_;
};

} // namespace rt

/// First in, first out, between the fibers of all hubs and any kernel threads; whoever has waited longest is served first.
///
/// Every call that waits throws as those of <weft/sync.hpp> do, and then has put or taken nothing. T may be move-only. Not copied
/// nor moved; not destroyed while somebody waits.
///
/// @code
/// weft::queue<std::string> lines(100); // put waits while there are 100
/// lines.put("one");
/// lines.put("two", 1s);
/// if (auto line = lines.try_get()) std::cout << *line;
/// lines.shutdown();
/// for (const std::string& line : lines) std::cout << line; // what is left
/// @endcode
template <class T>
class queue : public rt::basic_queue<T, rt::fifo_core> {
public:
    using rt::basic_queue<T, rt::fifo_core>::basic_queue;
};

/// Every queue has task_done and join.
template <class T>
using joinable_queue = queue<T>;

} // namespace weft
