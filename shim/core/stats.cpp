// SPDX-License-Identifier: Apache-2.0
#include "core/stats.hpp"

#include "core/serve.hpp"
#include "core/stats_report.hpp"

#include "core/fiber.hpp"
#include "core/private_fd.hpp"
#include "core/registry.hpp"
#include "core/sys.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <new>

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>

namespace weft::shim::stats {

constinit bool counting = false;

namespace {

/// A kernel thread's own numbers. When the thread ends another one goes on with them; the reader only adds up.
struct block {
    call_numbers calls[call_count + 1]; // the last: weft's own calls, and what is waited for in none
    longest_hold held[2];               // in a call, and without one
    std::atomic<bool> used{true};
    block* next = nullptr;
};

constinit std::atomic<block*> blocks{nullptr};
constinit thread_local block* mine __attribute__((tls_model("initial-exec"))) = nullptr;
constinit pthread_key_t ends_with_thread{};
constinit std::atomic<int> process{0}; // whose numbers these are; 0 once they are printed
constinit int output = -1;             // a program may close its stderr on its way out

/// Only the owner writes, so an atomic addition is not needed; a reader on another thread sees whole numbers.
void add(std::uint64_t& n, std::uint64_t more) noexcept {
    __atomic_store_n(&n, __atomic_load_n(&n, __ATOMIC_RELAXED) + more, __ATOMIC_RELAXED);
}

block* take_block() noexcept {
    for (block* b = blocks.load(std::memory_order_acquire); b != nullptr; b = b->next)
        if (!b->used.load(std::memory_order_relaxed) && !b->used.exchange(true, std::memory_order_acquire)) return b;
    void* p = ::mmap(nullptr, sizeof(block), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return nullptr;
    auto* made = new (p) block();
    made->next = blocks.load(std::memory_order_relaxed);
    while (!blocks.compare_exchange_weak(made->next, made, std::memory_order_release, std::memory_order_relaxed)) {}
    return made;
}

/// The calling thread's block; null where there is no memory for it.
block* numbers() noexcept {
    block*& own = rt::of_carrier(mine);
    if (__builtin_expect(own == nullptr, 0)) {
        const int saved_errno = errno;
        own = take_block();
        const rt::thread_state& here = rt::this_thread_state;
        const bool own_frame = here.carrier == nullptr || here.carrier == &here; // else the value would end with a fiber
        if (own != nullptr && own_frame) ::pthread_setspecific(ends_with_thread, own);
        errno = saved_errno;
    }
    return own;
}

void release_block(void* p) noexcept {
    rt::of_carrier(mine) = nullptr;
    static_cast<block*>(p)->used.store(false, std::memory_order_release);
}

// --- On fibers: who holds the hub ---

/// The stretch since the fiber began to run, or entered or left a call, is over. With nobody else on the hub it held up nobody.
void end_stretch(rt::fiber_core& f, std::int64_t now) noexcept {
    const std::int64_t held = now - f.observed.since;
    f.observed.since = now;
    block* const b = numbers();
    if (b == nullptr || held == now || f.owner->live_fibers() < 2) return; // a main fiber is first seen when it leaves
    longest_hold& longest = b->held[f.observed.call == 0 ? 1 : 0];
    if (held <= longest.ns) return;
    longest.ns = held;
    longest.call = f.observed.call;
    longest.fiber = f.id;
    const std::size_t size = std::min(f.name.size(), sizeof longest.name - 1);
    std::copy_n(f.name.data(), size, longest.name);
    longest.name[size] = 0;
}

std::size_t index_of(std::uint16_t call) noexcept { return call == 0 ? call_count : call - 1; }

constexpr rt::observer watching{
    .leaves =
        [](rt::fiber_core& f) noexcept {
            end_stretch(f, rt::now_ns());
            f.observed.waits = f.state.load(std::memory_order_relaxed) == rt::fiber_state::parked;
            if (!f.observed.waits) return;
            if (block* b = numbers()) add(b->calls[index_of(f.observed.call)].waits, 1);
        },
    .arrives =
        [](rt::fiber_core& f) noexcept {
            const std::int64_t now = rt::now_ns();
            if (f.observed.waits)
                if (block* b = numbers())
                    add(b->calls[index_of(f.observed.call)].waited_ns, static_cast<std::uint64_t>(now - f.observed.since));
            f.observed.waits = false;
            f.observed.since = now;
        },
};

} // namespace

one_call::one_call(std::size_t number, way w) noexcept : fiber_(rt::this_thread_state.running), way_(w) {
    if (block* b = numbers()) add(b->calls[number].ways[static_cast<std::size_t>(w)], 1);
    if (w == way::inside) fiber_ = nullptr;
    if (fiber_ == nullptr) return;
    end_stretch(*fiber_, rt::now_ns());
    outer_ = fiber_->observed;
    fiber_->observed.call = static_cast<std::uint16_t>(number + 1);
    fiber_->observed.direct = w != way::served;
}

one_call::~one_call() {
    if (fiber_ == nullptr) return;
    end_stretch(*fiber_, rt::now_ns());
    fiber_->observed.call = outer_.call;
    fiber_->observed.direct = outer_.direct;
}

void passed_through() noexcept {
    rt::fiber_core* const f = rt::this_thread_state.running;
    block* const b = numbers();
    if (f == nullptr || b == nullptr || f->observed.call == 0 || f->observed.direct) return;
    f->observed.direct = true;
    call_numbers& n = b->calls[index_of(f->observed.call)];
    add(n.ways[static_cast<std::size_t>(way::served)], ~std::uint64_t{0}); // one less
    add(n.ways[static_cast<std::size_t>(way::never_waits)], 1);
}

// --- Beginning and end ---

namespace {

/// The child of a fork counts from nothing; its parent's other threads are not here.
void begin_in_child() noexcept {
    for (block* b = blocks.load(std::memory_order_acquire); b != nullptr; b = b->next) {
        std::fill_n(b->calls, call_count + 1, call_numbers{});
        std::fill_n(b->held, 2, longest_hold{});
        b->used.store(b == rt::of_carrier(mine), std::memory_order_relaxed);
    }
    process.store(rt::sys::getpid(), std::memory_order_relaxed);
}

} // namespace

void start() noexcept {
    if (::pthread_key_create(&ends_with_thread, release_block) != 0) return;
    process.store(rt::sys::getpid(), std::memory_order_relaxed);
    output = rt::make_private(static_cast<int>(std::max(rt::sys::call(SYS_fcntl, 2, F_DUPFD_CLOEXEC, 0), -1L)));
    ::pthread_atfork(nullptr, nullptr, [] { begin_in_child(); });
    std::atexit([] { at_end(); });
    ::at_quick_exit([] { at_end(); });
    rt::observe_fibers(watching);
    counting = true;
}

void at_end() noexcept {
    if (!counting) return;
    int here = rt::sys::getpid();
    if (!process.compare_exchange_strong(here, 0, std::memory_order_relaxed)) return;
    static constinit call_numbers sums[call_count + 1];
    longest_hold held[2]{};
    for (const block* b = blocks.load(std::memory_order_acquire); b != nullptr; b = b->next) {
        for (std::size_t i = 0; i <= call_count; ++i) {
            for (std::size_t w = 0; w < ways; ++w) sums[i].ways[w] += __atomic_load_n(&b->calls[i].ways[w], __ATOMIC_RELAXED);
            sums[i].waits += __atomic_load_n(&b->calls[i].waits, __ATOMIC_RELAXED);
            sums[i].waited_ns += __atomic_load_n(&b->calls[i].waited_ns, __ATOMIC_RELAXED);
        }
        for (int k = 0; k < 2; ++k)
            if (b->held[k].ns > held[k].ns) held[k] = b->held[k];
    }
    rt::hub_counters hubs;
    rt::hub_registry::totals(hubs);
    report(output < 0 ? 2 : output, {sums, call_count + 1}, held, hubs);
}

} // namespace weft::shim::stats
