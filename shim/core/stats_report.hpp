// SPDX-License-Identifier: Apache-2.0
#pragma once

// The numbers of --stats and the table they become.

#include "core/stats.hpp"

#include "core/hub.hpp"

#include <cstdint>
#include <span>

namespace weft::shim::stats {

struct call_numbers {
    std::uint64_t ways[stats::ways] = {}; // in the order of enum way
    std::uint64_t waits = 0;              // times it suspended its fiber
    std::uint64_t waited_ns = 0;
};

/// The longest time that a fiber kept its hub.
struct longest_hold {
    std::int64_t ns = 0;
    std::uint16_t call = 0; // number + 1 of the call it was in
    std::uint64_t fiber = 0;
    char name[40] = {};
};

/// Writes the report: a line for each call that was made, most often first, then totals. `calls` is in the order of calls.def, behind it
/// what waited in none of them. Allocates nothing and keeps off stdio: the process is about to end.
void report(int fd, std::span<const call_numbers> calls, const longest_hold (&held)[2], const rt::hub_counters& hubs) noexcept;

} // namespace weft::shim::stats
