// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <weft/deadline.hpp>
#include <weft/detail/queue_store.hpp>
#include <weft/detail/waitable.hpp>
#include <weft/errors.hpp>
#include <weft/export.hpp>

#include <concepts>
#include <cstddef>
#include <iterator>
#include <optional>
#include <stdexcept>
#include <utility>

/// Queues between the fibers of all hubs and any kernel threads; whoever has waited longest is served first.
///
/// `queue` gives first what came first, `lifo_queue` what came last, `priority_queue` what is smallest; a `channel` keeps nothing: a put
/// waits for its get. `select` waits for one of several.
///
/// Every call that waits throws as those of <weft/sync.hpp> do, and then has put or taken nothing. T may be move-only. A value that
/// could not be put is left as it was. Not copied nor moved; not destroyed while somebody waits.
///
/// @code
/// weft::queue<std::string> lines(100); // put waits while there are 100
/// lines.put("one");
/// lines.put("two", 1s);
/// if (auto line = lines.try_get()) std::cout << *line;
/// lines.shutdown();
/// for (const std::string& line : lines) std::cout << line; // what is left
///
/// weft::priority_queue<int> jobs;
/// weft::channel<int> answers;
/// weft::select(weft::on_get(jobs, [](int job) { std::cout << job; }),
///              weft::on_put(answers, 42, [] { std::cout << "somebody took it"; }),
///              weft::on_timeout(1s, [] { std::cout << "nothing to do"; }));
/// @endcode
namespace weft {

namespace rt {

/// What all queues have; Store says how values are kept, and in what order they leave.
template <class T, class Store>
class basic_queue {
public:
    using value_type = T;

    basic_queue(const basic_queue&) = delete;
    basic_queue& operator=(const basic_queue&) = delete;

    // --- Putting. A value that could not be put is left as it was. ---

    /// Waits for room. Throws queue_full past the deadline, queue_shutdown after shutdown.
    void put(T&& value, deadline d = {}) { check_put(store_.put(std::move(value), d)); }
    void put(const T& value, deadline d = {}) { check_put(store_.put(value, d)); }
    /// Throws queue_full if there is no room now.
    void put_nowait(T&& value) { check_put(store_.try_put(std::move(value))); }
    void put_nowait(const T& value) { check_put(store_.try_put(value)); }
    /// False: there is no room now, or the queue is shut down.
    [[nodiscard]] bool try_put(T&& value) { return store_.try_put(std::move(value)) == queue_outcome::done; }
    [[nodiscard]] bool try_put(const T& value) { return store_.try_put(value) == queue_outcome::done; }

    // --- Getting ---

    /// Waits for an item. Throws queue_empty past the deadline, queue_shutdown when there is none after shutdown.
    T get(deadline d = {}) {
        std::optional<T> got;
        check_get(store_.get(got, d));
        return *std::move(got);
    }
    /// Throws queue_empty if there is none now.
    T get_nowait() {
        std::optional<T> got;
        check_get(store_.try_get(got));
        return *std::move(got);
    }
    /// Nothing: there is none now, or the queue is shut down and empty.
    [[nodiscard]] std::optional<T> try_get() {
        std::optional<T> got;
        (void)store_.try_get(got);
        return got;
    }
    /// A copy of what get would take; it stays in the queue.
    T peek(deadline d = {})
        requires std::copy_constructible<T>
    {
        std::optional<T> seen;
        check_get(store_.peek(seen, d));
        return *std::move(seen);
    }
    T peek_nowait()
        requires std::copy_constructible<T>
    {
        std::optional<T> seen;
        check_get(store_.try_peek(seen));
        return *std::move(seen);
    }

    // --- State; what others do may change it at once ---

    [[nodiscard]] std::size_t size() const noexcept { return store_.core().size(); }
    [[nodiscard]] bool empty() const noexcept { return size() == 0; }
    /// Whether a put would have to wait.
    [[nodiscard]] bool full() const noexcept { return store_.core().full(); }
    /// 0: unlimited.
    [[nodiscard]] std::size_t maxsize() const noexcept { return store_.core().maxsize(); }

    // --- Tasks: every item put is one until task_done is called for it ---

