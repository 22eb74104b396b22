// SPDX-License-Identifier: Apache-2.0
#pragma once

// Fiber stacks: one reservation for many, a guard below each, recycled last-in first-out.

#include <weft/export.hpp>

#include <cstddef>
#include <cstdint>

namespace weft::rt {

/// One stack of a reservation. The record lies outside the stack, so that a cold stack costs no page.
struct stack {
    stack* next = nullptr;       // in a free list
    char* base = nullptr;        // lowest usable address; the guard page ends here
    std::uint32_t size_class = 0;
    std::uint32_t color = 0;     // spreads the tops over cache sets

    [[nodiscard]] std::size_t size() const noexcept { return std::size_t{1} << size_class; }
    [[nodiscard]] char* top() const noexcept { return base + size(); }
};

/// A few warm stacks of one size that a hub keeps for itself, so that spawn takes no lock.
class stack_cache {
public:
    stack_cache() noexcept = default;
    stack_cache(const stack_cache&) = delete;
    stack_cache& operator=(const stack_cache&) = delete;
    ~stack_cache() { empty(); }

    stack* take(std::uint32_t size_class) noexcept {
        if (first_ == nullptr || size_class_ != size_class) return nullptr;
        stack* s = first_;
        first_ = s->next;
        --count_;
        return s;
    }
    bool put(stack& s) noexcept {
        if (size_class_ != s.size_class) {
            empty();
            size_class_ = s.size_class;
        }
        if (count_ == most) return false;
        s.next = first_;
        first_ = &s;
        ++count_;
        return true;
    }
    void empty() noexcept;
    /// In a child of fork that was made in the midst of a change.
    void forget() noexcept {
        first_ = nullptr;
        count_ = 0;
    }
    [[nodiscard]] std::size_t count() const noexcept { return count_; }
    [[nodiscard]] std::uint32_t size_class() const noexcept { return size_class_; }

private:
    static constexpr std::size_t most = 32;
    stack* first_ = nullptr;
    std::size_t count_ = 0;
    std::uint32_t size_class_ = 0;
};

struct stack_totals {
    std::size_t in_use = 0;         // stacks
    std::size_t in_use_bytes = 0;   // reserved for them, without guards
    std::size_t warm = 0;           // free stacks that keep their memory
    std::size_t cold = 0;           // free stacks that gave it back
};

constexpr std::size_t page_size = 4096;
constexpr std::size_t smallest_stack = 16 * 1024;
constexpr std::size_t default_stack = 256 * 1024;
constexpr std::size_t largest_stack = std::size_t{1} << 40;

/// A stack of at least `size` bytes (rounded up to a power of two), from any kernel thread.
/// Throws std::system_error (ENOMEM) when the address space is used up, EINVAL for sizes past largest_stack.
WEFT_API stack& acquire_stack(std::size_t size);
/// Back to the pool: it stays warm up to the high-water mark, above that its memory goes back to the system.
WEFT_API void release_stack(stack& s) noexcept;
/// Gives back all but the topmost `keep` bytes of a stack that is not free (a finished fiber with handles).
void shrink_stack(stack& s, std::size_t keep) noexcept;
/// The stack in whose guard page `address` lies, or nullptr. Async-signal-safe.
const stack* stack_of_guard(const void* address) noexcept;
WEFT_API stack_totals totals_of_stacks() noexcept;
/// In the child of fork: locks of vanished threads are opened.
void stacks_after_fork() noexcept;

} // namespace weft::rt
