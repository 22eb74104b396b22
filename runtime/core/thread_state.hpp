// SPDX-License-Identifier: Apache-2.0
#pragma once

// What weft keeps per kernel thread. One small initial-exec TLS block, constant-initialised: it is read on every
// intercepted call, also before any constructor has run.

#include <weft/export.hpp>

namespace weft::rt {

class hub;
class fiber_core;

struct thread_state {
    hub* current_hub = nullptr;
    fiber_core* running = nullptr; // the fiber that runs; null in the hub's own loop and on threads without a hub
    int inside = 0;                // > 0: weft itself is making calls (invariant 8)
    bool is_helper = false;        // a kernel thread of weft's own
};

extern WEFT_API constinit thread_local thread_state this_thread_state __attribute__((tls_model("initial-exec")));

/// While it lives, calls of the shim on this kernel thread are the real ones.
class inside_weft {
public:
    inside_weft() noexcept { ++this_thread_state.inside; }
    ~inside_weft() { --this_thread_state.inside; }
    inside_weft(const inside_weft&) = delete;
    inside_weft& operator=(const inside_weft&) = delete;
};

} // namespace weft::rt
