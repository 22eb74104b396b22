// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <weft/deadline.hpp>
#include <weft/detail/waiter.hpp>
#include <weft/export.hpp>

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

namespace weft {

namespace rt {

/// How to wait for an object without taking anything from it.
struct watch_operations {
    /// Links the node to be notified when the object is ready. False: it is ready now, and the node is not linked.
    bool (*watch)(void* object, wait_node& node) noexcept;
    /// Takes the node out, if it is still linked, under the object's lock.
    void (*unwatch)(void* object, wait_node& node) noexcept;
};

} // namespace rt

/// Whatever `wait` and `iwait` can wait for: fibers, `event`, `async_result`, `semaphore`, queues, results of a threadpool,
/// `subprocess`. Each converts to it. It keeps handles alive; an object that is no handle must outlive it.
///
/// A type of your own becomes one by a conversion operator that names what it is ready with: an event, say, or an
/// async_result. Waiting for it takes nothing, and it is told once, in order of completion.
///
/// @code
/// #include <weft/event.hpp>
///
/// class job { // a copyable handle
/// public:
///     void finish() const { state_->done.set(); }
///     operator weft::waitable() const { return {state_->done, state_}; } // the second keeps the first alive
///
/// private:
///     struct state {
///         weft::event done;
///     };
///     std::shared_ptr<state> state_ = std::make_shared<state>();
/// };
///
/// int main() {
///     job a, b;
///     weft::spawn([b] { b.finish(); });
///     auto first = weft::wait({a, b}, std::chrono::seconds(1), 1); // {b}
///     return first[0] == b ? 0 : 1;
/// }
/// @endcode
///
/// What has waiters of its own gives `watch_operations` instead: see `event` in runtime/sync.
class waitable {
public:
    /// The same, and keeps `keep` as long as it lives itself.
    waitable(waitable inner, std::shared_ptr<void> keep) : waitable(std::move(inner)) {
        keep_ = std::move(keep);
    }
    waitable(void* object, const rt::watch_operations& operations, std::shared_ptr<void> keep = nullptr)
        : object_(object), operations_(&operations), keep_(std::move(keep)) {}

    /// Whether both are the same object.
    friend bool operator==(const waitable& a, const waitable& b) noexcept { return a.object_ == b.object_; }

    /// For weft's own use.
    bool watch(rt::wait_node& node) const noexcept { return operations_->watch(object_, node); }
    void unwatch(rt::wait_node& node) const noexcept { operations_->unwatch(object_, node); }

private:
    void* object_;
    const rt::watch_operations* operations_;
    std::shared_ptr<void> keep_;
};

namespace rt {

/// Waits for many objects, and says which became ready, in that order. O(1) for each.
class WEFT_API wait_set {
public:
    explicit wait_set(std::vector<waitable> objects);
    wait_set(const wait_set&) = delete;
    wait_set& operator=(const wait_set&) = delete;
    ~wait_set();

    static constexpr std::size_t none = static_cast<std::size_t>(-1);
    /// The index of the next object that became ready; none when all have, or past the deadline.
    std::size_t next(deadline d);
    [[nodiscard]] const waitable& operator[](std::size_t i) const noexcept { return objects_[i]; }

private:
    struct entry : wait_node {
        wait_set* set = nullptr;
        entry* later = nullptr; // in the order of completion
        bool told = false;      // it became ready; its object does not know it any more
    };

    void completed(entry& e) noexcept;

    std::vector<waitable> objects_;
    std::unique_ptr<entry[]> entries_;
    spinlock lock_; // guards what follows
    entry* first_ = nullptr;
    entry* last_ = nullptr;
    wait_list waiting_;
    std::size_t left_;
};

} // namespace rt

} // namespace weft
