// SPDX-License-Identifier: Apache-2.0
#pragma once

// The hub of a kernel thread: its ready queue, its timers, its event loop.
//
// A fiber that suspends switches straight to the next ready one; only when none is ready, or the slice is used up, it
// switches to the hub's own context, which polls (invariant 4). Only the hub's kernel thread touches what is below,
// except where a comment says any thread.

#include "core/fiber.hpp"
#include "core/ready_queue.hpp"
#include "core/thread_state.hpp"
#include "core/watcher.hpp"

#include <weft/detail/spinlock.hpp>
#include <weft/export.hpp>

#include <atomic>
#include <cstdint>
#include <string>
#include <utility>

namespace weft::rt {

class tls_frame;

/// Nanoseconds of the steady clock.
WEFT_API std::int64_t now_ns() noexcept;

struct hub_counters {
    std::uint64_t switches = 0; // fibers resumed
    std::uint64_t polls = 0;    // times the kernel was asked for events
    std::uint64_t spawned = 0;
    std::uint64_t finished = 0;
    std::uint64_t timers = 0;   // timers set
    std::uint64_t peak = 0;     // most fibers at once
};

class hub;

/// What one kernel thread asks another's hub to do. `run` is called on the hub's own stack, or by the end of the hub's thread; it may neither
/// wait nor allocate.
struct hub_task {
    void (*run)(hub_task& self, hub& h) noexcept = nullptr;
    hub_task* next = nullptr; // guarded by the hub
};

class WEFT_API hub {
public:
    hub();
    hub(const hub&) = delete;
    hub& operator=(const hub&) = delete;
    ~hub();

    /// The calling kernel thread's hub, or nullptr.
    static hub* current() noexcept { return this_thread_state.current_hub; }
    /// The same, made if there is none.
    static hub& ensure();
    /// Whether any thread of the process ever had one.
    /// From now on a new hub's loop has a TLS frame of its own, so that the hub can move to another kernel thread.
    static void give_loops_frames() noexcept { loops_have_frames_ = true; }
    static bool was_made() noexcept { return was_made_.load(std::memory_order_relaxed); }

    // --- Suspending and resuming ---

    /// Lets the other ready fibers run first.
    void yield() noexcept;
    /// Suspends the running fiber until make_ready.
    void park() noexcept;
    /// A call of the running fiber went through at once. Where all of a fiber's calls do, it yields here when its slice is over.
    void went_through() noexcept {
        if (--unwaited_ == 0) end_long_turn();
    }
    /// The running fiber is about to wait, as many may do: what those behind the next one need is to be in the cache when their turn comes.
    [[gnu::always_inline]] void fetch_next() noexcept { ready_.fetch(); }
    /// Makes a parked or fresh fiber of this hub ready. Any thread.
    void make_ready(fiber_core& f) noexcept {
        const fiber_core* const running = this_thread_state.running;
        if (current() != this || running == &f) {
            push_remote(f);
        } else if (loops_have_frames_ && running != nullptr) {
            f.become(fiber_state::ready);
            ready_.push_prompt(f);
        } else {
            push_ready(f);
        }
    }
    /// The same, also from a handler that interrupted this hub's own work.
    void make_ready_later(fiber_core& f) noexcept { push_remote(f); }
    /// Another kernel thread is about to wake a fiber of this hub, which keeps the hub until it leaves.
    void visit() noexcept { visitors_.fetch_add(1, std::memory_order_relaxed); }
    void leave() noexcept { visitors_.fetch_sub(1, std::memory_order_release); }
    /// Ends the running fiber; its control block is released once nobody stands on its stack.
    [[noreturn]] [[gnu::always_inline]] void finish(fiber_core& ended) noexcept;
    /// The first thing whoever is resumed does: releases the fiber that has just ended.
    void arrived() noexcept;
    /// Asks the hub to interrupt a fiber. Any thread.
    void post_interrupt(fiber_core& f) noexcept;

