// SPDX-License-Identifier: Apache-2.0
#pragma once

// The alternate signal stack. Where the program has none, weft has one of its own, for reporting overflows: the program never sees it,
// nor do its handlers run there. A handler with SA_ONSTACK runs on the program's, whoever calls it. A fiber cannot be suspended there,
// since the next such handler would begin at the top again: calls are the real ones until it has returned or left by a jump.
// (But for green threads, see below.)

#include <csignal>

#include <ucontext.h>

namespace weft::rt {
struct thread_state;
}

namespace weft::shim::signals {

using info_handler = void (*)(int number, siginfo_t* info, void* context);

/// sigaltstack(2) as the program sees it.
int alternate_stack(const stack_t* wanted, stack_t* old) noexcept;

/// Calls a handler that the kernel did not, with these flags.
void call_handler(info_handler handler, int flags, int number, siginfo_t* info, void* context);
/// Calls it from within ours, which runs where the kernel put it.
void call_handler_here(info_handler handler, int number, siginfo_t* info, void* context);

// With green threads each has an alternate stack of its own, and the kernel knows weft's only, for faults. There a thread may be suspended.

/// The main thread's is its own from now on.
void take_alternate_stack(stack_t& own) noexcept;
/// Calls a handler that the kernel did not, on the thread's own alternate stack if the flags ask for it.
void call_on_own_stack(stack_t& own, info_handler handler, int flags, int number, siginfo_t* info, void* context);
/// Calls it from within ours. `kernels`: what the kernel knew when the signal came.
void call_here_on_own_stack(stack_t& own, const stack_t& kernels, info_handler handler, int flags, int number, siginfo_t* info,
                            void* context);

/// A handler of ours, which came on that kernel thread, is about to return, perhaps on another one: the return sets the alternate stack as
/// it was when the signal came, and two kernel threads must not have the same.
void returns_from(const rt::thread_state& carrier, ucontext_t& context) noexcept;

/// Whether the calling green thread is on its own.
bool on_own_alternate_stack() noexcept;

/// Whether a call is the program's: weft's mark is not set, or a handler runs that was called in spite of it.
bool program_asks() noexcept;

/// Whether signals are pending for the calling green thread that the kernel does not know of, so that its own calls would wait for them in vain.
bool keeps_pending() noexcept;

/// Whether weft's mark is what a handler left behind that jumped off the alternate stack: then it is gone now.
bool left_alternate_stack() noexcept;

} // namespace weft::shim::signals
