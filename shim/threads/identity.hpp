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

/// The same where a lock may be taken without being counted.
extern constinit std::ptrdiff_t quick_tid_offset;

std::uint32_t ask_tid() noexcept;

inline std::uint32_t tid_at(std::ptrdiff_t offset) noexcept {
    std::uint32_t tid = 0;
    asm volatile("movl %%fs:(%1), %0" : "=r"(tid) : "r"(offset));
    return tid;
}

/// The calling kernel thread.
inline std::uint32_t this_tid() noexcept {
    return __builtin_expect(tid_offset == 0, 0) ? ask_tid() : tid_at(tid_offset);
}

inline std::uint32_t number_of(const rt::fiber_core& f, std::uint32_t salt = 0) noexcept {
    return fiber_mark | ((static_cast<std::uint32_t>(f.id) + salt) & (fiber_mark - 1));
}

/// Of a fiber on its thread's own stack: that thread, whatever kernel thread runs it.
inline std::uint32_t home_tid_of(const rt::fiber_core& f) noexcept { return static_cast<std::uint32_t>(f.owner->home_tid()); }

/// The calling fiber or thread. `shared`: for an object that other processes see.
inline std::uint32_t this_owner(bool shared) noexcept {
    const rt::fiber_core* f = rt::this_thread_state.running;
    if (f == nullptr) return this_tid();
    return f->is_on_thread_stack() ? home_tid_of(*f) : number_of(*f, shared ? process_salt : 0);
}

/// While it lives, libc takes the calling thread for the one of that number: what it writes as the owner of a lock is right at once.
class taken_for {
public:
    explicit taken_for(std::uint32_t number) noexcept : before_(this_tid()), now_(tid_offset == 0 ? before_ : number) {
        if (now_ != before_) write(now_);
    }
    ~taken_for() {
        if (now_ != before_) write(before_);
    }
    taken_for(const taken_for&) = delete;
    taken_for& operator=(const taken_for&) = delete;

private:
    static void write(std::uint32_t tid) noexcept { asm volatile("movl %0, %%fs:(%1)" : : "r"(tid), "r"(tid_offset) : "memory"); }
    std::uint32_t before_, now_;
};

/// Finds out where the tid lies.
void identity_initialise() noexcept;
void identity_after_fork() noexcept;

} // namespace weft::shim
