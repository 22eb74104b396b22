// SPDX-License-Identifier: Apache-2.0
#include "core/fork.hpp"

#include "core/carrier.hpp"
#include "core/hub.hpp"
#include "core/private_fd.hpp"
#include "core/readiness.hpp"
#include "core/registry.hpp"
#include "core/sanitizer.hpp"
#include "core/stack.hpp"
#include "core/sys.hpp"
#include "core/tls_frame.hpp"

#include <weft/detail/spinlock.hpp>

#include <atomic>
#include <mutex>
#include <new>

#include <pthread.h>

namespace weft::rt {

void watch_forks() noexcept {
    static constinit std::atomic<bool> done{false};
    if (done.exchange(true)) return;
    // Nothing is held over the fork: a handler of the program's may come later and wait for another fiber, which may need it. What a lock of weft's
    // guards holds together at each of its stores instead, or is begun anew in a child that was made in their midst.
    ::pthread_atfork(nullptr, nullptr, [] { after_fork_in_child(); });
}

constinit std::atomic<unsigned> forks_before{0};

namespace {
constinit spinlock burying;
constexpr int most_hooks = 8;
constinit std::atomic<void (*)() noexcept> hooks[most_hooks];
} // namespace

void call_after_fork(void (*hook)() noexcept) noexcept {
    for (auto& place : hooks) {
        void (*expected)() noexcept = nullptr;
        if (place.compare_exchange_strong(expected, hook) || expected == hook) return;
    }
    WEFT_CHECK(false);
}

void after_fork_in_child() noexcept {
    forks_before.fetch_add(1, std::memory_order_relaxed); // by which all other fibers are lost
    burying.reset();
    hub* survivor = hub::current();
    const bool was_taken = survivor != nullptr && &survivor->carried_by() != &carrier_state();
    hub_registry::after_fork(survivor);
    stacks_after_fork();
    private_fds_after_fork();
    reset_lasting_locks();
    tls_frame::after_fork(survivor);
    watchdog::after_fork();
    readiness::after_fork();
    if (survivor != nullptr) survivor->after_fork(was_taken);
    for (const auto& place : hooks)
        if (auto* const hook = place.load(std::memory_order_relaxed)) hook();
}

/// Only now, when somebody has asked for it: in most children nobody asks for most fibers, whose pages so stay the parent's.
void fiber_core::bury() noexcept {
    const std::lock_guard hold(burying);
    if (!is_lost()) return; // another kernel thread was faster
    lock_.reset();
    joiners.forget();
    if (state.load(std::memory_order_relaxed) != fiber_state::done) {
        forget_wait();
        was_killed = true;
        ending = true;
        state.store(fiber_state::done, std::memory_order_release);
    }
    comes_along();
}

void fiber_core::survive() noexcept {
    lock_.reset();
    joiners.forget();
    comes_along();
}

/// Where it was taken over while the fiber that forks held it, another kernel thread was anywhere in the loop, and between two fibers.
void hub::renew_loop() noexcept {
    thread_state& frame = loop_.frame();
    frame.running = nullptr;
    frame.inside = 0;
    loop_.~context();
    ::new (&loop_) context(loop_stack_.base, loop_stack_.size(), &hub::loop_entry, this, frame);
    ended_ = nullptr;
    stacks_.forget();
}

/// The running fiber becomes the main fiber; the rest of what the hub knew is the parent's.
void hub::after_fork(bool was_taken) noexcept {
    if (was_taken) renew_loop();
    fiber_core& me = *this_thread_state.running;
    me.registry_prev = me.registry_next = nullptr;
    me.survive();
    // The sanitizer's leak check knows only the stack it is called on.
    if (&me != &main_ && main_.machine.stack_size() != 0) {
        sanitizer::stack_in_use(const_cast<void*>(main_.machine.stack_base()), main_.machine.stack_size());
    }
    oldest_ = newest_ = &me;
    live_ = counters_.peak = 1;
    background_ = 0;
    tasks_lock_.reset();
    tasks_ = nullptr;
    has_tasks_.store(false, std::memory_order_relaxed);
    main_now_ = &me;
    carrier_ = &carrier_state();
    carrier_tid_ = home_tid_ = sys::gettid();
    now_ = &me;
    plain_ = 0;
    ready_.clear();
    timers_ = timer_heap();
    for (timeout_scope* s = me.scopes; s != nullptr; s = s->outer) {
        const bool was_armed = s->expiry.armed();
        s->expiry.slot = nullptr;
        if (was_armed) timers_.insert(s->expiry);
    }
    loop_.after_fork();
    idle_.forget();
    quiescent_.forget();
    ending_.forget();
    if (me.interrupt_queued.exchange(false, std::memory_order_relaxed)) me.drop_reference(); // it was in the parent's queue
    externals_ = 0;
    remote_.store(nullptr, std::memory_order_relaxed);
    interrupts_.store(nullptr, std::memory_order_relaxed);
    asleep_.store(false, std::memory_order_relaxed);
    hopeless_.store(false, std::memory_order_relaxed);
    deadlocked_.store(false, std::memory_order_relaxed);
    watcher_.abandon_after_fork();
}

} // namespace weft::rt
