// SPDX-License-Identifier: Apache-2.0
#pragma once

// Kernel threads that carry hubs, and how a held hub is taken over (invariant 6).
//
// A hub whose fibers all have TLS frames of their own (green threads) can be run by any kernel thread. When one of its fibers computes,
// spins, or is blocked by a system call that weft does not see, a watchdog gives the hub to a spare kernel thread, and the fiber keeps the
// one it has until it calls weft again; then it goes back into the hub's queue, and its kernel thread becomes a spare.
//
// Who runs weft's code says so in `within` of its kernel thread; plain stores, since the watchdog orders them from its side: it announces
// itself in `seized`, has the kernel make every running thread pass a memory barrier, and only then looks at `within`. So either it sees
// that weft's code runs, and gives up, or that code, when it begins, sees that the hub is gone.

#include "core/context.hpp"
#include "core/thread_state.hpp"

#include <weft/export.hpp>

#include <cstdint>

namespace weft::rt {

class fiber_core;
class hub;

/// The hub was, or is being, taken from the calling kernel thread while the running fiber computed: the fiber goes back into its hub's queue.
WEFT_API void come_back() noexcept;

/// While it lives, the calling kernel thread runs weft's code. Made at every entry from the program's code.
class within_weft {
public:
    within_weft() noexcept {
        thread_state& c = carrier_state();
        was_ = c.within;
        c.within = true;
        asm volatile("" : : : "memory");
        if (__builtin_expect(c.seized != 0, 0)) come_back();
    }
    within_weft(const within_weft&) = delete;
    within_weft& operator=(const within_weft&) = delete;
    ~within_weft() { leave(); }
    /// Before its end: the rest is the program's, or libc's, and may take long.
    void leave() noexcept {
        asm volatile("" : : : "memory");
        carrier_state().within = was_; // perhaps another kernel thread by now
    }

private:
    bool was_;
};

/// While it lives, weft's code has called the program's.
class program_runs {
public:
    program_runs() noexcept {
        asm volatile("" : : : "memory");
        carrier_state().within = false;
    }
    program_runs(const program_runs&) = delete;
    program_runs& operator=(const program_runs&) = delete;
    ~program_runs() {
        thread_state& c = carrier_state();
        c.within = true;
        asm volatile("" : : : "memory");
        if (__builtin_expect(c.seized != 0, 0)) come_back();
    }
};

/// How the shim hears that the calling kernel thread begins to carry a hub, so that its signal mask and traps are as the hub's.
using carrier_hook = void (*)(int former_tid) noexcept;
extern WEFT_API constinit carrier_hook carrier_begins;

/// The kernel thread that runs that fiber, or ran it last; 0: one that is the parent's, in a child of fork. Any thread; what it says may be past.
WEFT_API int kernel_thread_of(const fiber_core& f) noexcept;

namespace watchdog {

/// Watches hubs from now on. Its kernel thread is made here; without one, or where the kernel has no such barrier, hubs stay where they are.
WEFT_API void start() noexcept;
/// A hub on a kernel thread of weft's own, for fibers with TLS frames; null: no memory, no kernel thread. It lasts as long as the process.
WEFT_API hub* make_worker() noexcept;
/// How often a hub was taken over.
WEFT_API std::uint64_t takeovers() noexcept;
/// A hub has something to do again after it waited.
extern WEFT_API constinit std::uint32_t asleep; // a futex: 1 while the watchdog waits for that
WEFT_API void rouse() noexcept;
/// The main thread is called so now; so is that of a child of fork, whichever kernel thread made it.
WEFT_API void main_is_called(const char* name) noexcept;
void after_fork() noexcept;

} // namespace watchdog

} // namespace weft::rt
