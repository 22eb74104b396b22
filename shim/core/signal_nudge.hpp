// SPDX-License-Identifier: Apache-2.0
#pragma once

// How a kernel thread hears that the thread which it runs, and which may never wait, has a handler to run: by a signal that libc keeps for itself, and
// that nobody can block or set. None of the program's would do: the kernel keeps one of a number for a thread, so that a nudge could swallow
// the program's own signal, and the action may be the default one again when it is taken.

#include "core/signal_receiver.hpp"

namespace weft::shim::signals {

/// si_code of a nudge. No signal of the program's.
inline constexpr int nudge = -87;
inline bool is_nudge(const siginfo_t& info) noexcept { return info.si_code == nudge && info.si_pid == rt::sys::getpid(); }

/// That signal has one handler; who else uses it looks at each that is no nudge, and says whether it was its own. The rest is libc's.
using signal_taker = bool (*)(const siginfo_t& info, void* context) noexcept;
void share_signal(signal_taker takes) noexcept;
/// Sends it to a kernel thread, with what `info` says beside the number. False: there is no such thread.
bool send_shared(int kernel_thread, siginfo_t info, bool restarts) noexcept;

/// `number` is recorded for a thread that runs elsewhere: tells it there, and the watchdog goes on with it where that thread is in weft's code, where no
/// handler runs, and may leave that without looking. Not under `deciding`. The thread may have ended.
void nudge_there(const receiver& r, int number) noexcept;
/// The watchdog's, now and then: nudges all that have something to run. False: nobody needs it.
bool nudge_all() noexcept;

} // namespace weft::shim::signals
