// SPDX-License-Identifier: Apache-2.0
#pragma once

// The alternate signal stack. Where the program has none, weft has one of its own, for reporting overflows: the program never sees it,
// nor do its handlers run there. A handler with SA_ONSTACK runs on the program's, whoever calls it. A fiber cannot be suspended there,
// since the next such handler would begin at the top again: calls are the real ones until it has returned or left by a jump.

#include <csignal>

namespace weft::shim::signals {

using info_handler = void (*)(int number, siginfo_t* info, void* context);

/// sigaltstack(2) as the program sees it.
int alternate_stack(const stack_t* wanted, stack_t* old) noexcept;

/// Calls a handler that the kernel did not, with these flags.
void call_handler(info_handler handler, int flags, int number, siginfo_t* info, void* context);
/// Calls it from within ours, which runs where the kernel put it.
void call_handler_here(info_handler handler, int number, siginfo_t* info, void* context);

/// Whether a call is the program's: weft's mark is not set, or a handler runs that was called in spite of it.
bool program_asks() noexcept;

/// Whether weft's mark is what a handler left behind that jumped off the alternate stack: then it is gone now.
bool left_alternate_stack() noexcept;

} // namespace weft::shim::signals
