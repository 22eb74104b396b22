// SPDX-License-Identifier: Apache-2.0
#pragma once

// Running the program's handlers as the kernel would: by the mask, the stack and the context of the thread that takes the signal.

#include "core/signal_receiver.hpp"

#include <ucontext.h>

namespace weft::shim::signals {

/// On the calling thread's own stack, for a signal that was recorded.
void run_handler(receiver& r, siginfo_t& info) noexcept;
/// Runs them until none is left. `unblocked`: they have been pending, the lowest number is the first to be taken, and the last to be run.
void run_pending(receiver& r, bool unblocked) noexcept;

/// From within our handler, where the kernel put it, all signals blocked if there are `several`. `kernel_had`: the mask that was in force
/// when the signal came; `in_weft`: it interrupted weft. r is null where no thread runs that takes signals.
void run_handler_here(receiver* r, int number, siginfo_t& info, ucontext_t& context, bits kernel_had, bool in_weft) noexcept;

} // namespace weft::shim::signals