    /// Ends the wait that one of its fibers is in, for signals. False: it is in none, or in one that nothing interrupts.
    bool interrupt(fiber_core& f) noexcept;

    /// Ends the present or next wait of the event loop. Any thread, also signal handlers.
    void rouse() noexcept;
    /// Whether an address lies on the hub's own stack.
    [[nodiscard]] bool owns_stack_at(std::uintptr_t address) const noexcept {
        return address - reinterpret_cast<std::uintptr_t>(loop_stack_.base) < loop_stack_.size();
    }

    // --- Timers and descriptors ---

    void start_timer(timer& t) noexcept {
        ++counters_.timers;
        timers_.insert(t);
    }
    void stop_timer(timer& t) noexcept { timers_.remove(t); }
    [[nodiscard]] int descriptor_set() noexcept { return watcher_.descriptor_set(); }

    // --- What runs here ---

    [[nodiscard]] fiber_core& main_fiber() noexcept { return *main_now_; }
    /// The kernel thread that it was made on, as its main fiber is known.
    [[nodiscard]] int home_tid() const noexcept { return home_tid_; }

    // --- The kernel thread that runs it (carrier.hpp); called by the watchdog ---

    [[nodiscard]] context& loop_context() noexcept { return loop_; }
    [[nodiscard]] thread_state& carried_by() const noexcept { return *carrier_; }
    [[nodiscard]] int carrier_tid() const noexcept { return carrier_tid_; }
    /// The fiber that runs, while the hub stands still.
    [[nodiscard]] fiber_core* holder() const noexcept { return now_; }
    /// From time to time: -1, nothing to watch; else how often in a row the same turn was seen.
    int observe_hold() noexcept;
    [[nodiscard]] int held_for() const noexcept { return held_for_; }
    /// Still the turn that was seen last.
    [[nodiscard]] bool is_held() const noexcept { return turns() == seen_turn_; }
    /// Another kernel thread carries it now. The tid of the one that did.
    int give_to(thread_state& carrier, int tid) noexcept {
        carrier_ = &carrier;
        held_for_ = 0;
        return std::exchange(carrier_tid_, tid);
    }
    void count_plain(int change) noexcept { plain_ += change; }
    /// Of a kernel thread that does nothing but carry hubs: the main fiber never runs, and is none of the hub's fibers.
    void retire_main() noexcept;
    /// Any other kernel thread, for a fiber made for this hub that has a frame of its own and has not begun: it begins here.
    void adopt(fiber_core& f) noexcept;
    void enroll(fiber_core& f) noexcept;
    /// A number no other fiber of the process has; taken from a block of the hub's own.
    std::uint64_t next_id() noexcept {
        if (next_id_ % ids_a_block == 0) next_id_ = new_id_block();
        return ++next_id_;
    }
    [[nodiscard]] stack_cache* stacks() noexcept { return &stacks_; }
    /// The TLS that its loop and the fibers without a frame of their own run with.
    [[nodiscard]] thread_state& home_frame() const noexcept { return loop_.frame(); }
    std::size_t held_stacks = 0; // of its ended fibers that still have handles; fewer when these went on other threads
    /// Every live fiber, oldest first.
    [[nodiscard]] fiber_core* first_fiber() const noexcept { return oldest_; }
    [[nodiscard]] std::uint64_t live_fibers() const noexcept { return live_; }
    [[nodiscard]] const hub_counters& counters() const noexcept { return counters_; }
    [[nodiscard]] std::uint64_t timer_count() const noexcept { return timers_.size(); }
    /// Fibers whose end nobody waits for: weft's own that wait for what may come, such as signals, and those of coroutines that have yielded,
    /// while they are parked for that.
    void count_background(int change) noexcept { background_ += static_cast<std::uint64_t>(change); }
    /// Something to be done between two fibers, from any kernel thread; see hub_task.
    void post(hub_task& t) noexcept;
    /// False: it has been done, or is being done and will be very soon.
    bool withdraw(hub_task& t) noexcept;
    [[nodiscard]] bool is_asleep() const noexcept { return asleep_.load(std::memory_order_relaxed); }
    /// Changes with every turn.
    [[nodiscard]] std::uint64_t turns() const noexcept { return *const_cast<const volatile std::uint64_t*>(&counters_.switches); }
    /// Waits that end by something outside weft are going on, so this hub is not deadlocked.
    void add_external() noexcept { ++externals_; }
    void drop_external() noexcept { --externals_; }

