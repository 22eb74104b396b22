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
    void push(fiber_core& f) noexcept { usual_.push(f); }
    void push_prompt(fiber_core& f) noexcept { prompt_.push(f); }
    /// Not when empty.
    fiber_core& pop() noexcept {
        if (__builtin_expect(prompt_.first != nullptr, 0)) return pop_of_both();
        return usual_.pop();
    }
    /// Into the cache: what the next but one will need.
    [[gnu::always_inline]] void fetch() const noexcept {
        const fiber_core* const second = usual_.first == nullptr ? nullptr : usual_.first->next;
        if (second == nullptr) return;
        second->machine.fetch();
        if (const fiber_core* const third = second->next) {
            const char* const block = reinterpret_cast<const char*>(third);
            for (int i = 0; i < 4; ++i) __builtin_prefetch(block + 64 * i, 1);
        }
    }
    void clear() noexcept { usual_ = prompt_ = {}; }

private:
    static constexpr int most_prompt = 4; // in a row, while others wait

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

    fiber_core& pop_of_both() noexcept {
        if (usual_.first != nullptr && ++in_a_row_ > most_prompt) {
            in_a_row_ = 0;
            return usual_.pop();
        }
        return prompt_.pop();
    }

    list usual_;
    list prompt_;
    int in_a_row_ = 0;
};

} // namespace weft::rt
