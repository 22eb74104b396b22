// SPDX-License-Identifier: Apache-2.0
#pragma once

// Trapped futex calls. Whoever wakes such a waiter may do so by an instruction that is not trapped, which only the kernel hears of; so the
// wait is the kernel's too, on a thread of weft's.

#include "calls/syscall.hpp"

namespace weft::shim::trap {

/// Whether the call may wait, and so is to be served by wait_for_word.
bool waits_for_word(const syscalls::arguments& a) noexcept;
/// FUTEX_WAIT and FUTEX_WAIT_BITSET. libc ends the program when one fails in a way it does not know, so a kill or a time-out only makes it
/// look up (EINTR), and not even that while it waits for a lock of its own.
long wait_for_word(const syscalls::arguments& a) noexcept;

} // namespace weft::shim::trap
