// SPDX-License-Identifier: Apache-2.0
#pragma once

// How a green thread ends before its function returns. The way is libc's own: its unwinder runs the cleanup handlers of C, in every form they
// were ever registered in, and the destructors of C++, since a green thread's frame holds all that they need; and it jumps to the
// outermost place that is registered, which is ours.

#include "threads/green.hpp"

namespace weft::shim::ending {

/// Runs the thread's function on its own stack, and the destructors of its thread-local objects and keys, until all are done: they may
/// call pthread_exit too.
void run(green_thread& thread);

/// pthread_exit of the calling thread. In a handler that weft has called, that handler is unwound, and the rest when weft's code has come to
/// its end.
[[noreturn]] void leave(green_thread& self, void* result);
/// The rest.
[[noreturn]] void go_on(green_thread& self);
/// A handler has been unwound.
void handler_has_left() noexcept;

/// The running code, which is the program's, was interrupted at `context` by a signal whose handler is about to return: the thread ends
/// there.
void end_interrupted(void* context) noexcept;
/// The same if a handler of the program has ended the thread meanwhile.
void after_handler(void* context) noexcept;

} // namespace weft::shim::ending
