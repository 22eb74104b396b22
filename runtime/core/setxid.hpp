// SPDX-License-Identifier: Apache-2.0
#pragma once

// setuid and its kin change the whole process: libc has every thread of its list make the system call, in a handler of a signal of
// its own, which says so in its thread's descriptor. A kernel thread that carries frames must do that by the descriptor that is in the
// list, whichever frame it runs with when the signal comes.

#include <cstddef>

namespace weft::rt::setxid {

/// After libc has made a thread, and with that its handler. `cancel`: where a descriptor has the flag of an unanswered call.
void watch(std::ptrdiff_t cancel) noexcept;

/// A frame that is in libc's list for a while, in which nobody would take the flag away. One at a time; null: none.
void also_answers_for(char* thread_pointer) noexcept;

} // namespace weft::rt::setxid
