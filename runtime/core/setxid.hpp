// SPDX-License-Identifier: Apache-2.0
#pragma once

// setuid and its kin change the whole process: libc has every thread of its list make the system call, in a handler of a signal of
// its own, which says so in its thread's descriptor. A kernel thread that carries frames must do that by the descriptor that stands for
// it, whichever frame it runs with when the signal comes; frames, which are in the list too, have nothing to do.

namespace weft::rt {

struct tls_layout;

namespace setxid {

/// After libc has made a thread, and with that its handler. `layout` stays where it is.
void watch(const tls_layout& layout) noexcept;

} // namespace setxid

} // namespace weft::rt
