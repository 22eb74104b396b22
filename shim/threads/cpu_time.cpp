// SPDX-License-Identifier: Apache-2.0
#include "threads/cpu_time.hpp"

#include "calls/wait.hpp"
#include "core/serve.hpp"
#include "threads/green.hpp"
#include "threads/tid.hpp"

#include "core/carrier.hpp"
#include "core/hub.hpp"
#include "core/observer_chain.hpp"
#include "core/sys.hpp"
#include <weft/detail/spinlock.hpp>
#include <weft/export.hpp>

#include <algorithm>
#include <cerrno>
#include <mutex>

namespace weft::shim::cpu_time {

namespace {

constexpr std::int64_t second = 1'000'000'000;
constexpr clockid_t of_thread = 4, scheduled = 2; // the kernel's form of such numbers: ~tid, and these three bits

constinit std::atomic<bool> counting{false};
constinit const rt::observer* others = nullptr;

constexpr clockid_t clock_number(int tid) noexcept { return static_cast<clockid_t>(~static_cast<unsigned>(tid) << 3) | of_thread | scheduled; }
constexpr int tid_in(clockid_t clock) noexcept { return static_cast<int>(~(clock >> 3)); }
constexpr bool is_threads(clockid_t clock) noexcept { return clock < 0 && (clock & 7) == (of_thread | scheduled); }

/// What the kernel has counted of a kernel thread, in ns; 0: it has ended.
std::int64_t kernel_time(clockid_t clock) noexcept {
    timespec t{};
    rt::sys::call(SYS_clock_gettime, clock, rt::sys::arg(&t));
    return t.tv_sec * second + t.tv_nsec;
}
std::int64_t own_kernel_time() noexcept { return kernel_time(CLOCK_THREAD_CPUTIME_ID); }

/// The stretch that began when it was resumed is over.
void add_up(account& a, std::int64_t now) noexcept {
    const std::int64_t since = a.since.load(std::memory_order_relaxed);
    if (since == account::stands) return;
    a.used.store(a.used.load(std::memory_order_relaxed) + std::max(now - since, std::int64_t{0}), std::memory_order_relaxed);
    a.since.store(account::stands, std::memory_order_relaxed);
}

void resumes(account& a) noexcept {
    // It was not seen to leave: its hub was taken over, and it has computed on the kernel thread that it had.
    if (a.since.load(std::memory_order_relaxed) != account::stands) add_up(a, kernel_time(clock_number(a.runs_on.load(std::memory_order_relaxed))));
    a.runs_on.store(rt::sys::gettid(), std::memory_order_relaxed);
    a.since.store(own_kernel_time(), std::memory_order_release);
}

constexpr rt::observer watching{
    .leaves =
        [](rt::fiber_core& f) noexcept {
            if (green_thread* const t = green::self(); t != nullptr && t->cpu.counted.load(std::memory_order_relaxed)) add_up(t->cpu, own_kernel_time());
            if (others != nullptr) others->leaves(f);
        },
    .arrives =
        [](rt::fiber_core& f) noexcept {
            if (others != nullptr) others->arrives(f);
            if (green_thread* const t = green::self(); t != nullptr && t->cpu.counted.load(std::memory_order_relaxed)) resumes(t->cpu);
        },
};

constinit rt::spinlock beginning;

/// From now on that thread's time is counted.
void count(green_thread& t) noexcept {
    const std::lock_guard hold(beginning);
    account& a = t.cpu;
    if (a.counted.load(std::memory_order_relaxed)) return;
    if (!counting.load(std::memory_order_relaxed)) {
        others = rt::add_observer(watching);
        counting.store(true, std::memory_order_release);
    }
    const bool is_own = &t == green::self();
    const bool runs = is_own || t.fiber->now() == rt::fiber_state::running;
    const int there = is_own ? rt::sys::gettid() : rt::kernel_thread_of(*t.fiber);
    const std::int64_t so_far = kernel_time(clock_number(there));
    a.used.store(t.is_main() ? so_far : std::min(so_far, rt::now_ns() - a.born), std::memory_order_relaxed);
    a.runs_on.store(there, std::memory_order_relaxed);
    a.since.store(runs ? so_far : account::stands, std::memory_order_relaxed);
    a.counted.store(true, std::memory_order_release);
}

std::int64_t read(green_thread& t) noexcept {
    count(t);
    const account& a = t.cpu;
    const std::int64_t since = a.since.load(std::memory_order_acquire), used = a.used.load(std::memory_order_relaxed);
    if (since == account::stands) return used;
    const std::int64_t now = &t == green::self() ? own_kernel_time() : kernel_time(clock_number(a.runs_on.load(std::memory_order_relaxed)));
    return used + std::max(now - since, std::int64_t{0});
}

bool is_served() noexcept { return rt::this_thread_state.inside == 0 && green::self() != nullptr; }

} // namespace

void begin(green_thread& t) noexcept {
    t.cpu.born = rt::now_ns();
    t.cpu.counted.store(counting.load(std::memory_order_relaxed), std::memory_order_relaxed);
}

void after_fork(green_thread& t) noexcept {
    beginning.reset();
    t.cpu.used.store(0, std::memory_order_relaxed);
    t.cpu.runs_on.store(rt::sys::gettid(), std::memory_order_relaxed);
    t.cpu.since.store(0, std::memory_order_relaxed);
}

clockid_t clock_of(const green_thread& t) noexcept { return clock_number(t.tid); }

bool is_own(clockid_t clock) noexcept {
    const green_thread* const me = green::self();
    return clock == CLOCK_THREAD_CPUTIME_ID || (is_threads(clock) && (tid_in(clock) == 0 || (me != nullptr && tid_in(clock) == me->tid)));
}

bool is_green(clockid_t clock) noexcept {
    if (clock >= 0 && clock != CLOCK_THREAD_CPUTIME_ID) return false;
    return is_served() && (is_own(clock) || (is_threads(clock) && (tid::is_green(tid_in(clock)) || tid_in(clock) == rt::sys::getpid())));
}

std::int64_t read(clockid_t clock) noexcept {
    std::int64_t time = -EINVAL;
    const int number = clock == CLOCK_THREAD_CPUTIME_ID ? 0 : tid_in(clock);
    tid::with(number, [&](green_thread& t) { time = read(t); });
    return time;
}

long clock_gettime(clockid_t clock, timespec* out) noexcept {
    const std::int64_t time = is_green(clock) ? read(clock) : -1;
    if (time < 0) return rt::sys::call(SYS_clock_gettime, clock, rt::sys::arg(out));
    const timespec t{time / second, time % second};
    return copy_to_caller(out, &t, sizeof t) ? 0 : -EFAULT;
}

long clock_getres(clockid_t clock, timespec* out) noexcept {
    return rt::sys::call(SYS_clock_getres, is_green(clock) && read(clock) >= 0 ? CLOCK_THREAD_CPUTIME_ID : clock, rt::sys::arg(out));
}

/// The kernel's, but for the times; how much of them is the kernel's own is as with all threads of that kernel thread.
long getrusage(int whose, rusage* out) noexcept {
    const long result = rt::sys::call(SYS_getrusage, whose, rt::sys::arg(out));
    if (result != 0 || whose != RUSAGE_THREAD || !is_served()) return result;
    const auto micros = [](const timeval& t) { return t.tv_sec * std::int64_t{1'000'000} + t.tv_usec; };
    const std::int64_t user = micros(out->ru_utime), kernel = micros(out->ru_stime);
    const std::int64_t all = read(CLOCK_THREAD_CPUTIME_ID) / 1000;
    const std::int64_t part = user + kernel == 0 ? all : static_cast<std::int64_t>(static_cast<double>(all) * static_cast<double>(user) / static_cast<double>(user + kernel));
    out->ru_utime = {part / 1'000'000, part % 1'000'000};
    out->ru_stime = {(all - part) / 1'000'000, (all - part) % 1'000'000};
    return 0;
}

clockid_t timer_clock(clockid_t clock) noexcept {
    return clock != CLOCK_THREAD_CPUTIME_ID && is_green(clock) && read(clock) >= 0 ? CLOCK_PROCESS_CPUTIME_ID : clock;
}

namespace {

int as_call(long result) noexcept {
    if (result >= 0) return 0;
    errno = static_cast<int>(-result);
    return -1;
}

} // namespace

} // namespace weft::shim::cpu_time

using weft::shim::call;
using weft::shim::serve_thread;
namespace cpu_time = weft::shim::cpu_time;

extern "C" {

// Every clock but those of threads is libc's, past all else: it reads them without a system call.
WEFT_API int clock_gettime(clockid_t clock, timespec* out) noexcept {
    if (__builtin_expect(!cpu_time::is_green(clock), 1)) return weft::shim::real().clock_gettime(clock, out);
    return cpu_time::as_call(serve_thread<call::clock_gettime>(cpu_time::clock_gettime, clock, out));
}
WEFT_API int clock_getres(clockid_t clock, timespec* out) noexcept {
    if (!cpu_time::is_green(clock)) return weft::shim::real().clock_getres(clock, out);
    return cpu_time::as_call(serve_thread<call::clock_getres>(cpu_time::clock_getres, clock, out));
}
WEFT_API int getrusage(__rusage_who_t whose, rusage* out) noexcept {
    if (whose != RUSAGE_THREAD) return weft::shim::real().getrusage(whose, out);
    return cpu_time::as_call(serve_thread<call::getrusage>(cpu_time::getrusage, static_cast<int>(whose), out));
}

} // extern "C"