    /// Parks the running fiber until the hub has nothing else ready (gevent's idle).
    void wait_idle();
    /// Parks the running fiber until no other fiber is left, or nothing could wake those that are. False: the deadline came.
    bool wait_quiescent(deadline d);
    /// A kernel thread ends: kills its fibers and waits for them.
    void kill_all() noexcept;
    /// After that: its main fiber has ended too.
    void end_main() noexcept;
    /// The thread has no hub any more; only control blocks may still be looked at.
    void close() noexcept;
    /// In the child of fork: the running fiber becomes the main fiber, everything else is dead, the loop is fresh. `was_taken`: another kernel
    /// thread ran it meanwhile, in the parent.
    void after_fork(bool was_taken) noexcept;

private:
    friend class hub_registry;
    friend class deadlock_check;

    static void loop_entry(context::arrival a) noexcept;
    [[noreturn]] void loop() noexcept;
    void renew_loop() noexcept;
    void poll() noexcept;
    void block() noexcept;
    void switch_away(fiber_core& from) noexcept;
    void step_aside(fiber_core& me) noexcept;
    [[gnu::cold]] void step_aside_observed(fiber_core& me) noexcept;
    void renew_slice() noexcept;
    bool slice_used_up() noexcept;
    void end_long_turn() noexcept;
    void push_ready(fiber_core& f) noexcept {
        f.become(fiber_state::ready);
        ready_.push(f);
    }
    void push_remote(fiber_core& f) noexcept;
    void drain_remote() noexcept;
    void run_tasks() noexcept;
    void fire_timers() noexcept;
    bool wake_quiet() noexcept;
    void heed_signals() noexcept;
    void rouse_if_asleep() noexcept;
    void withdraw(fiber_core& f) noexcept;
    void adopt_scopes() noexcept;
    fiber_core* pop_ready() noexcept {
        fiber_core& f = ready_.pop();
        f.become(fiber_state::running);
        ++counters_.switches;
        now_ = &f;
        return &f;
    }

    /// No fiber is about to run but the running one.
    [[nodiscard]] bool nobody_comes() const noexcept {
        return ready_.empty() && remote_.load(std::memory_order_relaxed) == nullptr && interrupts_.load(std::memory_order_relaxed) == nullptr;
    }
    /// Every fiber has a frame of its own, so any kernel thread may run it.
    [[nodiscard]] bool can_move() const noexcept { return loop_frame_ != nullptr && plain_ == 0 && !is_alone(); }
    /// Nobody waits for the fiber that it has; one that comes from another hub is counted when the loop sees it.
    [[nodiscard]] bool is_alone() const noexcept { return live_ < 2 && remote_.load(std::memory_order_relaxed) == nullptr; }

    ready_queue ready_;

    // The slice: at most 1,000 switches or 1 ms between polls. The clock is read every check_every_ switches, a number
    // that follows the length of the turns, since reading it costs more than a switch.
    std::uint32_t check_in_ = 0;
    std::uint32_t check_every_ = 1;
    std::uint32_t switches_left_ = 0;
    std::int64_t slice_end_ = 0;
    // For went_through: the clock is read every so many calls; when it was first read in this turn, and what tells one turn from another.
    static constexpr std::uint32_t calls_a_look = 4;
    std::uint32_t unwaited_ = calls_a_look;
    std::int64_t turn_seen_ = 0;
    std::uint64_t turn_switches_ = 0;