    /// An item that was got is dealt with. Throws std::logic_error if called more often than items were put.
    void task_done() {
        if (!store_.core().task_done()) throw std::logic_error("weft: task_done() called more often than items were put");
    }
    /// Waits until every task is done. False: the deadline came first.
    bool join(deadline d = {}) { return store_.core().join(d); }

    // --- The end ---

    /// From now on put throws queue_shutdown, get too once the queue is empty; range-for ends. Wakes all that wait for what
    /// will not come. With immediate the items left are dropped, and count as done.
    void shutdown(bool immediate = false) noexcept { store_.shutdown(immediate); }
    [[nodiscard]] bool is_shutdown() const noexcept { return store_.core().is_shutdown(); }

    /// Gets one item after the other until the queue is shut down and empty. Single pass; each step waits as get does.
    class iterator {
    public:
        using value_type = T;
        using difference_type = std::ptrdiff_t;
        using iterator_concept = std::input_iterator_tag;

        iterator() noexcept = default;
        explicit iterator(basic_queue& q) : queue_(&q) { ++*this; }
        T& operator*() const noexcept { return *item_; }
        T* operator->() const noexcept { return &*item_; }
        iterator& operator++() {
            item_.reset();
            (void)queue_->store_.get(item_, {});
            return *this;
        }
        void operator++(int) { ++*this; }
        bool operator==(std::default_sentinel_t) const noexcept { return !item_; }

    private:
        basic_queue* queue_ = nullptr;
        mutable std::optional<T> item_;
    };
    iterator begin() { return iterator(*this); }
    [[nodiscard]] std::default_sentinel_t end() const noexcept { return {}; }

    /// Ready while there is something to get, or shut down.
    operator waitable() const {
        using watched = std::conditional_t<std::derived_from<Store, channel_store<T>>, channel_core, queue_core>;
        auto& core = const_cast<basic_queue&>(*this).store_.core();
        return waitable(static_cast<watched*>(&core), watched::watching);
    }

    /// For weft's own use.
    [[nodiscard]] Store& store() noexcept { return store_; }

protected:
    template <class... Args>
    explicit basic_queue(std::in_place_t, Args&&... args) : store_(std::forward<Args>(args)...) {}
    ~basic_queue() = default;

private:
    static void check_put(queue_outcome o) {
        if (o == queue_outcome::late) throw queue_full();
        if (o == queue_outcome::closed) throw queue_shutdown();
    }
    static void check_get(queue_outcome o) {
        if (o == queue_outcome::late) throw queue_empty();
        if (o == queue_outcome::closed) throw queue_shutdown();
    }

    Store store_;
};

} // namespace rt

/// First in, first out.
template <class T>
class queue : public rt::basic_queue<T, rt::node_store<T, rt::fifo_core>> {
public:
    /// For at most `maxsize` items; 0: as many as memory holds.
    explicit queue(std::size_t maxsize = 0) : queue::basic_queue(std::in_place, maxsize) {}
};

/// Last in, first out.
template <class T>
class lifo_queue : public rt::basic_queue<T, rt::node_store<T, rt::lifo_core>> {
public:
    explicit lifo_queue(std::size_t maxsize = 0) : lifo_queue::basic_queue(std::in_place, maxsize) {}
};

/// Smallest first, by Compare; what compares equal leaves in the order it came. Compare may wait, and if it throws the call has done
/// nothing.
template <class T, class Compare = std::less<T>>
class priority_queue : public rt::basic_queue<T, rt::heap_store<T, Compare>> {
public:
    explicit priority_queue(std::size_t maxsize = 0, Compare compare = Compare())
        : priority_queue::basic_queue(std::in_place, maxsize, std::move(compare)) {}
    explicit priority_queue(Compare compare) : priority_queue(0, std::move(compare)) {}
};

/// Keeps nothing: a put returns when a get has its value, so at any time it is both empty and full. A put without waiting succeeds if
/// somebody waits to get, a get if somebody waits to put; peek copies the value of the put that has waited longest.
template <class T>
class channel : public rt::basic_queue<T, rt::channel_store<T>> {
public:
    channel() : channel::basic_queue(std::in_place) {}
};

/// Every queue has task_done and join.
template <class T>
using joinable_queue = queue<T>;

} // namespace weft

#include <weft/detail/queue_select.hpp> // select, on_get, on_put, on_timeout
