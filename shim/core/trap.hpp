// SPDX-License-Identifier: Apache-2.0
#pragma once

// The trap of system calls: what waits where no name can be intercepted. While the selector of what runs (thread_state.hpp) says so, the
// kernel turns each of its system calls into a SIGSYS at that instruction (Syscall User Dispatch, Linux 5.11). Our handler serves those
// that weft serves under a name (calls/syscall.hpp), on the fiber's own stack, so it may suspend the fiber; every other one it sends back,
// to be made as it stands by an instruction that the kernel lets through.
//
// libc's functions that wait inside run so (inner.hpp). With --trap all code of fibers does, inline system calls included. It costs about
// 1 µs a trapped call, and 30 ns on every other one of that kernel thread.

#include "core/carrier.hpp"
#include "core/thread_state.hpp"

#include <csignal>
#include <cstdint>

namespace weft::shim::trap {

/// While it lives, weft's code runs, and the calling fiber's system calls go straight to the kernel.
class untrapped {
public:
    untrapped() noexcept : selector_(rt::carrier_state().selector) { rt::carrier_state().selector = 0; }
    /// The rest is the program's, or libc's: it may take long.
    void leave() noexcept { within_.leave(); }
    untrapped(const untrapped&) = delete;
    untrapped& operator=(const untrapped&) = delete;
    ~untrapped() {
        if (__builtin_expect(selector_ != 0, 0)) set_again();
    }

private:
    static void set_again() noexcept;
    rt::within_weft within_;
    const std::uint8_t selector_;
};

/// While it lives, the calling fiber's system calls are trapped, if it converts to true; if not, the kernel cannot do it.
class trapped {
public:
    trapped() noexcept;
    trapped(const trapped&) = delete;
    trapped& operator=(const trapped&) = delete;
    ~trapped();
    explicit operator bool() const noexcept { return works_; }

private:
    const std::uint8_t selector_;
    const bool works_;
    bool was_blocked_ = false; // SIGSYS; a trapped call would end the process then
};

/// Whether `trapped` would work on this kernel thread.
bool available() noexcept;

/// A handler of the program is called by ours: it has the selector of the program's code, whatever it interrupted, and keeps that
/// if it leaves by a jump.
class program_code {
public:
    program_code() noexcept;
    program_code(const program_code&) = delete;
    program_code& operator=(const program_code&) = delete;
    ~program_code() { rt::carrier_state().selector = selector_; }

private:
    const std::uint8_t selector_;
};

/// Takes SIGSYS out of a mask that weft sets for the whole kernel thread while other fibers run: a trapped call would end the process.
inline void let_through(sigset_t& mask) noexcept {
    if (rt::this_thread_state.fiber_selector != 0) ::sigdelset(&mask, SIGSYS);
}

/// sigaction(SIGSYS) of the program: it never sees ours.
int action(const struct sigaction* wanted, struct sigaction* old) noexcept;

/// Whether the program's own calls, sent back to the kernel, are made by code at this address.
bool makes_calls(std::uintptr_t address) noexcept;

/// libc's inner waits go to kernel threads, as on kernels that have no trap (for tests).
void forbid() noexcept;

/// All code of fibers is trapped, from its hub's start on. Says so on stderr where the kernel cannot.
void trap_fibers() noexcept;
bool traps_fibers() noexcept;

/// In the child of a fork, where the kernel traps nothing.
void after_fork() noexcept;

/// Numbered in init.cpp.
void initialise() noexcept;

} // namespace weft::shim::trap
