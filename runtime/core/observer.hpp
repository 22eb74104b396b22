// SPDX-License-Identifier: Apache-2.0
#pragma once

// Who watches fibers come and go: the shim's statistics. Nobody does unless asked, and then a switch costs a predicted branch more.

#include <weft/export.hpp>

#include <cstdint>

namespace weft::rt {

class fiber_core;

/// What an observer keeps in a fiber. The call is a number of the observer's, 0 for none.
struct observation {
    std::int64_t since = 0;     // when the fiber last began to run, entered or left a call, or began to wait
    std::uint16_t call = 0;     // the intercepted call it is in
    bool waits = false;         // it is suspended until something wakes it
    bool direct = false;        // that call was found to need no waiting
};

/// Both on the hub's thread; neither suspends, allocates or throws.
struct observer {
    void (*leaves)(fiber_core& f) noexcept;  // it yields, parks or has ended
    void (*arrives)(fiber_core& f) noexcept; // it runs, again or for the first time
};

extern constinit const observer* fiber_observer;

/// Once, before there is a hub.
WEFT_API void observe_fibers(const observer& o) noexcept;

} // namespace weft::rt
