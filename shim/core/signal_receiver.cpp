// SPDX-License-Identifier: Apache-2.0
#include "core/signal_receiver.hpp"

#include "core/alternate_stack.hpp"
#include "core/signal_handlers.hpp"
#include "core/signal_nudge.hpp"
#include "threads/workers.hpp"

#include "core/carrier.hpp"
#include "core/signal_point.hpp"
#include "core/sys.hpp"
#include <weft/detail/spinlock.hpp>

#include <new>
#include <utility>

namespace weft::shim::signals {

constinit thread_local receiver mine __attribute__((tls_model("initial-exec")));
constinit thread_local kernel_side kernel_side_here __attribute__((tls_model("initial-exec")));
constinit std::atomic<bool> several{false};

namespace {

constexpr int kept_unread = 8; // of a standard signal that nobody blocks

constinit rt::spinlock lock; // guards what follows
constinit receiver* oldest = nullptr;
constinit receiver* newest = nullptr;
constinit receiver* main_one = nullptr;
constinit receiver* posted = nullptr;
constinit arrivals shared;

/// What the receivers of one hub block.
struct hub_masks {
    unsigned count = 0;
    unsigned blocked_by[last_number + 1] = {};
    bits some_block = 0;                                      // at least one
    std::atomic<bits> common{~(unblockable | libcs_own)};     // all
};
constinit hub_masks of_hub[workers::most];

template <class F>
void for_each_bit(bits b, F fn) noexcept {
    for (; b != 0; b &= b - 1) fn(__builtin_ctzll(b) + 1, b & -b);
}

void count_mask(hub_masks& m, bits from, bits to) noexcept {
    bits all = m.common.load(std::memory_order_relaxed);
    for_each_bit(to & ~from, [&](int n, bits one) {
        m.some_block |= one;
        if (++m.blocked_by[n] == m.count) all |= one;
    });
    for_each_bit(from & ~to, [&](int n, bits one) {
        all &= ~one;
        if (--m.blocked_by[n] == 0) m.some_block &= ~one;
    });
    m.common.store(all, std::memory_order_relaxed);
}

void join(receiver& r) noexcept {
    r.next = nullptr;
    r.previous = newest;
    (newest == nullptr ? oldest : newest->next) = &r;
    newest = &r;
    hub_masks& m = of_hub[r.at];
    const bits before = m.count++ == 0 ? ~bits{0} : m.common.load(std::memory_order_relaxed);
    for_each_bit(r.mask, [&](int n, bits) { ++m.blocked_by[n]; });
    m.some_block |= r.mask;
    m.common.store(before & r.mask, std::memory_order_relaxed);
}

void leave(receiver& r) noexcept {
    (r.previous == nullptr ? oldest : r.previous->next) = r.next;
    (r.next == nullptr ? newest : r.next->previous) = r.previous;
    hub_masks& m = of_hub[r.at];
    count_mask(m, r.mask, 0);
    --m.count;
    bits all = m.count == 0 ? ~(unblockable | libcs_own) : m.common.load(std::memory_order_relaxed);
    for_each_bit(m.some_block & ~all, [&](int n, bits one) {
        if (m.blocked_by[n] == m.count) all |= one;
    });
    m.common.store(all, std::memory_order_relaxed);
    if (main_one == &r) main_one = nullptr;
}

/// What one thread no longer takes goes to others.
void pass_on(receiver& from, bits numbers) noexcept {
    if (!from.pending.has_shared(numbers)) return;
    arrivals loose;
    from.pending.move_shared(numbers, loose);
    siginfo_t info;
    while (loose.take(~bits{0}, info)) {
        receiver* const to = choose(info.si_signo, info, nullptr);
        record(to, info, true);
        if (to != nullptr && (to->mask & bit(info.si_signo)) == 0 && runs_elsewhere(*to) != 0) rt::watchdog::rouse(); // which nudges it
    }
}

void look(receiver& r) noexcept {
    const bool any = (r.pending.numbers() & ~r.mask) != 0;
    r.attention.store(any, std::memory_order_relaxed);
    if (!any && r.accepts == 0) unpost(r);
}

/// On a hub, between its fibers: ends the waits of those who are to run a handler.
void interrupt_posted(rt::hub& h) noexcept {
    const deciding now;
    for (receiver** at = &posted; *at != nullptr;) {
        receiver& r = **at;
        if (r.fiber->owner == &h && h.interrupt(*r.fiber)) {
            *at = r.posted_next;
            r.posted = false;
        } else {
            at = &r.posted_next;
        }
    }
    rt::signals_posted.store(posted != nullptr, std::memory_order_relaxed);
}

receiver& receiver_in(rt::thread_state& frame) noexcept {
    return *reinterpret_cast<receiver*>(reinterpret_cast<char*>(&mine) +
                                        (reinterpret_cast<char*>(&frame) - reinterpret_cast<char*>(&rt::this_thread_state)));
}

} // namespace

deciding::deciding() noexcept {
    ++rt::of_carrier(kernel_side_here).deciding;
    std::atomic_signal_fence(std::memory_order_seq_cst);
    lock.lock();
}

deciding::~deciding() {
    lock.unlock();
    std::atomic_signal_fence(std::memory_order_seq_cst);
    kernel_side& k = rt::of_carrier(kernel_side_here);
    if (--k.deciding != 0 || leave_) return;
    std::atomic_signal_fence(std::memory_order_seq_cst);
    if (several.load(std::memory_order_relaxed)) {
        settle_mask();
    } else if (const bits came = std::exchange(k.postponed, 0); __builtin_expect(came != 0, 0)) {
        kernel_mask(SIG_UNBLOCK, came);
    }
}

/// SIGSYS may stand for a system call.
bits common_mask() noexcept {
    const rt::hub* const h = rt::hub::current();
    return of_hub[h == nullptr ? 0 : workers::place_of(*h)].common.load(std::memory_order_relaxed) & ~bit(SIGSYS);
}

void settle_mask() noexcept {
    if (rt::hub::current() == nullptr) return; // a kernel thread of its own has its own
    // A signal may come as soon as it is let in, and change what is wanted.
    for (;;) {
        kernel_side& k = rt::of_carrier(kernel_side_here);
        const bits wanted = common_mask();
        if (k.mask == wanted) return;
        k.mask = wanted;
        std::atomic_signal_fence(std::memory_order_seq_cst);
        kernel_mask(SIG_SETMASK, wanted);
    }
}

void set_kernel_mask(bits mask) noexcept {
    kernel_side& k = rt::of_carrier(kernel_side_here);
    if (k.mask == mask) return;
    k.mask = mask;
    kernel_mask(SIG_SETMASK, mask);
}

void restore_kernel_mask() noexcept {
    rt::of_carrier(kernel_side_here).mask = ~common_mask();
    settle_mask();
}

void set_mask(receiver& r, bits mask) noexcept {
    mask &= ~unblockable;
    if (mask == r.mask) return;
    const deciding now;
    const bits opened = r.mask & ~mask, closed = mask & ~r.mask;
    count_mask(of_hub[r.at], r.mask, mask);
    r.mask = mask;
    if ((opened & shared.numbers()) != 0) shared.move_shared(opened, r.pending);
    if (closed != 0) pass_on(r, closed & ~r.accepts);
    look(r);
}

void set_accepted(receiver& r, bits numbers) noexcept {
    const deciding now;
    const bits before = std::exchange(r.accepts, numbers);
    if ((before & ~numbers) != 0) pass_on(r, before & ~numbers & r.mask);
    look(r);
}

void drop_pending(bits numbers) noexcept {
    const deciding now;
    shared.forget(numbers);
    for (receiver* r = oldest; r != nullptr; r = r->next)
        if ((r->pending.numbers() & numbers) != 0) r->pending.forget(numbers);
}

receiver* choose(int number, const siginfo_t& info, receiver* running) noexcept {
    const bits one = bit(number);
    // The clocks that count a thread's time, for profilers, mean whoever runs.
    const bool of_time = (number == SIGPROF || number == SIGVTALRM) && (info.si_code == SI_KERNEL || info.si_code == SI_TIMER);
    if (of_time && running != nullptr && running->takes(one)) return running;
    if (main_one != nullptr && main_one->takes(one)) return main_one;
    if (running != nullptr && running->takes(one)) return running;
    receiver* any = nullptr; // best one of the hub that the kernel has told
    for (receiver* r = oldest; r != nullptr; r = r->next) {
        if (!r->takes(one)) continue;
        if (r->fiber->owner == rt::hub::current()) return r;
        if (any == nullptr) any = r;
    }
    return any;
}

bool record(receiver* r, const siginfo_t& info, bool to_process) noexcept {
    const bits one = bit(info.si_signo);
    if (r == nullptr) return shared.add(info, to_process, 1);
    const bool handled = (r->mask & one) == 0;
    if (!r->pending.add(info, to_process, handled ? kept_unread : 1)) return false;
    if (handled) r->attention.store(true, std::memory_order_relaxed);
    if ((handled || (r->accepts & one) != 0) && r->fiber != nullptr) post(*r);
    return true;
}

bool keeps_pending() noexcept {
    if (!several.load(std::memory_order_relaxed)) return false;
    const receiver* const me = self();
    return shared.numbers() != 0 || (me != nullptr && me->pending.numbers() != 0);
}

arrivals& shared_arrivals() noexcept { return shared; }

receiver* receiver_of(std::uint64_t fiber) noexcept {
    receiver* r = oldest;
    while (r != nullptr && r->fiber->id != fiber) r = r->next;
    return r;
}

receiver* main_receiver() noexcept { return main_one; }

int runs_elsewhere(const receiver& r) noexcept {
    const rt::fiber_core* const f = r.fiber;
    if (f == nullptr || &r == self() || f->now() != rt::fiber_state::running) return 0;
    const int there = rt::kernel_thread_of(*f);
    return there == rt::sys::gettid() ? 0 : there;
}

receiver* first_posted() noexcept { return posted; }

void post(receiver& r) noexcept {
    if (!r.posted) {
        r.posted = true;
        r.posted_next = posted;
        posted = &r;
        rt::signals_posted.store(true, std::memory_order_relaxed);
    }
    if (r.fiber != rt::this_thread_state.running) r.fiber->owner->rouse();
}

void unpost(receiver& r) noexcept {
    if (!r.posted) return;
    r.posted = false;
    for (receiver** at = &posted; *at != nullptr; at = &(*at)->posted_next) {
        if (*at != &r) continue;
        *at = r.posted_next;
        break;
    }
    rt::signals_posted.store(posted != nullptr, std::memory_order_relaxed);
}

void begin_several(rt::fiber_core& main) noexcept {
    rt::interrupt_posted = interrupt_posted;
    rt::nudge_posted = nudge_all;
    receiver& r = rt::of_carrier(mine);
    const bits here = kernel_mask();
    rt::of_carrier(kernel_side_here).mask = here;
    take_alternate_stack(r.alternate);
    const deciding now;
    r.mask = here & ~unblockable;
    r.fiber = &main;
    join(r);
    main_one = &r;
    rt::context::also_touched = reinterpret_cast<char*>(&mine) - reinterpret_cast<char*>(&rt::this_thread_state);
    several.store(true, std::memory_order_relaxed);
}

void thread_made(rt::fiber_core& f, rt::thread_state& frame, bits mask) noexcept {
    receiver& r = *::new (&receiver_in(frame)) receiver();
    r.alternate.ss_flags = SS_DISABLE;
    r.mask = mask & ~unblockable;
    r.fiber = &f;
    r.at = static_cast<std::uint8_t>(workers::place_of(*f.owner));
    const deciding now;
    join(r);
}

void thread_ends() noexcept {
    receiver& r = mine;
    if (r.fiber == nullptr) return;
    const deciding now;
    leave(r);
    pass_on(r, ~bits{0});
    r.pending.forget(~bits{0});
    r.attention.store(false, std::memory_order_relaxed);
    unpost(r);
    r.fiber = nullptr;
}

void receivers_after_fork() noexcept {
    lock.reset();
    rt::of_carrier(kernel_side_here).deciding = 0;
    oldest = newest = main_one = posted = nullptr;
    for (hub_masks& m : of_hub) ::new (&m) hub_masks();
    shared = arrivals();
    forget_arrivals();
    receiver* const me = self();
    if (me == nullptr) return;
    me->pending = arrivals();
    me->attention.store(false, std::memory_order_relaxed);
    me->posted = false;
    me->at = 0;
    if (!several.load(std::memory_order_relaxed)) return;
    const deciding now;
    join(*me);
    main_one = me;
}

} // namespace weft::shim::signals
