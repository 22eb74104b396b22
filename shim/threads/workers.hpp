// SPDX-License-Identifier: Apache-2.0
#pragma once

// The hubs that run green threads. The first is that of the process's main thread; `--workers N` adds up to N-1 more, each on a kernel thread of its own,
// made when the first green thread is to go there. A green thread stays with the hub that it was given at its start, since its waits, timers and
// place in a queue belong to that; a hub may change kernel threads (core/carrier.hpp).

#include <cstdint>

namespace weft::rt {
class hub;
}

namespace weft::shim::workers {

inline constexpr unsigned most = 64;

/// --workers.
void number(std::uint64_t hubs) noexcept;

/// One more green thread comes to be: which hub it is to live on, by its place among them. With a single one, that is the caller's.
struct place {
    rt::hub* hub;
    std::uint8_t at;
};
place choose(rt::hub& here) noexcept;
/// It has ended, or could not be made.
void left(std::uint8_t at) noexcept;

/// The place of a hub: 0 for what is no worker's.
unsigned place_of(const rt::hub& h) noexcept;

/// In the child of fork: the caller's hub alone. `threads`: green threads there, without main.
void after_fork(rt::hub* survivor, int threads) noexcept;

} // namespace weft::shim::workers
