// SPDX-License-Identifier: Apache-2.0
// this_fiber, idle, wait() and the hub handle: the public face of the hub.
#include <weft/fiber.hpp>
#include <weft/hub.hpp>

#include "core/fork.hpp"
#include "core/hub.hpp"

#include <thread>

namespace weft {

/// The body of this_fiber::yield(), which is in yield.S.
extern "C" [[gnu::visibility("hidden"), gnu::used]] void weft_yield_body() {
    rt::fiber_core* f = rt::this_thread_state.running;
    if (f == nullptr) {
        rt::parkable& self = rt::current_parkable();
        if (!self.is_fiber()) {
            rt::interruption_point();
            std::this_thread::yield();
            return;
        }
        f = &static_cast<rt::fiber_core&>(self);
    }
    if (f->has_pending()) rt::interruption_point();
    f->owner->yield();
    if (f->has_pending()) rt::interruption_point();
}

void this_fiber::sleep_until(deadline t) {
    if (t.expired()) {
        yield();
        return;
    }
    for (;;) {
        rt::interruption_point();
        rt::waiter w("a sleep");
        if (rt::deadline_reached(w.suspend(t))) return;
    }
}

void idle() {
    rt::current_fiber();
    rt::hub::current()->wait_idle();
}

bool rt::wait_until_quiet(deadline d) {
    rt::current_fiber();
    return rt::hub::current()->wait_quiescent(d);
}

hub& hub::current() {
    rt::hub::ensure();
    thread_local hub mine;
    return mine;
}

std::vector<any_fiber> hub::fibers() {
    std::vector<any_fiber> all;
    for (rt::fiber_core* f = rt::hub::ensure().first_fiber(); f != nullptr; f = f->registry_next)
        all.emplace_back(rt::fiber_ref::share(f));
    return all;
}

hub_stats hub::stats() {
    const rt::hub& h = rt::hub::ensure();
    hub_stats s;
    s.switches = h.counters().switches;
    s.polls = h.counters().polls;
    s.timers = h.timer_count();
    s.spawned = h.counters().spawned;
    s.finished = h.counters().finished;
    s.stack_bytes = rt::totals_of_stacks().in_use_bytes;
    for (const rt::fiber_core* f = h.first_fiber(); f != nullptr; f = f->registry_next) {
        switch (f->state.load(std::memory_order_relaxed)) {
        case rt::fiber_state::fresh:
        case rt::fiber_state::ready: ++s.ready; break;
        case rt::fiber_state::running: ++s.running; break;
        case rt::fiber_state::parked: ++s.parked; break;
        case rt::fiber_state::done: break;
        }
    }
    return s;
}

bool hub::join(deadline d) { return rt::hub::ensure().wait_quiescent(d); }

void fork_reinit() { rt::after_fork_in_child(); }

} // namespace weft
