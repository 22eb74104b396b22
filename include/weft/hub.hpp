// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <weft/deadline.hpp>
#include <weft/export.hpp>
#include <weft/fiber.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace weft {

/// What a hub did so far, and what it has now.
struct hub_stats {
    std::uint64_t switches = 0;    ///< fibers resumed
    std::uint64_t polls = 0;       ///< times the kernel was asked for events
    std::uint64_t timers = 0;      ///< timers set now
    std::uint64_t spawned = 0;     ///< fibers made, the main fiber included
    std::uint64_t finished = 0;    ///< fibers ended
    std::uint64_t ready = 0;       ///< fibers waiting for their turn now, those not yet started included
    std::uint64_t running = 0;     ///< the calling fiber
    std::uint64_t parked = 0;      ///< fibers waiting for something now
    std::size_t stack_bytes = 0;   ///< address space of the stacks in use, in all hubs
};

/// The scheduler of the calling kernel thread. Each thread sees its own.
///
/// @code
/// weft::hub& h = weft::hub::current();
/// for (const weft::any_fiber& f : h.fibers()) (void)f.name();
/// std::uint64_t turns = h.stats().switches;
/// bool quiet = weft::hub::join(std::chrono::seconds(1));   // until nothing is left to run
/// (void)turns, (void)quiet;
/// @endcode
class hub {
public:
    hub(const hub&) = delete;
    hub& operator=(const hub&) = delete;

    /// The calling kernel thread's hub; made if there is none. Throws std::system_error without descriptors for it. It lives as
    /// long as the thread.
    WEFT_API static hub& current();
    /// Its live fibers, oldest first; the main fiber is one.
    [[nodiscard]] WEFT_API static std::vector<any_fiber> fibers();
    [[nodiscard]] WEFT_API static hub_stats stats();
    /// Waits until nothing is left to run but the callers of this, or nothing could wake what is. Coroutines that have yielded, and signal handlers, do
    /// not keep it waiting. False: the deadline came first.
    WEFT_API static bool join(deadline d = {});

private:
    hub() = default;
};

/// In a child made by raw clone (fork needs no call): only the calling fiber lives on, as the main fiber of a fresh hub.
WEFT_API void fork_reinit();

} // namespace weft
