// SPDX-License-Identifier: Apache-2.0
#pragma once

// Who runs next on a hub: first come, first served, intrusive.
//
// Where fibers are a program's threads, those that another thread woke or made come before those that a descriptor or the clock did, but not for
// ever. A kernel favours such threads, too: an accept loop that hands each connection to a new thread and waits until it has begun would
// else get on by one connection for every turn of all threads that are busy, and the others in the listener's queue time out.

#include "core/fiber.hpp"

namespace weft::rt {

class ready_queue {
public:
    [[nodiscard]] bool empty() const noexcept { return usual_.first == nullptr && prompt_.first == nullptr; }
    void push(fiber_core& f) noexcept {
        usual_.push(f);
        f.ahead = nullptr;
        if (__builtin_expect(++queued_ > group, 0)) remember(f);
        else in_line_ = 0;
    }
    void push_prompt(fiber_core& f) noexcept { prompt_.push(f); }
    /// Not when empty.
    fiber_core& pop() noexcept {
        if (__builtin_expect(prompt_.first != nullptr, 0)) return pop_of_both();
        --queued_;
        return usual_.pop();
    }
    /// Into the cache: what those behind the next one will need when their turn comes. A stack's page is usually in no TLB, and a fetch waits
    /// for the page walk. Walks go on side by side, so this is done for some fibers at once, and then not for as many turns.
    [[gnu::always_inline]] void fetch() noexcept {
        if (--turns_until_fetch_ > 0) return;
        turns_until_fetch_ = 1;
        if (usual_.first != nullptr && usual_.first->next != nullptr) fetch_group();
    }
    void clear() noexcept {
        usual_ = prompt_ = {};
        queued_ = 0;
    }

private:
    static constexpr int most_prompt = 4; // in a row, while others wait
    static constexpr unsigned group = 8;  // fibers fetched at once

    struct list {
        fiber_core* first = nullptr;
        fiber_core* last = nullptr;

        void push(fiber_core& f) noexcept {
            f.next = nullptr;
            (first == nullptr ? first : last->next) = &f;
            last = &f;
        }
        fiber_core& pop() noexcept {
            fiber_core& f = *first;
            first = f.next;
            return f;
        }
    };

    /// Each leads on to the one that comes `group` places behind it. In a short queue nobody does: there the caches have them all.
    void remember(fiber_core& f) noexcept {
        fiber_core*& earlier = recent_[in_line_ % group];
        if (in_line_++ >= group) earlier->ahead = &f;
        earlier = &f;
    }

    fiber_core& pop_of_both() noexcept {
        if (usual_.first != nullptr && ++in_a_row_ > most_prompt) {
            in_a_row_ = 0;
            --queued_;
            return usual_.pop();
        }
        return prompt_.pop();
    }

    /// The fibers behind the first: their stacks, in turns, so that the walks overlap; and the blocks of as many behind those.
    [[gnu::noinline]] void fetch_group() noexcept {
        const fiber_core* const begin = usual_.first->next;
        const fiber_core* f = begin;
        unsigned n = 0;
        for (; n < group && f != nullptr; ++n, f = f->next) __builtin_prefetch(f->machine.suspended_at(), 1);
        f = begin;
        for (unsigned i = 0; i < n; ++i, f = f->next) {
            f->machine.fetch();
            for (const void* line : f->touched) __builtin_prefetch(line, 1);
            if (const auto* const block = reinterpret_cast<const char*>(f->ahead)) {
                for (int line = 0; line < 4; ++line) __builtin_prefetch(block + 64 * line, 1);
            }
        }
        turns_until_fetch_ = static_cast<int>(n);
    }

    list usual_;
    list prompt_;
    int in_a_row_ = 0;
    int turns_until_fetch_ = 1;
    unsigned queued_ = 0;            // in usual_
    unsigned in_line_ = 0;           // pushed since it was short, all of whom were in it together with the `group` before them
    fiber_core* recent_[group] = {}; // the last of these
};

} // namespace weft::rt
