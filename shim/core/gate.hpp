// SPDX-License-Identifier: Apache-2.0
#pragma once

// Whether a call is served by the runtime or is libc's, arguments and errno untouched (invariant 8).

#include "core/alternate_stack.hpp"
#include "core/stats.hpp"

#include "core/hub.hpp"
#include "core/thread_state.hpp"

#include <atomic>
#include <cstdint>

namespace weft::shim {

enum class family : std::uint8_t {
#define WEFT_FAMILY(name, help) name,
#include "core/families.def"
#undef WEFT_FAMILY
};

class gate {
public:
    /// True: serve it. The call is made on a fiber, not by weft itself, its family is on, and there is something to gain.
    static bool open(family f) noexcept {
        const rt::thread_state& here = rt::this_thread_state;
        if (here.running == nullptr) return always_serve_ && make_hub(f);
        return (here.inside == 0 || signals::left_alternate_stack()) && is_on(f) && !alone(*here.running);
    }
    /// Why a call is not served, or that it is: for the statistics.
    static stats::way way_of(family f) noexcept;
    /// For calls that are served on any thread, since what they use has one protocol for all: locks. A preloaded program without a
    /// hub has no fibers, so libc's own will do.
    static bool open_everywhere(family f) noexcept {
        return is_on(f) && (!preloaded_ || always_serve_ || rt::hub::was_made());
    }
    static bool is_on(family f) noexcept { return (families_.load(std::memory_order_relaxed) >> bit(f) & 1) != 0; }
    static void switch_family(family f, bool on) noexcept {
        if (on) families_.fetch_or(1U << bit(f), std::memory_order_relaxed);
        else families_.fetch_and(~(1U << bit(f)), std::memory_order_relaxed);
    }
    /// A preloaded program's calls are served even while it has a single fiber: for testing.
    static void always_serve() noexcept { always_serve_ = true; }
    /// There are several hubs of green threads: who is alone on one may get company from another at any moment, or be woken from there.
    static void hubs_meet(bool they_do) noexcept { hubs_meet_ = they_do; }

private:
    static constexpr unsigned bit(family f) noexcept { return static_cast<unsigned>(f); }
    /// With one fiber and nothing else to run, a preloaded program makes the real call.
    static bool alone(rt::fiber_core& f) noexcept {
        return preloaded_ && !always_serve_ && f.owner->live_fibers() == 1 && !hubs_meet_ && !f.has_pending() && !signals::keeps_pending();
    }
    static bool make_hub(family f) noexcept;

    friend void initialise() noexcept;
    static constinit std::atomic<std::uint32_t> families_;
    static constinit bool always_serve_;
    static constinit bool hubs_meet_;
    static constinit bool preloaded_;
};

} // namespace weft::shim
