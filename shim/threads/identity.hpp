// SPDX-License-Identifier: Apache-2.0
#pragma once

// Who owns a mutex. Threads, and main fibers as the programs' own threads, are known by their kernel tid, as libc has it; other fibers by a
// number that is never a tid.

#include "core/hub.hpp"
#include "core/thread_state.hpp"

#include <cstddef>
#include <cstdint>

namespace weft::shim {

/// Where libc keeps a thread's tid, behind its thread pointer; 0: unknown, ask the kernel.
extern constinit std::ptrdiff_t tid_offset;
/// Keeps the numbers of two processes' fibers apart.
extern constinit std::uint32_t process_salt;

constexpr std::uint32_t fiber_mark = 0x40000000;

std::uint32_t ask_tid() noexcept;

/// The calling kernel thread.
inline std::uint32_t this_tid() noexcept {
    if (__builtin_expect(tid_offset == 0, 0)) return ask_tid();
    std::uint32_t tid = 0;
    asm volatile("movl %%fs:(%1), %0" : "=r"(tid) : "r"(tid_offset));
    return tid;
}

/// The calling fiber or thread. `shared`: for an object that other processes see.
inline std::uint32_t this_owner(bool shared) noexcept {
    const rt::fiber_core* f = rt::this_thread_state.running;
    if (f == nullptr) return this_tid();
    if (f->is_on_thread_stack()) return static_cast<std::uint32_t>(f->owner->home_tid()); // whatever kernel thread runs it
    return fiber_mark | ((static_cast<std::uint32_t>(f->id) + (shared ? process_salt : 0)) & (fiber_mark - 1));
}

/// Finds out where the tid lies.
void identity_initialise() noexcept;
void identity_after_fork() noexcept;

} // namespace weft::shim
