// SPDX-License-Identifier: Apache-2.0
#pragma once

// Memory for TLS frames: slabs of many, each with those of its frames that are free.
//
// A frame keeps its place for ever, since libc, malloc and the program have pointers to it. But where many more are free than a program is
// likely to need soon, slabs whose frames are all free give their memory back. What libc keeps in a frame (its blocks of variables, malloc's
// cache) is put aside, and the frame is made from that when it is used again.

#include "core/tls_layout.hpp"

#include <weft/detail/spinlock.hpp>

#include <atomic>
#include <cstddef>

namespace weft::rt {

class tls_frame;
struct frame_slab;

class frame_pool {
public:
    /// One that has been used, perhaps made from what was put aside, or a new one. Null: no memory.
    tls_frame* take(const tls_layout& layout) noexcept;
    void put(tls_frame& f) noexcept;
    /// Whether give_back() has something to do.
    [[nodiscard]] bool has_surplus() const noexcept { return surplus_.load(std::memory_order_relaxed); }
    /// The memory of one slab; for a kernel thread that may wait for libc's locks.
    void give_back(const tls_layout& layout) noexcept;
    /// In the child of fork: where another thread was changing it, what is free is left alone.
    void after_fork() noexcept;

private:
    struct slab_list {
        frame_slab* first = nullptr;
        frame_slab* last = nullptr;
        void push_back(frame_slab& s) noexcept;
        void remove(frame_slab& s) noexcept;
    };

    static frame_slab* make_slab(const tls_layout& layout, bool is_first) noexcept;
    [[nodiscard]] bool has_too_many(std::size_t beside) const noexcept;
    [[nodiscard]] frame_slab* unused_slab() const noexcept;

    spinlock lock_;        // guards what follows
    slab_list usable_;     // slabs with a frame that is free, or room for one; frames come from the first
    std::size_t free_ = 0; // frames that are free and have their memory
    bool any_ = false;     // a slab was made
    bool never_ = false;   // memory cannot be given back here
    std::atomic<bool> surplus_{false};
};

} // namespace weft::rt
