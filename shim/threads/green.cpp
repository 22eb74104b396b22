// SPDX-License-Identifier: Apache-2.0
#include "threads/green.hpp"

#include "core/cancel.hpp"
#include "core/gate.hpp"
#include "core/real.hpp"
#include "core/signals.hpp"
#include "threads/exit.hpp"
#include "threads/futex.hpp"
#include "threads/loader.hpp"
#include "threads/names.hpp"
#include "threads/rights.hpp"
#include "threads/robust.hpp"
#include "threads/scheduling.hpp"
#include "threads/table.hpp"
#include "threads/tid.hpp"
#include "threads/workers.hpp"

#include "core/carrier.hpp"
#include "core/hub.hpp"
#include "core/interruption.hpp"
#include "core/log.hpp"
#include "core/options.hpp"
#include "core/registry.hpp"
#include "core/stack.hpp"
#include "core/sys.hpp"
#include <weft/fiber.hpp>

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <mutex>
#include <new>
#include <system_error>

namespace weft::shim::green {

namespace {

// An intercepted call goes deeper than libc's own would: a thread that asks for a small stack gets this much more, as a part of its guard.
constexpr std::size_t own_depth = 16 * 1024, small = 256 * 1024;
constexpr std::size_t whole_pages(std::size_t size) noexcept { return (size + rt::page_size - 1) & ~(rt::page_size - 1); }
green_thread* const anybody = reinterpret_cast<green_thread*>(1);

constinit green_thread main_thread;
constinit std::atomic<int> live{0};          // without main
constinit std::uint32_t main_waits = 0;      // a futex: 1 while main waits for the others to end
constinit std::uint64_t most_threads = 0;
constinit std::uint64_t default_size = 0;

constinit rt::spinlock list_lock;
constinit green_thread* newest = nullptr;

void enlist(green_thread& t) noexcept {
    list_lock.lock();
    t.next = newest;
    if (newest != nullptr) newest->previous = &t;
    newest = &t;
    list_lock.unlock();
}

void delist(green_thread& t) noexcept {
    list_lock.lock();
    (t.previous == nullptr ? newest : t.previous->next) = t.next;
    if (t.next != nullptr) t.next->previous = t.previous;
    list_lock.unlock();
}

/// The reference that a joiner, or nobody when it is detached, has.
void let_go(green_thread& t) noexcept {
    if (!t.released.exchange(true, std::memory_order_acq_rel)) rt::release(t.fiber);
}

/// The thread has ended, perhaps on another hub just now: its memory, if it is the program's, is in use until its fiber has left it.
void await_departure(const green_thread& t) noexcept {
    if (!t.on_given_stack || t.fiber->owner == rt::hub::current()) return;
    while (t.fiber->references.load(std::memory_order_acquire) > 1) rt::sys::sched_yield(); // its own, or of an interruption that comes too late
}

void ends(green_thread& t) noexcept {
    robust::leave_behind(reinterpret_cast<char*>(t.id));
    signals::thread_ends();
    delist(t);
    sched::end(t);
    workers::left(t.lives_at);
    if (live.fetch_sub(1, std::memory_order_acq_rel) == 1) {
        std::atomic_ref waits(main_waits);
        if (waits.load(std::memory_order_acquire) != 0) {
            waits.store(0, std::memory_order_release);
            futex::wake(&main_waits, 1, false);
        }
    }
    std::atomic_ref(t.life).store(green_thread::ended, std::memory_order_seq_cst);
    futex::wake(&t.life, INT_MAX, false);
    if (t.detached.load(std::memory_order_seq_cst)) let_go(t);
}

/// Beside the fiber's control block.
class thread_task final : public rt::task_base {
public:
    void run() override {
        rt::this_thread_state.thread = &thread;
        const int level = std::exchange(rt::this_thread_state.inside, 0); // none of weft's own
        signals::thread_begins();
        ending::run(thread);
        rt::this_thread_state.inside = level;
    }
    void abandon() noexcept override {} // nobody kills a thread before it has begun

