// SPDX-License-Identifier: Apache-2.0
#pragma once

// What weft keeps per kernel thread. One small initial-exec TLS block, constant-initialised: it is read on every
// intercepted call, also before any constructor has run.

#include <weft/export.hpp>

#include <atomic>
#include <cstdint>

namespace __cxxabiv1 {
struct __cxa_eh_globals;
}

namespace weft::rt {

class hub;
class fiber_core;
class stack_cache;

struct alignas(64) thread_state { // two cache lines, which a switch fetches
    // --- Of the frame, that is of whoever runs with this TLS (a fiber with a frame of its own has its own copy) ---
    hub* current_hub = nullptr;
    fiber_core* running = nullptr; // the fiber that runs; null in the hub's own loop and on threads without a hub
    int inside = 0;                // > 0: weft itself is making calls (invariant 8); from `vforked` on, a child of vfork
    bool knows_itself = false;     // it was found not to be the main thread
    std::uint8_t fiber_selector = 0; // what a fiber's own code runs with (see selector)
    stack_cache* stacks = nullptr; // the hub's
    // Where errno and the C++ exception globals of this frame lie; set with the hub, for the switch.
    int* errno_address = nullptr;
    __cxxabiv1::__cxa_eh_globals* exception_globals = nullptr;
    char* thread_pointer = nullptr;  // of this frame; set with the hub
    thread_state* carrier = nullptr; // that of the kernel thread that runs it; null: it is itself
    void* thread = nullptr;          // the shim's record of a green thread

    // --- Of the kernel thread: in the state of its own frame, see carrier_state() ---
    volatile bool signals = false; // a signal wants to end the main fiber's wait (see signal_point.hpp)
    // The trap of system calls (the shim's core/trap.hpp). The kernel reads the selector at each system call of this thread; 1: trapped.
    // It belongs to what runs, so the switch keeps it; weft's own code runs with 0.
    volatile std::uint8_t selector = 0;
    // How hubs are taken over (carrier.hpp).
    volatile bool within = false;       // weft's code runs
    volatile std::uint8_t seized = 0;   // 1: the watchdog looks at it; 2: its hub is gone
    class carrier* self = nullptr;
    char* descriptor = nullptr; // what libc's list of threads has for this kernel thread; null: its own frame

    // --- Of the frame: the shim's cancellation of threads ---
    std::atomic<std::uint8_t> end_wanted{0}; // somebody wants this thread to end; written by any thread
    std::uint8_t may_end = 0;                // it is in a call that such a request breaks off, as a kill does: one of those below
    std::uint8_t broken_off = 0;             // and that has been done
};

extern WEFT_API constinit thread_local thread_state this_thread_state __attribute__((tls_model("initial-exec")));

/// The state of the calling kernel thread, whatever frame is in use.
inline thread_state& carrier_state() noexcept {
    thread_state& here = this_thread_state;
    return here.carrier == nullptr ? here : *here.carrier;
}

/// A variable of the calling kernel thread: `mine` is an initial-exec thread_local, which lies at the same place of every frame.
template <class T>
T& of_carrier(T& mine) noexcept {
    const thread_state& here = this_thread_state;
    if (here.carrier == nullptr || here.carrier == &here) return mine;
    return *reinterpret_cast<T*>(reinterpret_cast<char*>(&mine) + (reinterpret_cast<char*>(here.carrier) - reinterpret_cast<const char*>(&here)));
}

/// thread_state::may_end.
inline constexpr std::uint8_t ends = 1, ends_if_asynchronous = 2;

/// What vfork adds to `inside` until its child has called exec or ended: the child runs on the parent's memory, this thread_state included, but
/// in another process, so every call of it is the real one and leaves all that weft knows alone.
inline constexpr int vforked = 1 << 16;
inline bool in_vforked_child() noexcept { return this_thread_state.inside >= vforked; }

/// While it lives, calls of the shim on this kernel thread are the real ones.
class inside_weft {
public:
    inside_weft() noexcept { ++this_thread_state.inside; }
    ~inside_weft() { --this_thread_state.inside; }
    inside_weft(const inside_weft&) = delete;
    inside_weft& operator=(const inside_weft&) = delete;
};

} // namespace weft::rt
