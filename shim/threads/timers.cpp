// SPDX-License-Identifier: Apache-2.0
#include "threads/timers.hpp"

#include "calls/wait.hpp"
#include "core/serve.hpp"
#include "threads/cpu_time.hpp"
#include "threads/tid.hpp"

#include "core/fiber.hpp"
#include "core/sys.hpp"
#include <weft/export.hpp>

#include <sys/mman.h>

namespace weft::shim::thread_timers {

namespace {

using rt::sys::arg;
using signals::deciding;
using signals::receiver;

constexpr std::uint64_t main_thread = 0; // no fiber has that id

struct entry {
    entry* next;
    long number;
    std::uint64_t fiber; // its thread's
};

// Guarded by `deciding`, as it is read in handlers; its memory is a few pages of its own, which are never given back.
constinit entry* known = nullptr;
constinit entry* unused = nullptr;

entry* get() noexcept {
    constexpr std::size_t page = 4096;
    if (unused == nullptr) {
        const long p = rt::sys::call(SYS_mmap, 0, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p < 0 && p > -4096) return nullptr;
        auto* const more = reinterpret_cast<entry*>(p);
        for (std::size_t i = 0; i < page / sizeof(entry); ++i) {
            more[i].next = unused;
            unused = more + i;
        }
    }
    entry* const e = unused;
    unused = e->next;
    return e;
}

bool note(long number, std::uint64_t fiber) noexcept {
    const deciding now;
    entry* const e = get();
    if (e == nullptr) return false;
    *e = {known, number, fiber};
    known = e;
    return true;
}

void forget(long number) noexcept {
    const deciding now;
    for (entry** at = &known; *at != nullptr; at = &(*at)->next) {
        entry* const e = *at;
        if (e->number != number) continue;
        *at = e->next;
        e->next = unused;
        unused = e;
        return;
    }
}

/// Whether the event is for one of our threads; `fiber` is then whose.
bool names_thread(const sigevent& event, std::uint64_t& fiber) noexcept {
    const pid_t number = event._sigev_un._tid;
    if (event.sigev_notify != SIGEV_THREAD_ID) return false;
    fiber = main_thread;
    return number == rt::sys::getpid() || (tid::is_green(number) && tid::with(number, [&](const green_thread& t) { fiber = t.fiber->id; }));
}

} // namespace

long create(clockid_t clock, const sigevent* event, int* number) noexcept {
    clock = cpu_time::timer_clock(clock);
    sigevent wanted;
    std::uint64_t fiber = main_thread;
    const int saved_errno = errno;
    const bool ours = event != nullptr && copy_from_caller(&wanted, event, sizeof wanted) && names_thread(wanted, fiber);
    errno = saved_errno;
    if (!ours) return rt::sys::call(SYS_timer_create, clock, arg(event), arg(number));
    // Where main is the only thread it can stay with the kernel: those that come later are not to take its signals.
    if (fiber != main_thread || signals::several.load(std::memory_order_relaxed)) wanted.sigev_notify = SIGEV_SIGNAL;
    int made = 0;
    const long error = rt::sys::call(SYS_timer_create, clock, arg(&wanted), arg(&made));
    if (error != 0) return error;
    long result = -EAGAIN;
    if (note(made, fiber)) {
        if (copy_to_caller(number, &made, sizeof made)) return 0;
        errno = saved_errno;
        result = -EFAULT;
        forget(made);
    }
    rt::sys::call(SYS_timer_delete, made);
    return result;
}

long remove(long number) noexcept {
    const long result = rt::sys::call(SYS_timer_delete, number);
    if (result == 0) forget(number);
    return result;
}

bool find(const siginfo_t& info, receiver*& to) noexcept {
    if (info.si_code != SI_TIMER || __builtin_expect(known == nullptr, 1)) return false;
    for (const entry* e = known; e != nullptr; e = e->next) {
        if (e->number != info.si_timerid) continue;
        to = e->fiber == main_thread ? signals::main_receiver() : signals::receiver_of(e->fiber);
        return true;
    }
    return false;
}

void keep(receiver* to, const siginfo_t& info) noexcept {
    if (to == nullptr || ((to->mask & to->pending.numbers() & signals::bit(info.si_signo)) != 0)) return;
    signals::record(to, info, false);
}

bool passed_on(const siginfo_t& info) noexcept {
    if (info.si_code != SI_TIMER) return false;
    const deciding now;
    receiver* to = nullptr;
    if (!find(info, to) || to == signals::self()) return false;
    keep(to, info);
    return true;
}

void after_fork() noexcept { known = unused = nullptr; }

} // namespace weft::shim::thread_timers

namespace weft::shim::thread_timers {

namespace {

int create_by_name(clockid_t clock, sigevent* event, timer_t* out) noexcept {
    if (event == nullptr || event->sigev_notify != SIGEV_THREAD_ID) return real().timer_create(cpu_time::timer_clock(clock), event, out);
    int number = 0;
    if (const long error = create(clock, event, &number); error != 0) return fail(static_cast<int>(-error));
    *out = reinterpret_cast<timer_t>(static_cast<std::intptr_t>(number)); // as libc does
    return 0;
}

int remove_by_name(timer_t timer) noexcept {
    const int result = real().timer_delete(timer);
    if (result == 0) forget(reinterpret_cast<std::intptr_t>(timer));
    return result;
}

} // namespace

} // namespace weft::shim::thread_timers

using weft::shim::call;
using weft::shim::serve_thread;
namespace policy = weft::shim::thread_timers;

extern "C" {

WEFT_API int timer_create(clockid_t clock, sigevent* event, timer_t* out) noexcept {
    return serve_thread<call::timer_create>(policy::create_by_name, clock, event, out);
}
WEFT_API int timer_delete(timer_t timer) noexcept { return serve_thread<call::timer_delete>(policy::remove_by_name, timer); }

} // extern "C"
