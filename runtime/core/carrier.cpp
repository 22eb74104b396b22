// SPDX-License-Identifier: Apache-2.0
#include "core/carrier.hpp"

#include "core/carrier_thread.hpp"
#include "core/hub.hpp"
#include "core/log.hpp"
#include "core/options.hpp"
#include "core/overflow.hpp"
#include "core/own_thread.hpp"
#include "core/registry.hpp"
#include "core/signal_point.hpp"
#include "core/sys.hpp"
#include "core/tls_frame.hpp"

#include <weft/detail/spinlock.hpp>

#include <atomic>
#include <charconv>
#include <csignal>
#include <cstring>
#include <ctime>
#include <mutex>
#include <new>
#include <utility>

#include <fcntl.h>
#include <linux/membarrier.h>
#include <sys/prctl.h>

namespace weft::rt {

constinit carrier_hook carrier_begins = nullptr;

namespace {

constexpr std::size_t idle_stack_size = 64 * 1024;
constexpr std::uint8_t looked_at = 1, gone = 2;

constinit spinlock spares_lock;
constinit carrier* spares = nullptr;
constinit std::atomic<carrier*> newest{nullptr}; // of all, which live for ever: who looks for leaks finds them
constinit std::atomic<std::uint64_t> taken{0};

constexpr std::uint64_t libcs_own = std::uint64_t{3} << 31; // signals by which setuid reaches all threads, too

/// The mask before.
std::uint64_t block_signals() noexcept {
    const std::uint64_t all = ~(std::uint64_t{1} << (SIGSYS - 1)) & ~libcs_own;
    std::uint64_t before = 0;
    sys::call(SYS_rt_sigprocmask, SIG_SETMASK, sys::arg(&all), sys::arg(&before), sizeof all);
    return before;
}

/// The signal mask of the kernel thread that carried the hub before is the hub's.
void take_mask_of(int tid) noexcept {
    char path[64] = "/proc/self/task/";
    char* const end = std::to_chars(path + sizeof "/proc/self/task/" - 1, path + 48, tid).ptr;
    std::memcpy(end, "/status", sizeof "/status");
    const long fd = sys::call(SYS_openat, AT_FDCWD, sys::arg(path), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    char text[4096];
    const long n = sys::call(SYS_read, fd, sys::arg(text), sizeof text - 1);
    sys::close(static_cast<int>(fd));
    text[n < 0 ? 0 : n] = 0;
    const char* const line = std::strstr(text, "SigBlk:\t");
    std::uint64_t mask = 0;
    if (line == nullptr || std::from_chars(line + 8, line + 24, mask, 16).ec != std::errc()) return;
    mask &= ~(std::uint64_t{1} << (SIGSYS - 1)) & ~libcs_own;
    sys::call(SYS_rt_sigprocmask, SIG_SETMASK, sys::arg(&mask), 0, sizeof mask);
}

} // namespace

void remember(carrier& c) noexcept {
    c.made_before = newest.load(std::memory_order_relaxed);
    while (!newest.compare_exchange_weak(c.made_before, &c)) {}
}

void carrier::be_spare() noexcept {
    for (;;) {
        block_signals();
        this_thread_state.current_hub = nullptr;
        state_.selector = 0;
        state_.within = true;
        state_.seized = 0;
        if (fiber_core* f = returning_; f != nullptr) {
            returning_ = nullptr;
            f->owner->make_ready_later(*f);
        }
        {
            const std::lock_guard hold(spares_lock);
            next = spares;
            spares = this;
        }
        while (std::atomic_ref(work_).load(std::memory_order_acquire) == 0) futex_wait(work_, 0);
        std::atomic_ref(work_).store(0, std::memory_order_relaxed);
        run(*hub_);
    }
}

/// What comes as soon as signals are let in, still on this stack, is for the hub's fibers.
void carrier::run(hub& h) noexcept {
    this_thread_state.current_hub = &h;
    if (carrier_begins != nullptr) carrier_begins(former_tid_);
    else take_mask_of(former_tid_);
    context::switch_to(idle(), h.loop_context(), nullptr);
}

void come_back() noexcept {
    if (in_vforked_child()) return;
    thread_state& mine = carrier_state();
    for (unsigned spins = 0; mine.seized == looked_at; ++spins)
        if (spins % 64 == 63) sys::sched_yield();
    if (mine.seized != gone) return;
    // No signal may come between: its handler would come back, too, and this kernel thread has but one fiber to send. It stays without them until
    // it carries a hub again; the fiber goes on where they are as the hub has them.
    const std::uint64_t before = block_signals();
    if (carrier_state().seized != gone) { // a handler was faster, and this is another kernel thread
        sys::call(SYS_rt_sigprocmask, SIG_SETMASK, sys::arg(&before), 0, sizeof before);
        return;
    }
    {
        const inside_weft inside;
        fiber_core& f = *this_thread_state.running;
        carrier* const c = carrier_state().self;
        c->send_back(f);
        context::switch_to(f.machine, c->idle(), nullptr);
        f.owner->arrived();
        if (fiber_observer != nullptr) fiber_observer->arrives(f);
    }
    // Nothing of weft's has begun: what a handler waits for, it waits for as the program.
    if (run_recorded_signals != nullptr && signals_posted.load(std::memory_order_relaxed)) run_recorded_signals(); // it may never wait
}

namespace watchdog {

constinit std::uint32_t asleep = 0;

namespace {

constexpr timespec tick{0, 3'000'000};
constexpr int held_ticks = 2;      // so long the same fiber has run when its hub is taken over
constexpr int idle_ticks = 20;     // then the watchdog sleeps until a hub has something to do, and memory that nobody uses is given back
constexpr int most_spares = 1024;
constinit std::atomic<bool> running{false};
constinit int made = 0;
char program_name[16] = {}; // as the kernel knows the main thread

bool barrier(int command) noexcept { return sys::call(SYS_membarrier, command) == 0; }

/// Made beforehand, so that a spare that begins cannot fail for lack of memory.
struct spare_room {
    void* memory = ::operator new(sizeof(carrier), std::nothrow);
    carrier* made = nullptr;
};

void* spare_main(void* p) noexcept {
    const helper_thread counted;
    this_thread_state.inside = 1; // whatever it calls is libc's
    install_overflow_report(false);
    name_own_thread("weft-carrier");
    auto& room = *static_cast<spare_room*>(p);
    auto* const c = ::new (room.memory) carrier(this_thread_state);
    this_thread_state.self = c;
    remember(*c);
    std::atomic_ref(room.made).store(c, std::memory_order_release);
    c->be_spare();
}

carrier* take_spare() noexcept {
    const std::lock_guard hold(spares_lock);
    carrier* const c = spares;
    if (c != nullptr) spares = c->next;
    return c;
}

/// So that a hub can be taken over at once.
void keep_one_spare() noexcept {
    {
        const std::lock_guard hold(spares_lock);
        if (spares != nullptr || made >= most_spares) return;
    }
    spare_room room;
    if (room.memory == nullptr) return;
    if (!make_own_thread(spare_main, &room)) {
        ::operator delete(room.memory);
        return;
    }
    ++made;
    while (std::atomic_ref(room.made).load(std::memory_order_acquire) == nullptr) sys::sched_yield();
    for (;;) {
        const std::lock_guard hold(spares_lock);
        if (spares != nullptr) return;
    }
}

/// Where the kernel thread that carries the hub now will wait as a spare.
bool prepare(hub& h) noexcept {
    thread_state& held = h.carried_by();
    if (held.self != nullptr) return true;
    try {
        stack& s = acquire_stack(idle_stack_size);
        tls_frame* const frame = tls_frame::take(h);
        if (frame == nullptr) {
            release_stack(s);
            return false;
        }
        frame->state().current_hub = nullptr;
        frame->state().stacks = nullptr;
        held.self = new carrier(held, h.carrier_tid(), s, *frame);
        tls_frame::stand_for(*frame, held, h.carrier_tid());
        return true;
    } catch (const std::exception&) {
        return false;
    }
}

/// The registry's lock is held.
void seize(hub& h) noexcept {
    if (!prepare(h)) return;
    thread_state& held = h.carried_by();
    held.seized = looked_at;
    barrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED);
    carrier* const c = held.within || !h.is_held() ? nullptr : take_spare();
    if (c == nullptr) {
        held.seized = 0;
        return;
    }
    const fiber_core& holder = *h.holder();
    const int former = h.give_to(c->state(), c->tid());
    taken.fetch_add(1, std::memory_order_relaxed);
    if (process_options().verbose) {
        log_line line;
        line << "fiber " << holder.id;
        if (!holder.name.empty()) line << " (" << holder.name << ")";
        line << " has held its hub for too long: another kernel thread runs the others";
        line.write();
    }
    held.seized = gone;
    c->carry(h, former);
}

/// Of threads that compute while a handler is to run there.
bool nudges() noexcept { return signals_posted.load(std::memory_order_seq_cst) && nudge_posted(); }

void* watch(void*) noexcept {
    const helper_thread counted;
    this_thread_state.inside = 1;
    name_own_thread("weft-watchdog");
    for (int quiet = 0, surplus = 0;;) {
        sys::call(SYS_nanosleep, sys::arg(&tick));
        bool any = false, held = false;
        {
            const std::lock_guard hold(hub_registry::lock());
            hub_registry::for_each([&](hub& h) noexcept {
                const int ticks = h.observe_hold();
                any |= ticks >= 0;
                held |= ticks >= held_ticks - 1;
            });
        }
        if (held) {
            keep_one_spare();
            const std::lock_guard hold(hub_registry::lock());
            hub_registry::for_each([](hub& h) noexcept {
                if (h.held_for() >= held_ticks) seize(h);
            });
        }
        any |= nudges();
        quiet = any ? 0 : quiet + 1;
        surplus = tls_frame::has_surplus() ? surplus + 1 : 0;
        if (surplus >= idle_ticks) tls_frame::give_back();
        if (quiet < idle_ticks || surplus > 0) continue;
        std::atomic_ref(asleep).store(1, std::memory_order_seq_cst);
        bool all_wait = true;
        {
            const std::lock_guard hold(hub_registry::lock());
            hub_registry::for_each([&](hub& h) noexcept { all_wait &= h.observe_hold() < 0; });
        }
        all_wait &= !nudges();
        while (all_wait && std::atomic_ref(asleep).load(std::memory_order_acquire) == 1) futex_wait(asleep, 1);
        std::atomic_ref(asleep).store(0, std::memory_order_relaxed);
        quiet = 0;
    }
}

} // namespace

void start() noexcept {
    if (running.load(std::memory_order_relaxed) || running.exchange(true)) return;
    if (hub::current() != nullptr && carrier_state().self == nullptr) sys::call(SYS_prctl, PR_GET_NAME, sys::arg(program_name));
    if (barrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) && make_own_thread(watch, nullptr)) return;
    if (!process_options().verbose) return;
    log_line line;
    line << "a thread that computes for long will hold up the others: the kernel has no membarrier here";
    line.write();
}

void main_is_called(const char* name) noexcept { std::strncpy(program_name, name, sizeof program_name - 1); }

std::uint64_t takeovers() noexcept { return taken.load(std::memory_order_relaxed); }

void rouse() noexcept {
    std::atomic_ref(asleep).store(0, std::memory_order_release);
    futex_wake(asleep);
}

void after_fork() noexcept {
    running.store(false, std::memory_order_relaxed); // made anew with the next thread
    asleep = 0;
    made = 0;
    own_threads_unnamed.store(0, std::memory_order_relaxed);
    spares_lock.reset();
    spares = nullptr;
    thread_state& here = carrier_state();
    here.seized = 0;
    if (here.self == nullptr) return;
    here.self->after_fork();
    if (!here.self->is_ours()) return;
    // For libc the kernel thread that called fork is none of the child's: the next one that it makes gets its stack and TLS. What is kept for this
    // one moves to a frame that nobody runs with.
    tls_frame* const place = tls_frame::take(*hub::current());
    WEFT_CHECK(place != nullptr);
    thread_state& moved = place->state();
    moved.selector = here.selector;
    here.selector = 0; // which the kernel reads until it hears of the other one
    moved.within = here.within;
    moved.signals = here.signals;
    moved.carrier = &moved;
    here.carrier = &moved; // it stands for no thread any more (setxid.cpp)
    this_thread_state.carrier = &moved;
    if (carrier_begins != nullptr) carrier_begins(sys::gettid());
    char name[16] = {};
    sys::call(SYS_prctl, PR_GET_NAME, sys::arg(name));
    if (std::strncmp(name, "weft-", 5) == 0) sys::call(SYS_prctl, PR_SET_NAME, sys::arg(program_name)); // else it has that of its fiber already
}

} // namespace watchdog

} // namespace weft::rt
