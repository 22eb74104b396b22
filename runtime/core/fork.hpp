// SPDX-License-Identifier: Apache-2.0
#pragma once

// fork: the child has the calling fiber, as the main fiber of a fresh loop. Everything else there is dead without unwinding.

#include <weft/export.hpp>

#include <atomic>

namespace weft::rt {

/// Registers the handlers, once.
WEFT_API void watch_forks() noexcept;
/// In the child: nobody holds any of them there.
void reset_lasting_locks() noexcept;
/// What the child does; also for children made by raw clone.
void after_fork_in_child() noexcept;

/// Has `hook` called in each child from now on, when its hub is in order; at most eight of them.
void call_after_fork(void (*hook)() noexcept) noexcept;

extern WEFT_API constinit std::atomic<unsigned> forks_before;
/// How many forks lie between this process and the first: whoever has threads compares it before it counts on them.
inline unsigned fork_generation() noexcept { return forks_before.load(std::memory_order_relaxed); }

} // namespace weft::rt
