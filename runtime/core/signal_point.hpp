// SPDX-License-Identifier: Apache-2.0
#pragma once

// How the shim's signal handlers and the hub meet. A handler of the program never runs on a hub's own stack: there the signal is
// recorded, and this_thread_state.signals makes the hub end the main fiber's wait as if it were interrupted. The main fiber
// then runs what was recorded, on its own stack, before it goes on.

#include <weft/export.hpp>

#include <atomic>

namespace weft::rt {

class hub;

/// Runs what was recorded for the calling fiber; set by the shim, null without it. Fibers that take signals call it at their
/// interruption points, where they are in no list.
using signal_runner = void (*)() noexcept;
extern WEFT_API constinit signal_runner run_recorded_signals;

/// Green threads take signals of their own. `signals_posted` says that some of them have something to run; then hubs call
/// `interrupt_posted`, set by the shim, between two fibers.
extern WEFT_API constinit std::atomic<bool> signals_posted;
using hub_function = void (*)(hub&) noexcept;
extern WEFT_API constinit hub_function interrupt_posted;
/// The watchdog calls it now and then while there are such: one that computes may not have heard of it. False: none does.
using signal_nudger = bool (*)() noexcept;
extern WEFT_API constinit signal_nudger nudge_posted;

} // namespace weft::rt
