// SPDX-License-Identifier: Apache-2.0
#include <weft/detail/waiter.hpp>

#include "core/hub.hpp"
#include "core/registry.hpp"
#include "core/sys.hpp"

#include <algorithm>
#include <cerrno>
#include <ctime>

#include <linux/futex.h>

namespace weft::rt {

namespace {

/// A deadline's entry in the hub's heap, on the waiting fiber's stack.
struct deadline_timer : timer {
    parkable& who;
    std::uint64_t epoch;

    deadline_timer(parkable& p, std::uint64_t e, deadline d) noexcept : who(p), epoch(e) {
        at = d.time().time_since_epoch().count();
        fire = [](timer& t) noexcept {
            auto& self = static_cast<deadline_timer&>(t);
            self.who.wake(self.epoch, wake_reason::deadline);
        };
    }
};

} // namespace

void spinlock::lock_slow() noexcept {
    for (unsigned spins = 0; held_.load(std::memory_order_relaxed) || held_.exchange(true, std::memory_order_acquire);
         ++spins) {
        if (spins % 64 == 63) sys::sched_yield();
        else __builtin_ia32_pause();
    }
}

// --- Lists ---

wait_node* wait_list::wake_one() noexcept {
    while (wait_node* n = front()) {
        remove(*n);
        if (n->notify != nullptr) n->notify(*n);
        else if (n->owner->wake()) return n;
    }
    return nullptr;
}

void wait_list::wake_all() noexcept {
    while (wake_one() != nullptr) {}
}

// --- The waiter ---

waiter::waiter(const char* what, const void* object, interruption mode) noexcept
    : self_(current_parkable()), epoch_(self_.arm(self_.deferrals == 0 ? mode : interruption::deferred)) {
    node.owner = this;
    self_.what = what;
    self_.object = object;
}

waiter::~waiter() { WEFT_CHECK(spent_); }

bool waiter::wake() noexcept {
    // In one list only, its lock keeps other kernel threads' wakes out; deadlines and interrupts happen on the hub's thread. So
    // there the wake needs no atomic exchange.
    if (!several_ && self_.is_fiber() && static_cast<fiber_core&>(self_).owner == hub::current())
        return self_.wake_at_home(epoch_, wake_reason::woken);
    return self_.wake(epoch_, wake_reason::woken);
}

bool waiter::wake_later() noexcept { return self_.wake(epoch_, wake_reason::woken, true); }

bool waiter::woken_at_home() const noexcept { return self_.woken_at_home; }

wake_reason waiter::suspend(deadline d) noexcept {
    spent_ = true;
    if (!self_.is_fiber()) return static_cast<thread_parker&>(self_).block(epoch_, d);
    auto& f = static_cast<fiber_core&>(self_);
    if (external_) f.owner->add_external();
    if (d.is_never()) {
        f.owner->park();
    } else {
        deadline_timer t(self_, epoch_, d);
        f.owner->start_timer(t);
        f.owner->park();
        f.owner->stop_timer(t);
    }
    if (external_) f.owner->drop_external();
    return self_.reason();
}

bool waiter::abandon() noexcept {
    spent_ = true;
    if (self_.disarm(epoch_)) return true;
    // Somebody woke it, so its fiber is, or will be, in a ready queue: be resumed from there.
    if (self_.is_fiber()) static_cast<fiber_core&>(self_).owner->park();
    return false;
}

no_interruption::no_interruption() : self_(current_parkable()) { ++self_.deferrals; }
no_interruption::~no_interruption() { --self_.deferrals; }

bool deadline_reached(wake_reason reason) {
    switch (reason) {
    case wake_reason::deadline: return true;
    case wake_reason::interrupted: interruption_point(); return false;
    case wake_reason::deadlock: throw_deadlock();
    case wake_reason::woken: break;
    }
    return false;
}

// --- Kernel threads without a hub ---

thread_parker& thread_parker::current() noexcept {
    thread_local thread_parker parker;
    parker.comes_along();
    return parker;
}

parkable& current_parkable() {
    if (fiber_core* f = this_thread_state.running; f != nullptr) return *f;
    WEFT_CHECK(hub::current() == nullptr); // the hub's own loop never waits (invariant 4)
    if (hub_registry::on_main_thread()) return hub::ensure().main_fiber();
    return thread_parker::current();
}

wake_reason thread_parker::block(std::uint64_t epoch, deadline d) noexcept {
    // The futex is the word's low half: state and the epoch's low bits (little-endian).
    auto* futex = reinterpret_cast<std::uint32_t*>(&word_);
    for (;;) {
        const std::uint64_t word = word_.load(std::memory_order_acquire);
        if (!is_armed(word)) return reason();
        std::int64_t until = d.time().time_since_epoch().count();
        timeout_scope* scope = nullptr;
        for (timeout_scope* s = (word & 0xff) == armed ? scopes : nullptr; s != nullptr; s = s->outer) {
            if (s->expired || s->expiry.at >= until) continue;
            scope = s;
            until = s->expiry.at;
        }
        if (until != watcher::never && now_ns() >= until) {
            if (scope != nullptr) {
                scope->expired = true;
                if (disarm(epoch)) return wake_reason::interrupted;
                return reason();
            }
            if (d.expired()) return disarm(epoch) ? wake_reason::deadline : reason();
        }
        timespec at{until / 1'000'000'000, until % 1'000'000'000};
        sys::call(SYS_futex, sys::arg(futex), FUTEX_WAIT_BITSET_PRIVATE, static_cast<long>(word & 0xffffffff),
                  until == watcher::never ? 0 : sys::arg(&at), 0, static_cast<long>(FUTEX_BITSET_MATCH_ANY));
    }
}

void thread_parker::unblock() noexcept {
    sys::call(SYS_futex, sys::arg(reinterpret_cast<std::uint32_t*>(&word_)), FUTEX_WAKE_PRIVATE, 1);
}

} // namespace weft::rt
