// SPDX-License-Identifier: Apache-2.0
#pragma once

// The hub's timers: a pairing heap whose nodes lie wherever the wait does, so that a timer allocates nothing.

#include <weft/detail/timer.hpp>

#include <cstdint>

namespace weft::rt {

/// A min-heap by `at`. Insertion is O(1), removal O(log n) amortised.
class timer_heap {
public:
    [[nodiscard]] bool empty() const noexcept { return root_ == nullptr; }
    [[nodiscard]] timer* first() const noexcept { return root_; }
    [[nodiscard]] std::uint64_t size() const noexcept { return size_; }

    void insert(timer& t) noexcept {
        t.child = t.sibling = nullptr;
        set(root_, root_ == nullptr ? &t : meld(root_, &t));
        ++size_;
    }

    void remove(timer& t) noexcept {
        if (!t.armed()) return;
        timer* rest = merge_pairs(t.child);
        if (&t == root_) {
            set(root_, rest);
        } else {
            set(*t.slot, t.sibling);
            if (rest != nullptr) set(root_, meld(root_, rest));
        }
        t.child = t.sibling = nullptr;
        t.slot = nullptr;
        --size_;
    }

private:
    static void set(timer*& where, timer* t) noexcept {
        where = t;
        if (t != nullptr) t->slot = &where;
    }

    /// Both are roots without siblings; so is the result.
    static timer* meld(timer* a, timer* b) noexcept {
        if (b->at < a->at) {
            timer* swap = a;
            a = b;
            b = swap;
        }
        set(b->sibling, a->child);
        set(a->child, b);
        return a;
    }

    static timer* merge_pairs(timer* list) noexcept {
        timer* pairs = nullptr; // melded pairs, last one first
        while (list != nullptr) {
            timer* a = list;
            timer* b = a->sibling;
            list = b == nullptr ? nullptr : b->sibling;
            a->sibling = nullptr;
            if (b != nullptr) {
                b->sibling = nullptr;
                a = meld(a, b);
            }
            a->sibling = pairs;
            pairs = a;
        }
        timer* root = nullptr;
        while (pairs != nullptr) {
            timer* next = pairs->sibling;
            pairs->sibling = nullptr;
            root = root == nullptr ? pairs : meld(root, pairs);
            pairs = next;
        }
        return root;
    }

    timer* root_ = nullptr;
    std::uint64_t size_ = 0;
};

} // namespace weft::rt
