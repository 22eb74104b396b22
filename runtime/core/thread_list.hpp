// SPDX-License-Identifier: Apache-2.0
#pragma once

// libc's list of threads. Every frame is in it, as every thread of libc's own is, so that libc gives it the initial values of modules that are loaded
// later, and waits for it before it lets go of what a look-up of symbols uses. Its readers go forwards, with a lock of libc's, so an entry comes in
// by one store, and still leads on when it has been taken out.

#include "core/tls_layout.hpp"

namespace weft::rt::thread_list {

/// Entries are `layout.list` from their thread pointers. Neither needs libc's lock.
void put_in(const tls_layout& layout, char* entry) noexcept;
/// Nothing happens if it is in none.
void take_out(char* entry) noexcept;

/// libc's lock: while it is held nobody reads the list. It waits for whoever has it. False: it is not where it is in the libc that we know. The first call
/// makes a kernel thread to see that; hubs do not call it.
bool lock_libcs(const tls_layout& layout) noexcept;
void unlock_libcs() noexcept;

/// In the child of fork, where libc has opened its own.
void after_fork() noexcept;

} // namespace weft::rt::thread_list
