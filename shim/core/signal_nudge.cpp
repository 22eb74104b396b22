// SPDX-License-Identifier: Apache-2.0
#include "core/signal_nudge.hpp"

#include "core/signal_actions.hpp"
#include "core/signals.hpp"

#include "core/carrier.hpp"
#include "core/sys.hpp"

#include <atomic>

extern "C" void weft_trap_restorer(); // hidden; trap_entry.S

namespace weft::shim::signals {

namespace {

constexpr int nudge_signal = 32; // SIGCANCEL; sigaction would refuse it

struct kernel_action {
    void (*handler)(int, siginfo_t*, void*) noexcept; // as the kernel has it
    std::uint64_t flags;
    void (*restorer)();
    std::uint64_t mask;
};
constexpr std::uint64_t sa_restorer = 0x04000000;

using handler_function = void (*)(int, siginfo_t*, void*);
constinit std::atomic<handler_function> libcs{nullptr}; // for threads of its own that are cancelled

void on_nudge(int number, siginfo_t* info, void* context) noexcept {
    if (!is_nudge(*info)) {
        if (const handler_function f = libcs.load(std::memory_order_acquire)) f(number, info, context);
        return;
    }
    const bool spare = rt::hub::current() == nullptr && rt::this_thread_state.thread == nullptr;
    if (spare || rt::in_vforked_child() || rt::carrier_state().within) return; // weft's code, which may have blocked all signals
    on_signal(number, info, context);
}

/// A system call that it breaks off fails or begins anew as the program's own signal would have it. libc sets its handler when it first needs it.
bool install(int number) noexcept {
    const std::uint64_t restarts = static_cast<std::uint64_t>(wanted_action(number).sa_flags) & SA_RESTART;
    const kernel_action ours{on_nudge, SA_SIGINFO | sa_restorer | restarts, weft_trap_restorer, ~bit(SIGSYS)};
    kernel_action had{};
    if (rt::sys::call(SYS_rt_sigaction, nudge_signal, 0, rt::sys::arg(&had), mask_size) != 0) return false;
    if (had.handler == on_nudge && had.flags == ours.flags) return true;
    if (had.handler != on_nudge && (had.flags & SA_SIGINFO) != 0) libcs.store(had.handler, std::memory_order_release);
    return rt::sys::call(SYS_rt_sigaction, nudge_signal, rt::sys::arg(&ours), 0, mask_size) == 0;
}

bool send(int kernel_thread, int number) noexcept {
    if (!install(number)) return false;
    siginfo_t info{};
    info.si_signo = nudge_signal;
    info.si_code = nudge;
    info.si_pid = rt::sys::getpid();
    info.si_uid = static_cast<uid_t>(rt::sys::call(SYS_getuid));
    return rt::sys::call(SYS_rt_tgsigqueueinfo, info.si_pid, kernel_thread, nudge_signal, rt::sys::arg(&info)) == 0;
}

} // namespace

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
