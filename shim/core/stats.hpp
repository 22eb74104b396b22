// SPDX-License-Identifier: Apache-2.0
#pragma once

// --stats: what became of each intercepted call, how long it waited, and who held the hub. Counted in serve() and where fibers are
// switched, each kernel thread in a block of its own; the sum is printed when the process ends.

#include "core/observer.hpp"

#include <cstddef>
#include <cstdint>

namespace weft::shim::stats {

/// What became of a call.
enum class way : std::uint8_t {
    served,
    off_fiber,    // made on a kernel thread that runs no fiber
    alone,        // the only fiber of a preloaded program: nothing to gain
    family_off,
    inside,       // weft's own
    never_waits,  // a regular file, or whatever else the policy found to need no waiting
};
constexpr std::size_t ways = 6;

/// Whether anything is counted. Set once, at the start.
extern constinit bool counting;

/// An intercepted call, from its stub to its return.
class one_call {
public:
    one_call(std::size_t number, way w) noexcept;
    one_call(const one_call&) = delete;
    one_call& operator=(const one_call&) = delete;
    ~one_call();
    [[nodiscard]] bool is_served() const noexcept { return way_ == way::served; }

private:
    rt::fiber_core* fiber_; // null: the call is not a fiber's
    rt::observation outer_;
    const way way_;
};

void passed_through() noexcept;

/// A policy says that the call it serves needs no waiting, and so becomes libc's.
inline void never_waits() noexcept {
    if (__builtin_expect(counting, 0)) passed_through();
}

/// From now on; prints when the process ends.
void start() noexcept;
/// Prints, once a process: what ends it without exit() calls this. Nothing happens in a vforked child, or without --stats.
void at_end() noexcept;

} // namespace weft::shim::stats
