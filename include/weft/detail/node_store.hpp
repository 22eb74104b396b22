// SPDX-License-Identifier: Apache-2.0
#pragma once

// How a queue in order of arrival keeps its values (queue_store.hpp).

#include <weft/deadline.hpp>
#include <weft/detail/queue_core.hpp>
#include <weft/detail/select_case.hpp>

#include <cstddef>
#include <memory>
#include <optional>
#include <utility>

namespace weft::rt {

/// In nodes, one for each value, in the order that Core gives them: a value is moved outside of every lock.
template <class T, class Core>
class node_store {
    struct item final : queue_node {
        template <class U>
        explicit item(U&& v) : value(std::forward<U>(v)) {}
        T value;
    };

public:
    explicit node_store(std::size_t maxsize) noexcept : core_(maxsize) {}
    ~node_store() { shutdown(true); }

    [[nodiscard]] Core& core() noexcept { return core_; }
    [[nodiscard]] const Core& core() const noexcept { return core_; }

    template <class U>
    queue_outcome put(U&& value, deadline d) {
        return fill_if(core_.reserve(d), std::forward<U>(value));
    }
    template <class U>
    queue_outcome try_put(U&& value) {
        return fill_if(core_.try_reserve(), std::forward<U>(value));
    }
    queue_outcome get(std::optional<T>& place, deadline d) {
        queue_node* n = nullptr;
        const queue_outcome o = core_.take(n, d);
        if (o == queue_outcome::done) extract(n, place);
        return o;
    }
    queue_outcome try_get(std::optional<T>& place) {
        queue_node* n = nullptr;
        const queue_outcome o = core_.try_take(n);
        if (o == queue_outcome::done) extract(n, place);
        return o;
    }
    queue_outcome peek(std::optional<T>& place, deadline d) {
        queue_node* n = nullptr;
        const queue_outcome o = core_.peek(n, d);
        return copy_if(o, n, place);
    }
    queue_outcome try_peek(std::optional<T>& place) {
        queue_node* n = nullptr;
        const queue_outcome o = core_.try_peek(n);
        return copy_if(o, n, place);
    }
    void shutdown(bool immediate) noexcept {
        std::size_t dropped = 0;
        for (queue_node* n = core_.shutdown(immediate, dropped); n != nullptr;) {
            const std::unique_ptr<item> gone(static_cast<item*>(std::exchange(n, n->next)));
            core_.wait_for_readers(*gone);
        }
    }

    class get_case final : public queue_get_case {
    public:
        explicit get_case(node_store& s) noexcept : queue_get_case(s.core_), store_(s) {}
        void receive(std::optional<T>& place) { store_.extract(got(), place); }

    private:
        node_store& store_;
    };
    template <class U> // T&& or const T&
    class put_case final : public queue_put_case {
    public:
        put_case(node_store& s, U value) noexcept : queue_put_case(s.core_), store_(s), value_(static_cast<U>(value)) {}
        void deliver() { store_.fill(static_cast<U>(value_)); }

    private:
        node_store& store_;
        U value_;
    };

private:
    /// A place is reserved.
    template <class U>
    void fill(U&& value) {
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
    queue_outcome fill_if(queue_outcome place, U&& value) {
        if (place == queue_outcome::done) fill(std::forward<U>(value));
        return place;
    }
    void extract(queue_node* n, std::optional<T>& place) {
        const std::unique_ptr<item> taken(static_cast<item*>(n));
        core_.wait_for_readers(*taken);
        place.emplace(std::move(taken->value));
    }
    queue_outcome copy_if(queue_outcome o, queue_node* n, std::optional<T>& place) {
        if (o != queue_outcome::done) return o;
        struct reading {
            queue_core& core;
            queue_node& node;
            ~reading() { core.release(node); }
        } const until_copied{core_, *n};
        place.emplace(std::as_const(static_cast<item*>(n)->value));
        return o;
    }

    Core core_;
};

} // namespace weft::rt
