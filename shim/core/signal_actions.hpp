// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the program wants done with each signal. The kernel knows one handler of ours for all that it handles.

#include <csignal>
#include <ucontext.h>

namespace weft::shim::signals {

/// The program's action; also in handlers.
struct sigaction wanted_action(int number) noexcept;
inline bool is_handler(const struct sigaction& a) noexcept { return a.sa_handler != SIG_DFL && a.sa_handler != SIG_IGN; }
/// SA_RESETHAND: its handler is about to run for once. With all signals blocked.
void reset_action(int number) noexcept;
/// The same where the kernel keeps the runtime's handler.
void drop_action(int number) noexcept;
/// The running code brings it upon itself.
constexpr bool is_fault(int number) noexcept {
    return number == SIGSEGV || number == SIGBUS || number == SIGFPE || number == SIGILL || number == SIGTRAP;
}

/// The one handler that the kernel knows.
void on_signal(int number, siginfo_t* info, void* context) noexcept;

/// Green threads begin: the kernel's actions are made anew, since their stacks, and when a handler is dropped, is our concern now; and faults
/// are handled by way of ours, too.
void take_over_actions() noexcept;

/// In the child of fork: whoever was changing one on another kernel thread does not exist there.
void actions_after_fork() noexcept;

} // namespace weft::shim::signals
