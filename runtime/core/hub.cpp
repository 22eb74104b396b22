// SPDX-License-Identifier: Apache-2.0
#include "core/hub.hpp"

#include "core/carrier.hpp"
#include "core/deadlock.hpp"
#include "core/fork.hpp"
#include "core/interruption.hpp"
#include "core/observer_chain.hpp"
#include "core/overflow.hpp"
#include "core/readiness.hpp"
#include "core/registry.hpp"
#include "core/signal_point.hpp"
#include "core/sys.hpp"
#include "core/tls_frame.hpp"
#include "core/trap_point.hpp"

#include <ctime>
#include <utility>

namespace weft::rt {

namespace {

constexpr std::uint32_t slice_switches = 1000;
constexpr std::int64_t slice_ns = 1'000'000;
constexpr std::uint32_t most_unchecked = 32;
constexpr std::size_t loop_stack_size = 64 * 1024;

} // namespace

constinit thread_local thread_state this_thread_state __attribute__((tls_model("initial-exec")));
constinit std::atomic<bool> hub::was_made_{false};
constinit bool hub::loops_have_frames_ = false;
constinit signal_runner run_recorded_signals = nullptr;
constinit std::atomic<bool> signals_posted{false};
constinit hub_function interrupt_posted = nullptr;
constinit signal_nudger nudge_posted = nullptr;
constinit hub_hook hub_begins_or_ends = nullptr;
constinit const observer* fiber_observer = nullptr;

void observe_fibers(const observer& o) noexcept { fiber_observer = &o; }
const observer* add_observer(const observer& o) noexcept { return std::exchange(fiber_observer, &o); }

std::int64_t now_ns() noexcept {
    timespec t{};
    ::clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * std::int64_t{1'000'000'000} + t.tv_nsec;
}

// --- Suspending and resuming ---

void parkable::make_ready() noexcept {
    auto* f = static_cast<fiber_core*>(this);
    f->owner->make_ready(*f);
}

bool parkable::wake(std::uint64_t epoch, wake_reason reason, bool later) noexcept {
    std::uint64_t word = word_.load(std::memory_order_acquire);
    if (word >> 8 != epoch || !is_armed(word) || is_lost()) return false;
    // Once woken, it may run to its end on its own kernel thread, and that thread may end: nothing of it is touched then but what
    // is kept for it here. A hub stays while it is visited.
    const bool fiber = is_fiber_;
    hub* const home = fiber ? static_cast<fiber_core*>(this)->owner : nullptr;
    const bool away = fiber && home != hub::current();
    if (away) home->visit();
    const bool won = word_.compare_exchange_strong(word, epoch << 8 | woken | static_cast<std::uint8_t>(reason),
                                                   std::memory_order_acq_rel, std::memory_order_acquire);
    if (won && fiber && later) home->make_ready_later(*static_cast<fiber_core*>(this));
    else if (won && fiber) make_ready();
    if (won && !fiber) static_cast<thread_parker*>(this)->unblock();
    if (away) home->leave();
    return won;
}

bool hub::slice_used_up() noexcept {
    if (switches_left_ <= check_every_) return true;
    switches_left_ -= check_every_;
    const std::int64_t now = now_ns();
    if (now >= slice_end_) return true;
    const std::int64_t turn = (now - time_) / check_every_; // mean length since the last look
    time_ = now;
    if (turn > slice_ns / 100) check_every_ = 1;
    else if (check_every_ < most_unchecked) check_every_ *= 2;
    check_in_ = check_every_;
    return false;
}

void hub::end_long_turn() noexcept {
    unwaited_ = calls_a_look;
    const std::int64_t now = now_ns();
    if (turn_switches_ != counters_.switches) {
        turn_switches_ = counters_.switches;
        turn_seen_ = now;
    } else if (now - turn_seen_ >= slice_ns) {
        yield();
    }
}

void hub::step_aside_observed(fiber_core& me) noexcept {
    fiber_observer->leaves(me);
    switch_away(me);
    fiber_observer->arrives(me);
}

void hub::renew_slice() noexcept {
    switches_left_ = slice_switches;
    check_in_ = check_every_;
    slice_end_ = time_ + slice_ns;
}

// --- Wakes and interrupts from other kernel threads ---

void hub::push_remote(fiber_core& f) noexcept {
    fiber_core* head = remote_.load(std::memory_order_relaxed);
    do f.next = head;
    while (!remote_.compare_exchange_weak(head, &f, std::memory_order_seq_cst, std::memory_order_relaxed));
    rouse_if_asleep();
}

void hub::adopt(fiber_core& f) noexcept {
    f.registry_prev = &f; // not enrolled yet
    f.become(fiber_state::ready);
    push_remote(f);
}

void hub::post_interrupt(fiber_core& f) noexcept {
    if (current() == this) {
        f.on_interrupt();
        return;
    }
    if (f.interrupt_queued.exchange(true, std::memory_order_acq_rel)) return;
    f.retain();
    fiber_core* head = interrupts_.load(std::memory_order_relaxed);
    do f.interrupt_next = head;
    while (!interrupts_.compare_exchange_weak(head, &f, std::memory_order_seq_cst, std::memory_order_relaxed));
    rouse_if_asleep();
}

void hub::post(hub_task& t) noexcept {
    {
        const std::lock_guard hold(tasks_lock_);
        t.next = tasks_;
        tasks_ = &t;
        has_tasks_.store(true, std::memory_order_seq_cst);
    }
    rouse_if_asleep();
}

bool hub::withdraw(hub_task& t) noexcept {
    const std::lock_guard hold(tasks_lock_);
    for (hub_task** at = &tasks_; *at != nullptr; at = &(*at)->next) {
        if (*at != &t) continue;
        *at = t.next;
        return true;
    }
    return false;
}

void hub::run_tasks() noexcept {
    for (;;) {
        hub_task* t = nullptr;
        {
            const std::lock_guard hold(tasks_lock_);
            t = tasks_;
            if (t == nullptr) has_tasks_.store(false, std::memory_order_relaxed);
            else tasks_ = t->next;
        }
        if (t == nullptr) return;
        t->run(*t, *this);
    }
}

void hub::rouse_if_asleep() noexcept {
    if (asleep_.load(std::memory_order_seq_cst) && asleep_.exchange(false, std::memory_order_seq_cst)) watcher_.rouse();
}

bool hub::interrupt(fiber_core& f) noexcept {
    return f.state.load(std::memory_order_relaxed) == fiber_state::parked && f.parkable::interrupt(wake_reason::interrupted);
}

void hub::rouse() noexcept { watcher_.rouse(); }

void hub::drain_remote() noexcept {
    fiber_core* newest = remote_.load(std::memory_order_relaxed) == nullptr
                             ? nullptr
                             : remote_.exchange(nullptr, std::memory_order_acquire);
    fiber_core* oldest = nullptr;
    while (newest != nullptr) {
        fiber_core* next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest != nullptr) {
        fiber_core* f = oldest;
        oldest = f->next;
        if (__builtin_expect(f->registry_prev == f, 0)) {
            enroll(*f);
            ready_.push(*f);
        } else {
            push_ready(*f);
        }
    }
    if (has_tasks_.load(std::memory_order_relaxed)) run_tasks();
    if (interrupts_.load(std::memory_order_relaxed) == nullptr) return;
    for (fiber_core* f = interrupts_.exchange(nullptr, std::memory_order_acquire); f != nullptr;) {
        fiber_core* next = f->interrupt_next;
        f->interrupt_queued.store(false, std::memory_order_release);
        f->on_interrupt();
        f->release();
        f = next;
    }
}

// --- The loop ---

void hub::loop_entry(context::arrival a) noexcept { static_cast<hub*>(context::begin(a))->loop(); }

void hub::loop() noexcept {
    for (;;) {
        arrived();
        poll();
        renew_slice();
        if (ready_.empty()) continue;
        fiber_core* next = pop_ready();
        context::switch_to(loop_, next->machine, next);
    }
}

void hub::poll() noexcept {
    drain_remote();
    heed_signals();
    if (!ready_.empty()) {
        ++counters_.polls;
        if (externals_ > 0) watcher_.look();
        time_ = now_ns();
        fire_timers();
        return;
    }
    time_ = now_ns();
    fire_timers();
    if (!ready_.empty()) return;
    if (!idle_.empty()) {
        watcher_.look();
        if (ready_.empty()) idle_.wake_all();
        return;
    }
    if (wake_quiet()) return;
    block();
}

/// Blocks until an event, the next timer or a rouse.
void hub::block() noexcept {
    ++counters_.polls;
    watcher_.prepare();
    asleep_.store(true, std::memory_order_seq_cst);
    if (remote_.load(std::memory_order_seq_cst) == nullptr && interrupts_.load(std::memory_order_seq_cst) == nullptr &&
        !has_tasks_.load(std::memory_order_seq_cst)) {
        std::int64_t until = timers_.empty() ? watcher::never : timers_.first()->at;
        if (until == watcher::never && externals_ == 0) until = deadlock_check::before_blocking(*this);
        else recheck_ms_ = 0;
        if (until != 0) watcher_.block(until);
        heed_signals();
        if (hopeless_.load(std::memory_order_relaxed)) deadlock_check::after_blocking(*this);
    }
    asleep_.store(false, std::memory_order_relaxed);
    if (__builtin_expect(std::atomic_ref(watchdog::asleep).load(std::memory_order_relaxed) != 0, 0)) watchdog::rouse();
    drain_remote();
    time_ = now_ns();
    fire_timers();
    if (deadlocked_.load(std::memory_order_relaxed)) deadlock_check::deliver(*this);
}

/// A signal came on the hub's stack, or just before the main fiber began to wait: that wait ends.
void hub::heed_signals() noexcept {
    if (signals_posted.load(std::memory_order_relaxed)) interrupt_posted(*this);
    if (!carrier_state().signals || main_now_->state.load(std::memory_order_relaxed) != fiber_state::parked) return;
    carrier_state().signals = false;
    if (!main_now_->interrupt(wake_reason::interrupted)) carrier_state().signals = true;
}

int hub::observe_hold() noexcept {
    if (asleep_.load(std::memory_order_relaxed) || is_alone()) {
        held_for_ = 0;
        return -1;
    }
    const std::uint64_t now = turns();
    if (now != std::exchange(seen_turn_, now) || !can_move()) return held_for_ = 0;
    return ++held_for_;
}

void hub::fire_timers() noexcept {
    while (!timers_.empty() && timers_.first()->at <= time_) {
        timer& t = *timers_.first();
        timers_.remove(t);
        t.fire(t);
    }
}

// --- What runs here ---

std::uint64_t hub::new_id_block() noexcept {
    static constinit std::atomic<std::uint64_t> blocks{0};
    return blocks.fetch_add(ids_a_block, std::memory_order_relaxed);
}

void hub::enroll(fiber_core& f) noexcept {
    f.registry_prev = newest_;
    f.registry_next = nullptr;
    (newest_ == nullptr ? oldest_ : newest_->registry_next) = &f;
    newest_ = &f;
    ++counters_.spawned;
    if (++live_ > counters_.peak) counters_.peak = live_;
    if (!ending_.empty()) ending_.wake_all(); // spawned on the way out: it must go too
}

void hub::retire_main() noexcept {
    withdraw(main_);
    --counters_.spawned;
    counters_.peak = 0;
    main_.become(fiber_state::parked);
    this_thread_state.current_hub = nullptr;
    this_thread_state.stacks = nullptr;
    this_thread_state.running = nullptr;
}

void hub::withdraw(fiber_core& f) noexcept {
    (f.registry_prev == nullptr ? oldest_ : f.registry_prev->registry_next) = f.registry_next;
    (f.registry_next == nullptr ? newest_ : f.registry_next->registry_prev) = f.registry_prev;
    --live_;
}

/// Ends wait_quiescent where only its waiters are left. True: somebody was woken.
bool hub::wake_quiet() noexcept {
    if (quiescent_.empty() && ending_.empty()) return false;
    std::uint64_t waiting = 0;
    for (wait_node* n = quiescent_.front(); n != nullptr; n = quiescent_.after(*n)) ++waiting;
    if (live_ == 1 && !ending_.empty()) {
        ending_.wake_all();
        return true;
    }
    if (live_ != waiting + background_ || waiting == 0) return false;
    quiescent_.wake_all();
    return true;
}

void hub::wait_idle() {
    interruption_point();
    waiter w("idle");
    idle_.push(w.node);
    const wake_reason reason = w.suspend();
    wait_list::remove(w.node);
    if (reason != wake_reason::woken) deadline_reached(reason);
}

bool hub::wait_quiescent(deadline d) {
    for (;;) {
        interruption_point();
        if (live_ == 1 + background_ && nobody_comes()) return true;
        waiter w("all fibers", &quiescent_);
        quiescent_.push(w.node);
        const wake_reason reason = w.suspend(d);
        wait_list::remove(w.node);
        if (reason == wake_reason::woken || reason == wake_reason::deadlock) return true;
        if (deadline_reached(reason)) return false;
    }
}

// --- Beginning and end ---

hub::hub()
    : loop_stack_(acquire_stack(loop_stack_size)),
      loop_frame_(loops_have_frames_ ? tls_frame::take(*this) : nullptr),
      loop_(loop_stack_.base, loop_stack_.size(), &hub::loop_entry, this, loop_frame_ == nullptr ? this_thread_state : loop_frame_->state()),
      main_(*this), carrier_(&carrier_state()), carrier_tid_(sys::gettid()), home_tid_(carrier_tid_) {
    was_made_.store(true, std::memory_order_relaxed);
    time_ = now_ns();
    renew_slice();
    main_.state.store(fiber_state::running, std::memory_order_relaxed);
    enroll(main_);
    adopt_scopes();
    this_thread_state.current_hub = this;
    this_thread_state.stacks = &stacks_;
    this_thread_state.running = &main_;
    hub_registry::add(*this);
    watch_forks();
    install_overflow_report();
    if (fiber_observer != nullptr) fiber_observer->arrives(main_);
    if (hub_begins_or_ends != nullptr) hub_begins_or_ends(true);
}

/// Timeout scopes that this thread entered while it had no hub.
void hub::adopt_scopes() noexcept {
    main_.scopes = std::exchange(thread_parker::current().scopes, nullptr);
    for (timeout_scope* s = main_.scopes; s != nullptr; s = s->outer) {
        s->owner = &main_;
        if (s->expiry.at != watcher::never && !s->expired) start_timer(s->expiry);
    }
}

hub::~hub() { close(); }

void hub::close() noexcept {
    if (this_thread_state.current_hub != this) return;
    if (hub_begins_or_ends != nullptr) hub_begins_or_ends(false);
    hub_registry::remove(*this);
    run_tasks();
    readiness::hub_gone(*this);
    while (visitors_.load(std::memory_order_acquire) != 0) sys::sched_yield(); // each is a few instructions long
    this_thread_state.current_hub = nullptr;
    this_thread_state.stacks = nullptr;
    this_thread_state.running = nullptr;
    release_stack(loop_stack_);
    if (loop_frame_ != nullptr) tls_frame::put(*loop_frame_);
    watcher_.close();
}

void yield_quietly() noexcept { hub::current()->yield(); }
void went_through() noexcept { hub::current()->went_through(); }

namespace {

/// A kernel thread's hub. The main thread's stays until the process ends: the fibers left are abandoned.
struct hub_holder {
    hub* mine = nullptr;
    ~hub_holder() {
        if (mine == nullptr || mine == hub_registry::main_hub() || hub_registry::on_main_thread()) return;
        if (this_thread_state.running != &mine->main_fiber()) return; // exit() was called in a fiber: the process ends
        mine->kill_all();
        mine->end_main();
        mine->close();
        mine->main_fiber().release(); // the hub goes with the last handle to its main fiber
    }
};

thread_local hub_holder this_thread_hub;

} // namespace

hub& hub::ensure() {
    if (hub* h = current()) return *h;
    this_thread_hub.mine = new hub();
    return *this_thread_hub.mine;
}

void hub::kill_all() noexcept {
    for (;;) {
        bool any = false;
        for (fiber_core* f = oldest_; f != nullptr; f = f->registry_next) {
            if (f == main_now_) continue;
            any = true;
            if (!f->kill_pending.load(std::memory_order_relaxed)) f->request_kill(nullptr);
        }
        if (!any) return;
        waiter w("the end of this thread's fibers", &ending_, interruption::deferred);
        ending_.push(w.node);
        w.suspend();
        wait_list::remove(w.node);
    }
}

/// The thread's own function has ended: so has its main fiber, for whoever joins that.
void hub::end_main() noexcept {
    remove_links(main_now_); // nobody is left to run them
    main_now_->end();
    drain_remote();          // lets go of fibers that somebody meant to interrupt
}

} // namespace weft::rt
