// SPDX-License-Identifier: Apache-2.0
#pragma once

// How the shim's signal handlers and the hub meet. A handler of the program never runs on a hub's own stack: there the signal is
// recorded, and this_thread_state.signals makes the hub end the main fiber's wait as if it were interrupted. The main fiber
// then runs what was recorded, on its own stack, before it goes on.

#include <weft/export.hpp>

namespace weft::rt {

/// Runs what was recorded for the calling kernel thread; set by the shim, null without it. The main fiber calls it at its
/// interruption points, where it is in no list.
using signal_runner = void (*)() noexcept;
extern WEFT_API constinit signal_runner run_recorded_signals;

} // namespace weft::rt