    fiber_core* ended_ = nullptr; // just left its stack for good
    stack_cache stacks_;
    stack& loop_stack_;
    tls_frame* const loop_frame_; // null: the kernel thread's own
    context loop_;
    std::uint64_t next_id_ = 0;
    timer_heap timers_;
    watcher watcher_;
    fiber_core main_;             // the thread's own stack
    fiber_core* main_now_ = &main_; // after fork: the fiber that called it
    std::int64_t time_ = 0;
    std::int64_t externals_ = 0;
    std::uint64_t live_ = 0;
    std::uint64_t background_ = 0; // of these
    fiber_core* oldest_ = nullptr;
    fiber_core* newest_ = nullptr;
    static constexpr std::uint64_t ids_a_block = 1024;
    static std::uint64_t new_id_block() noexcept;
    wait_list idle_;      // wait_idle
    wait_list quiescent_; // wait_quiescent
    wait_list ending_;    // kill_all
    hub_counters counters_;
    // Who runs it; written by the watchdog while no fiber is in weft's code, else constant.
    thread_state* carrier_;
    int carrier_tid_;
    int home_tid_;
    fiber_core* now_ = &main_;       // whose turn it is
    int plain_ = 0;                  // spawned fibers without a frame of their own: they tie it to its kernel thread
    std::uint64_t seen_turn_ = 0;    // the watchdog's
    int held_for_ = 0;
    int recheck_ms_ = 0;  // for a deadlock that a foreign thread may still resolve

    // Any thread.
    std::atomic<fiber_core*> remote_{nullptr};      // woken from elsewhere, newest first
    std::atomic<fiber_core*> interrupts_{nullptr};  // to be interrupted, newest first
    std::atomic<int> visitors_{0};                  // wakes from other kernel threads that are going on
    std::atomic<bool> asleep_{false};               // about to block, or blocked: needs a rouse
    std::atomic<bool> hopeless_{false};             // blocked with nothing that could wake it but another thread
    std::atomic<bool> deadlocked_{false};           // set by the check: the main fiber is to be told
    std::atomic<bool> has_tasks_{false};
    spinlock tasks_lock_;                           // guards the next one
    hub_task* tasks_ = nullptr;
    hub* registry_next_ = nullptr;                  // guarded by the registry
    static constinit std::atomic<bool> was_made_;
    static constinit bool loops_have_frames_;
};

// The switch's path is inline: each function between a fiber and the jump costs a mispredicted return.

inline void hub::arrived() noexcept {
    if (fiber_core* ended = ended_; __builtin_expect(ended != nullptr, 0)) {
        ended_ = nullptr;
        ended->left_stack();
    }
}

inline void hub::switch_away(fiber_core& from) noexcept {
    if (ready_.empty() || (--check_in_ == 0 && slice_used_up())) {
        context::switch_to(from.machine, loop_, nullptr);
    } else {
        fiber_core* next = pop_ready();
        if (next == &from) return;
        context::switch_to(from.machine, next->machine, next);
    }
    from.owner->arrived();
}

inline void hub::step_aside(fiber_core& me) noexcept {
    if (__builtin_expect(fiber_observer != nullptr, 0)) step_aside_observed(me);
    else switch_away(me);
}

inline void hub::finish(fiber_core& ended) noexcept {
    withdraw(ended);
    ++counters_.finished;
    if (__builtin_expect(fiber_observer != nullptr, 0)) fiber_observer->leaves(ended);
    WEFT_CHECK(ended_ == nullptr);
    ended_ = &ended;
    if (ready_.empty() || (--check_in_ == 0 && slice_used_up())) context::leave(ended.machine, loop_, nullptr);
    fiber_core* next = pop_ready();
    context::leave(ended.machine, next->machine, next);
}

inline void hub::yield() noexcept {
    fiber_core& me = *this_thread_state.running;
    push_ready(me);
    step_aside(me);
}

inline void hub::park() noexcept {
    fiber_core& me = *this_thread_state.running;
    fetch_next();
    me.waiting_since = time_;
    me.become(fiber_state::parked);
    step_aside(me);
}

} // namespace weft::rt
