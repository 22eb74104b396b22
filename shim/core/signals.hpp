// SPDX-License-Identifier: Apache-2.0
#pragma once

// Signals in a served program. The kernel knows one handler of ours for every signal that the program handles; it runs the program's at once where
// the thread runs that is to take it, on that stack. For another thread, on a hub's own stack, and while the thread is on its way
// into or out of a wait, it only records the signal: the wait ends, and the thread runs the handler before its call returns, so that a
// handler may leave by siglongjmp. Wherever the handler ran, that thread's call then fails with EINTR or goes on, as Linux has it.
//
// Who takes signals, and which: signal_receiver.hpp. Without green threads these are main fibers only, and signals that are a fault of the running
// code (SIGSEGV and its kin) stay between the program and the kernel.

#include "core/signal_receiver.hpp"

#include <csignal>
#include <cstdint>

namespace weft::shim::signals {

/// One wait of a call that signals may interrupt. Make it before the last look at what is waited for. When it goes, the handlers of
/// what came meanwhile have run.
class wait {
public:
    wait() noexcept : me_(self()) {
        if (me_ != nullptr) begin();
    }
    wait(const wait&) = delete;
    wait& operator=(const wait&) = delete;
    ~wait() {
        if (me_ != nullptr) end();
    }

    /// Runs the handlers of what has come; the caller is in no list. True: the call fails with EINTR. `restarts`: not if every handler that
    /// ran since this wait began (or was last asked) has SA_RESTART.
    bool interrupted(bool restarts) noexcept;
    /// Whether the calling fiber is one that signals interrupt.
    [[nodiscard]] bool takes_signals() const noexcept { return me_ != nullptr; }

private:
    void begin() noexcept;
    void end() noexcept;

    receiver* const me_;
    std::uint32_t ran_ = 0, plain_ = 0;
};

/// For a fiber that takes no signals and waits for a handler: whether one has run in the process since this was made.
class handler_watch {
public:
    handler_watch() noexcept;
    handler_watch(const handler_watch&) = delete;
    handler_watch& operator=(const handler_watch&) = delete;
    ~handler_watch();

    [[nodiscard]] bool has_run() const noexcept;
    /// Suspends the fiber; it may return early.
    void await() noexcept;

private:
    std::uint64_t seen_ = 0;
};
void handler_watch_after_fork() noexcept;

/// A handler of the program's has returned; async-signal-safe.
void handler_returned() noexcept;

/// sigaction(2) as the program sees it: it never hears of our handler.
int action(int number, const struct sigaction* wanted, struct sigaction* old) noexcept;
/// signal(3) in its several flavours.
sighandler_t simple_action(int number, sighandler_t handler, int flags) noexcept;
/// siginterrupt(3).
int interrupts(int number, bool does) noexcept;

/// Green threads begin: from now on each has signals of its own. The main thread calls it.
void threads_begin(rt::fiber_core& main) noexcept;
/// What a new thread's mask is, unless it was made with one of its own.
bits mask_to_inherit() noexcept;
/// The first thing of a thread: what came before its start.
void thread_begins() noexcept;

/// The calling kernel thread carries a hub now.
void carrier_begins() noexcept;

void find_code_ranges() noexcept;
/// Whether code at this address is weft's own, in the midst of which no fiber may be suspended.
bool is_weft(std::uintptr_t address) noexcept;
bool is_libc(std::uintptr_t address) noexcept;

/// In the child of a fork: what came to the parent is the parent's.
void after_fork() noexcept;

/// Numbered in init.cpp.
void initialise() noexcept;

} // namespace weft::shim::signals
