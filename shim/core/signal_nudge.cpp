// SPDX-License-Identifier: Apache-2.0
#include "core/signal_nudge.hpp"

#include "core/signal_actions.hpp"
#include "core/signals.hpp"

#include "core/carrier.hpp"
#include "core/sys.hpp"

#include <atomic>
#include <cstring>

#include <ucontext.h>

extern "C" void weft_trap_restorer(); // hidden; trap_entry.S

namespace weft::shim::signals {

namespace {

constexpr int nudge_signal = 32; // SIGCANCEL; sigaction would refuse it

struct kernel_action {
    void (*handler)(int, siginfo_t*, void*); // as the kernel has it
    std::uint64_t flags;
    void (*restorer)();
    std::uint64_t mask;
};
constexpr std::uint64_t sa_restorer = 0x04000000;

using handler_function = void (*)(int, siginfo_t*, void*);
constinit std::atomic<handler_function> libcs{nullptr}; // for threads of its own that are cancelled
constinit std::atomic<signal_taker> also{nullptr};

/// libc's unwinds a thread of its own from here, with the mask that it would have.
void pass_to_libc(int number, siginfo_t* info, void* context) {
    const handler_function f = libcs.load(std::memory_order_acquire);
    if (f == nullptr) return;
    std::uint64_t mask = 0;
    std::memcpy(&mask, &static_cast<const ucontext_t*>(context)->uc_sigmask, sizeof mask);
    mask |= bit(number);
    rt::sys::call(SYS_rt_sigprocmask, SIG_SETMASK, rt::sys::arg(&mask), 0, mask_size);
    f(number, info, context);
}

void on_nudge(int number, siginfo_t* info, void* context) {
    if (!is_nudge(*info)) {
        if (const signal_taker takes = also.load(std::memory_order_acquire); takes != nullptr && takes(*info, context)) return;
        pass_to_libc(number, info, context);
        return;
    }
    const bool spare = rt::hub::current() == nullptr && rt::this_thread_state.thread == nullptr;
    if (spare || rt::in_vforked_child() || rt::carrier_state().within) return; // weft's code, which may have blocked all signals
    on_signal(number, info, context);
}

/// A system call that it breaks off fails or begins anew as the program's own signal would have it. libc sets its handler when it first needs it.
bool install(bool restarts) noexcept {
    const kernel_action ours{on_nudge, SA_SIGINFO | sa_restorer | (restarts ? SA_RESTART : 0), weft_trap_restorer, ~bit(SIGSYS)};
    kernel_action had{};
    if (rt::sys::call(SYS_rt_sigaction, nudge_signal, 0, rt::sys::arg(&had), mask_size) != 0) return false;
    if (had.handler == on_nudge && had.flags == ours.flags) return true;
    if (had.handler != on_nudge && (had.flags & SA_SIGINFO) != 0) libcs.store(had.handler, std::memory_order_release);
    return rt::sys::call(SYS_rt_sigaction, nudge_signal, rt::sys::arg(&ours), 0, mask_size) == 0;
}

bool send(int kernel_thread, int number) noexcept {
    siginfo_t info{};
    info.si_code = nudge;
    info.si_pid = rt::sys::getpid();
    info.si_uid = static_cast<uid_t>(rt::sys::call(SYS_getuid));
    return send_shared(kernel_thread, info, (wanted_action(number).sa_flags & SA_RESTART) != 0);
}

} // namespace

void share_signal(signal_taker takes) noexcept { also.store(takes, std::memory_order_release); }

bool send_shared(int kernel_thread, siginfo_t info, bool restarts) noexcept {
    if (!install(restarts)) return false;
    info.si_signo = nudge_signal;
    return rt::sys::call(SYS_rt_tgsigqueueinfo, rt::sys::getpid(), kernel_thread, nudge_signal, rt::sys::arg(&info)) == 0;
}

void nudge_there(const receiver& r, int number) noexcept {
    constexpr int most_tries = 8;
    for (int i = 0; r.attention.load(std::memory_order_relaxed) && !r.waiting; ++i) {
        const int there = runs_elsewhere(r);
        if (there == 0) return;
        if (i == most_tries) {
            rt::watchdog::rouse();
            return;
        }
        send(there, number);
        rt::sys::sched_yield();
    }
}

bool nudge_all() noexcept {
    bool any = false;
    const deciding now;
    for (const receiver* r = first_posted(); r != nullptr; r = r->posted_next) {
        const bits numbers = r->pending.numbers() & ~r->mask;
        const int there = numbers == 0 || r->waiting ? 0 : runs_elsewhere(*r);
        if (there != 0) any |= send(there, __builtin_ctzll(numbers) + 1);
    }
    return any;
}

} // namespace weft::shim::signals