    green_thread thread;
    struct end : rt::end_hook {
        green_thread* thread;
    } at_end;
};

struct wanted_attributes {
    std::size_t stack_size = 0, guard_size = 0;
    char* stack = nullptr; // the program's own
    bool detached = false, inherits = true;
    signals::bits mask = 0;
};

wanted_attributes read(const pthread_attr_t* given) noexcept {
    wanted_attributes w;
    pthread_attr_t standard;
    const bool is_standard = given == nullptr;
    if (is_standard) {
        ::pthread_getattr_default_np(&standard);
        given = &standard;
    }
    int state = 0, inherit = 0;
    ::pthread_attr_getdetachstate(given, &state);
    ::pthread_attr_getguardsize(given, &w.guard_size);
    ::pthread_attr_getinheritsched(given, &inherit);
    void* low = nullptr;
    if (::pthread_attr_getstack(given, &low, &w.stack_size) == 0 && low != nullptr &&
        reinterpret_cast<std::uintptr_t>(low) + w.stack_size != 0)
        w.stack = static_cast<char*>(low);
    if (w.stack_size == 0) ::pthread_attr_getstacksize(given, &w.stack_size);
    w.detached = state == PTHREAD_CREATE_DETACHED;
    w.inherits = inherit == PTHREAD_INHERIT_SCHED;
    sigset_t mask;
    w.mask = ::pthread_attr_getsigmask_np(given, &mask) == 0 ? signals::bits_of(mask) : signals::mask_to_inherit();
    if (is_standard) {
        ::pthread_attr_destroy(&standard);
        if (default_size != 0) w.stack_size = default_size;
    }
    constexpr std::size_t unit = 64;
    if (w.stack == nullptr) w.stack_size = w.stack_size / unit * unit; // as libc does
    return w;
}

/// One time for a process: whether frames can be made, and the main thread's own record.
bool begin() noexcept {
    static constinit std::atomic<bool> said{false};
    const rt::inside_weft inside;
    if (const char* why = rt::tls_frame::unavailable(); why != nullptr) {
        gate::switch_family(family::threads, false);
        if (!said.exchange(true, std::memory_order_relaxed)) {
            rt::log_line line;
            line << "threads stay kernel threads here: " << why;
            line.write();
        }
        return false;
    }
    rt::hub& h = rt::hub::ensure();
    if (main_thread.fiber == nullptr && rt::hub_registry::on_main_thread()) {
        main_thread.fiber = &h.main_fiber();
        main_thread.id = ::pthread_self();
        main_thread.tid = rt::sys::getpid();
        names::remember(main_thread);
        sched::remember();
        main_thread.released.store(true, std::memory_order_relaxed); // the hub's
        rt::this_thread_state.thread = &main_thread;
        enlist(main_thread);
        loader::threads_begin();
        signals::threads_begin(h.main_fiber());
        rights::threads_begin();
        // It has cancelled itself before.
        std::atomic_ref word(rt::tls_frame::cancel_word(reinterpret_cast<char*>(main_thread.id)));
        if ((word.load(std::memory_order_relaxed) & rt::tls_frame::cancel_requested) != 0) {
            word.fetch_and(~(rt::tls_frame::cancel_requested | rt::tls_frame::cancel_requested >> 1));
            rt::this_thread_state.end_wanted.store(1, std::memory_order_relaxed);
        }
    }
    return true;
}

} // namespace

bool wanted() noexcept {
    const rt::thread_state& here = rt::this_thread_state;
    if (here.inside != 0 || !gate::is_on(family::threads)) return false;
    if (here.thread != nullptr) return true;
    if (here.running == nullptr && !rt::hub_registry::on_main_thread()) return false; // a kernel thread without fibers
    return begin();
}

namespace {

/// Null: no memory, no addresses for a stack.
rt::fiber_core* make_fiber(rt::hub& h, const wanted_attributes& w, std::size_t beyond, void*& place) noexcept {
    try {
        const rt::inside_weft inside;
        const fiber_options options{.name = {}, .stack_size = w.stack_size + beyond, .own_tls = true};
        const rt::memory given{w.stack, w.stack == nullptr ? 0 : w.stack_size};
        return rt::create_fiber_on(h, options, given, sizeof(thread_task), alignof(thread_task), place);
    } catch (const std::exception&) {
        return nullptr;
    }
}

} // namespace

int create(pthread_t* out, const pthread_attr_t* attributes, void* (*start)(void*), void* argument) {
    const wanted_attributes w = read(attributes);
    const std::size_t beyond = w.stack == nullptr && w.stack_size < small ? own_depth : 0;
    const std::uint64_t now = static_cast<std::uint64_t>(live.fetch_add(1, std::memory_order_relaxed)) + 1;
    if (most_threads != 0 && now > most_threads) {
        live.fetch_sub(1, std::memory_order_relaxed);
        return EAGAIN;
    }
    void* place = nullptr;
    const workers::place home = workers::choose(*rt::hub::current());
    const auto give_up = [home](int error) noexcept {
        workers::left(home.at);
        live.fetch_sub(1, std::memory_order_relaxed);
        return error;
    };
    rt::fiber_core* f = make_fiber(*home.hub, w, beyond, place);
    if (f == nullptr && now > 1) { // those that have ended, or only need a turn to, give theirs back
        rt::yield_quietly();
        f = make_fiber(*home.hub, w, beyond, place);
    }
    if (f == nullptr) return give_up(EAGAIN);
    auto* const task = ::new (place) thread_task();
    green_thread& t = task->thread;
    t.fiber = f;
    t.id = reinterpret_cast<pthread_t>(f->frame->pointer());
    t.start = start;
    t.argument = argument;
    t.detached.store(w.detached, std::memory_order_relaxed);
    t.stack_size = w.stack_size;
    t.stack_low = const_cast<char*>(static_cast<const char*>(f->machine.stack_base())) + beyond;
    // Where a fault means that the stack was used up. As libc has it: none below a stack of the program's own, else whole pages.
    t.guard_size = w.guard_size == 0 || w.stack != nullptr ? 0 : whole_pages(w.guard_size) + beyond;
    t.inherits_scheduling = w.inherits;
    t.on_given_stack = w.stack != nullptr;
    t.lives_at = home.at;
    t.tid = tid::next();
    cpu_time::begin(t);
    const green_thread* const maker = self();
    names::inherit(t, maker);
    if (const int error = sched::begin(t, maker, attributes, w.inherits); error != 0) {
        task->~thread_task();
        rt::discard_fiber(f);
        return give_up(error);
    }
    f->frame->state().thread = &t;
    rights::inherit(f->frame->pointer());
    task->at_end.thread = &t;
    task->at_end.on_end = [](rt::end_hook& hook) noexcept { ends(*static_cast<thread_task::end&>(hook).thread); };
    rt::add_end_hook(f, task->at_end);
    enlist(t);
    signals::thread_made(*f, f->frame->state(), w.mask);
    *out = t.id;
    rt::start_fiber(f, task, {}, false);
    if (rt::process_options().preloaded) rt::watchdog::start(); // the child of a fork has none
    if (std::atomic_ref(rt::watchdog::asleep).load(std::memory_order_relaxed) != 0) rt::watchdog::rouse();
    return 0;
}

bool is_the_parents(const green_thread& t) noexcept {
    return t.fiber->is_done() && std::atomic_ref(const_cast<std::uint32_t&>(t.life)).load(std::memory_order_acquire) != green_thread::ended;
}

namespace {

/// Who joins it has been noted.
int join_the_parents(green_thread& t, void** result) noexcept {
    std::atomic_ref(t.life).store(green_thread::ended, std::memory_order_release);
    if (result != nullptr) *result = nullptr;
    let_go(t);
    return 0;
}

} // namespace

int detach(green_thread& t) noexcept {
    if (t.joiner.load(std::memory_order_acquire) != nullptr && t.detached.load(std::memory_order_relaxed)) return EINVAL;
    if (t.detached.exchange(true, std::memory_order_seq_cst)) return EINVAL;
    if (std::atomic_ref(t.life).load(std::memory_order_seq_cst) == green_thread::ended) let_go(t);
    return 0;
}

int try_join(green_thread& t, void** result) noexcept {
    const bool parents = is_the_parents(t);
    if (!parents && std::atomic_ref(t.life).load(std::memory_order_acquire) != green_thread::ended) return EBUSY; // libc looks at this first
    if (t.detached.load(std::memory_order_acquire)) return EINVAL;
    green_thread* nobody = nullptr;
    if (!t.joiner.compare_exchange_strong(nobody, anybody)) return EINVAL;
    if (parents) return join_the_parents(t, result);
    rt::this_thread_state.broken_off = 0; // who is cancelled just now ends at its next point: nobody else could have the result
    if (result != nullptr) *result = t.result;
    await_departure(t);
    let_go(t);
    return 0;
}

int join(green_thread& t, void** result, clockid_t clock, const timespec* at) {
    green_thread* const me = self();
    if (me == &t) return EDEADLK;
    // Two that wait for each other; not if the other one has been cancelled and so leaves its wait.
    if (me != nullptr && me->joiner.load(std::memory_order_acquire) == &t &&
        rt::tls_frame::state_of(reinterpret_cast<char*>(t.id)).end_wanted.load(std::memory_order_acquire) == 0)
        return EDEADLK;
    if (t.detached.load(std::memory_order_acquire)) return EINVAL;
    if (at != nullptr && (at->tv_nsec < 0 || at->tv_nsec >= 1'000'000'000)) return EINVAL;
    green_thread* nobody = nullptr;
    if (!t.joiner.compare_exchange_strong(nobody, me == nullptr ? anybody : me)) return EINVAL;
    if (is_the_parents(t)) return join_the_parents(t, result);
    const limit until{clock, at};
    while (std::atomic_ref(t.life).load(std::memory_order_acquire) != green_thread::ended) {
        if (cancel::breaks_off()) {
            t.joiner.store(nullptr, std::memory_order_release);
            return EINTR;
        }
        constexpr patience cancelled{patience::kill::looks_up, patience::signal::endures};
        const bool is_thread = me != nullptr;
        const int error = futex::wait(&t.life, green_thread::running, false, until, "a thread's end", is_thread ? cancelled : endless);
        if (error == ETIMEDOUT && std::atomic_ref(t.life).load(std::memory_order_acquire) != green_thread::ended) {
            t.joiner.store(nullptr, std::memory_order_release);
            return ETIMEDOUT;
        }
    }
    rt::this_thread_state.broken_off = 0; // who is cancelled just now ends at its next point: nobody else could have the result
    if (result != nullptr) *result = t.result;
    await_departure(t);
    let_go(t);
    return 0;
}

void outlive_main() noexcept {
    std::atomic_ref waits(main_waits);
    for (;;) {
        waits.store(1, std::memory_order_seq_cst);
        if (live.load(std::memory_order_seq_cst) == 0) break;
        futex::wait(&main_waits, 1, false, {}, "the end of all threads", endless);
    }
}

void for_each(void (*f)(green_thread&, void*), void* argument) noexcept {
    const std::lock_guard hold(list_lock);
    for (green_thread* t = newest; t != nullptr; t = t->next) f(*t, argument);
}

int count() noexcept { return live.load(std::memory_order_relaxed); }
void most(std::uint64_t threads) noexcept { most_threads = threads; }
void stack_default(std::uint64_t bytes) noexcept { default_size = bytes; }

/// Only the thread that called it is left; it is the process's main thread now.
void after_fork() noexcept {
    list_lock.reset();
    newest = nullptr;
    main_waits = 0;
    green_thread* const me = self();
    live.store(0, std::memory_order_relaxed);
    workers::after_fork(rt::hub::current(), me == nullptr || me == &main_thread ? 0 : 1);
    if (me == nullptr) return;
    me->lives_at = 0;
    me->next = me->previous = nullptr;
    newest = me;
    me->tid = rt::sys::getpid();
    cpu_time::after_fork(*me);
    if (me == &main_thread) return;
    live.store(1, std::memory_order_relaxed);
    names::after_fork(*me);
    sched::after_fork(*me);
}

} // namespace weft::shim::green
