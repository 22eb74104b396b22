// SPDX-License-Identifier: Apache-2.0
// Timeout scopes: expiry on the hub, delivery in the fiber.
#include <weft/timeout.hpp>

#include "core/hub.hpp"
#include "core/interruption.hpp"
#include "core/parkable.hpp"
#include "core/tls_frame.hpp"

#include <string>

namespace weft::rt {

namespace {

constinit std::atomic<std::uint64_t> last_scope{0};

timeout_scope& scope_of(timer& t) noexcept {
    return *reinterpret_cast<timeout_scope*>(reinterpret_cast<char*>(&t) - offsetof(timeout_scope, expiry));
}

void expire(timer& t) noexcept {
    timeout_scope& s = scope_of(t);
    s.expired = true;
    static_cast<fiber_core*>(s.owner)->on_interrupt();
}

/// Notes what the clock says and the hub has not noticed yet.
void look_at_clock(timeout_scope& s) noexcept {
    if (s.expired || s.expiry.at == watcher::never || now_ns() < s.expiry.at) return;
    s.expired = true;
    if (s.owner->is_fiber()) static_cast<fiber_core*>(s.owner)->owner->stop_timer(s.expiry);
}

/// The scope that is to be thrown now: of those that expired the earliest one, inner before outer.
timeout_scope* due(parkable& self) noexcept {
    timeout_scope* first = nullptr;
    for (timeout_scope* s = self.scopes; s != nullptr; s = s->outer) {
        look_at_clock(*s);
        if (s->expired && !s->thrown && (first == nullptr || s->expiry.at < first->expiry.at)) first = s;
    }
    return first;
}

} // namespace

void enter_scope(timeout_scope& s, deadline d) {
    parkable& self = current_parkable();
    s.owner = &self;
    s.outer = self.scopes;
    self.scopes = &s;
    s.id = last_scope.fetch_add(1, std::memory_order_relaxed) + 1;
    s.expiry.at = d.time().time_since_epoch().count();
    s.expiry.fire = expire;
    if (self.is_fiber() && !d.is_never()) static_cast<fiber_core&>(self).owner->start_timer(s.expiry);
}

void leave_scope(timeout_scope& s) noexcept {
    if (s.owner == nullptr) return;
    if (s.owner->is_fiber()) static_cast<fiber_core*>(s.owner)->owner->stop_timer(s.expiry);
    for (timeout_scope** at = &s.owner->scopes; *at != nullptr; at = &(*at)->outer) {
        if (*at != &s) continue;
        *at = s.outer;
        break;
    }
    s.owner = nullptr;
}

bool has_expired(timeout_scope& s) noexcept {
    if (s.owner != nullptr) look_at_clock(s);
    return s.expired;
}

void throw_expired(const timeout_scope& s) {
    throw timeout_error("timed out", s.id);
}

void interruption_point_slow(parkable& self) {
    if (timeout_scope* s = due(self)) {
        s->thrown = true;
        throw_expired(*s);
    }
}

int interruption_errno(bool mark) noexcept {
    fiber_core* f = this_thread_state.running;
    if (f == nullptr) return 0;
    thread_state& here = this_thread_state;
    const bool end_wanted = __builtin_expect(here.end_wanted.load(std::memory_order_relaxed), 0) != 0;
    if (end_wanted && here.may_end != 0 && f->deferrals == 0 && tls_frame::heeds_end()) {
        if (mark) here.broken_off = 1;
        return ECANCELED;
    }
    if (!f->has_pending() || f->deferrals != 0) return 0;
    if (f->kill_pending.load(std::memory_order_acquire)) return ECANCELED;
    timeout_scope* s = due(*f);
    if (s == nullptr) return 0;
    if (mark) s->failed_call = true;
    return ETIMEDOUT;
}

} // namespace weft::rt

namespace weft {

bool timeout_error::is(const timeout& scope) const noexcept { return scope_ != 0 && scope_ == scope.scope_.id; }

} // namespace weft
