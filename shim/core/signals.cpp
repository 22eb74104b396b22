// SPDX-License-Identifier: Apache-2.0
#include "core/signals.hpp"

#include "core/alternate_stack.hpp"
#include "core/gate.hpp"
#include "core/real.hpp"
#include "core/signal_record.hpp"
#include "core/trap.hpp"

#include "core/overflow.hpp"
#include "core/signal_point.hpp"
#include "core/sys.hpp"
#include "work/kernel_call.hpp"
#include <weft/detail/spinlock.hpp>

#include <atomic>
#include <cerrno>
#include <cstring>

#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <ucontext.h>

namespace weft::shim::signals {

namespace {

using rt::this_thread_state;

constexpr int last_number = 64;

// --- What the program wants ---

/// The program's action for one signal. Read in handlers: a sequence lock, whose writer blocks all signals.
struct entry {
    std::atomic<std::uint32_t> version{0};
    struct sigaction action {};
};
constinit entry table[last_number + 1];
constinit rt::spinlock table_lock;
constinit std::atomic<std::uint64_t> interrupting{0}; // siginterrupt: a bit a signal

struct sigaction wanted_action(int number) noexcept {
    const entry& e = table[number];
    for (;;) {
        const std::uint32_t before = e.version.load(std::memory_order_acquire);
        struct sigaction copy = e.action;
        std::atomic_thread_fence(std::memory_order_acquire);
        if (before % 2 == 0 && e.version.load(std::memory_order_relaxed) == before) return copy;
    }
}

void set_wanted(int number, const struct sigaction& a) noexcept {
    entry& e = table[number];
    e.version.fetch_add(1, std::memory_order_acq_rel);
    e.action = a;
    e.version.fetch_add(1, std::memory_order_release);
}

/// Not what the running code brings upon itself: that must be dealt with where it happens.
bool may_wait(int number) noexcept {
    switch (number) {
    case SIGSEGV:
    case SIGBUS:
    case SIGFPE:
    case SIGILL:
    case SIGTRAP:
    case SIGSYS:
    case SIGABRT: return false;
    default: return number > 0 && number <= last_number;
    }
}

bool is_handler(const struct sigaction& a) noexcept { return a.sa_handler != SIG_DFL && a.sa_handler != SIG_IGN; }

// --- What has come ---

/// A kernel thread's signals.
struct thread_signals {
    signal_record record;
    std::uint32_t ran = 0;   // handlers run on this thread's fibers
    std::uint32_t plain = 0; // of those, without SA_RESTART
    volatile bool waiting = false; // the main fiber is in a wait, or on its way into or out of one
};
constinit thread_local thread_signals mine __attribute__((tls_model("initial-exec")));

/// False: by now the program wants no handler.
bool begin_handler(int number, const struct sigaction& a) noexcept {
    if (!is_handler(a)) {
        if (a.sa_handler == SIG_DFL) rt::sys::call(SYS_tgkill, rt::sys::getpid(), rt::sys::gettid(), number);
        return false;
    }
    ++rt::of_carrier(mine).ran;
    if ((a.sa_flags & SA_RESTART) == 0) ++rt::of_carrier(mine).plain;
    return true;
}

/// On the main fiber, which is in no list: as the kernel would call the handlers.
void run_recorded() noexcept {
    siginfo_t info;
    while (rt::of_carrier(mine).record.take(info)) {
        const int number = info.si_signo;
        const struct sigaction a = wanted_action(number);
        if (!begin_handler(number, a)) continue;
        sigset_t blocked = a.sa_mask, before;
        if ((a.sa_flags & SA_NODEFER) == 0) sigaddset(&blocked, number);
        ucontext_t here;
        ::getcontext(&here);
        here.uc_stack = {};
        rt::sys::call(SYS_sigaltstack, 0, rt::sys::arg(&here.uc_stack));
        ::pthread_sigmask(SIG_BLOCK, &blocked, &before);
        {
            const trap::program_code its_own;
            call_handler(a.sa_sigaction, a.sa_flags, number, &info, &here); // one that takes the number only ignores the rest
        }
        before.__val[0] = here.uc_sigmask.__val[0]; // a handler may choose the mask that is restored
        ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
        handler_returned();
    }
}

/// The same in the midst of a wait, or outside of any.
void run_meanwhile() noexcept {
    const bool waiting = rt::of_carrier(mine).waiting;
    rt::of_carrier(mine).waiting = false;
    run_recorded();
    rt::of_carrier(mine).waiting = waiting;
}

/// Code of weft's, in the midst of which a handler's own calls must not switch fibers.
struct range {
    std::uintptr_t begin = 0, end = 0;
};
constinit range weft_code[3];
constinit range libc_code;

/// The one handler that the kernel knows.
void on_signal(int number, siginfo_t* info, void* context) noexcept {
    const auto& registers = static_cast<const ucontext_t*>(context)->uc_mcontext.gregs;
    if (rt::hub* h = rt::hub::current(); h != nullptr && !rt::in_vforked_child()) {
        const rt::fiber_core* running = this_thread_state.running;
        const bool on_hub = running == nullptr || h->owns_stack_at(static_cast<std::uintptr_t>(registers[REG_RSP]));
        rt::carrier_state().signals = true; // also where the handler runs at once: the main fiber may wait, or be about to
        if (on_hub || (running == &h->main_fiber() && rt::of_carrier(mine).waiting)) {
            rt::of_carrier(mine).record.add(*info);
            if (on_hub) h->rouse();
            return;
        }
    }
    const struct sigaction a = wanted_action(number);
    if (!begin_handler(number, a)) return;
    const int marks = is_weft(static_cast<std::uintptr_t>(registers[REG_RIP])) ? 1 : 0;
    this_thread_state.inside += marks;
    const trap::program_code its_own;
    call_handler_here(a.sa_sigaction, number, info, context);
    this_thread_state.inside -= marks;
    if (!rt::in_vforked_child()) handler_returned();
}

/// A kick_signal that was not the runtime's: as the kernel would do with it, had it the program's action.
void on_foreign_kick(int number, siginfo_t* info, void* context) noexcept {
    const struct sigaction a = wanted_action(number);
    if (a.sa_handler == SIG_IGN) return;
    if (!is_handler(a)) {
        struct sigaction standard {};
        standard.sa_handler = SIG_DFL;
        real().sigaction(number, &standard, nullptr);
        rt::sys::call(SYS_tgkill, rt::sys::getpid(), rt::sys::gettid(), number); // when this handler has returned
        return;
    }
    sigset_t blocked = a.sa_mask, before;
    sigset_t own;
    sigemptyset(&own);
    sigaddset(&own, number);
    ::pthread_sigmask(SIG_BLOCK, &blocked, &before);
    if ((a.sa_flags & SA_NODEFER) != 0) ::pthread_sigmask(SIG_UNBLOCK, &own, nullptr);
    const std::uint32_t ran = rt::of_carrier(mine).ran;
    on_signal(number, info, context);
    if ((static_cast<unsigned>(a.sa_flags) & SA_RESETHAND) != 0 && rt::of_carrier(mine).ran != ran) set_wanted(number, {});
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

struct found_code {
    std::uintptr_t address;
    range* to;
};

int find_code(dl_phdr_info* object, std::size_t, void* argument) noexcept {
    const auto& wanted = *static_cast<found_code*>(argument);
    for (int i = 0; i < object->dlpi_phnum; ++i) {
        const ElfW(Phdr)& part = object->dlpi_phdr[i];
        const std::uintptr_t begin = object->dlpi_addr + part.p_vaddr;
        if (part.p_type != PT_LOAD || wanted.address - begin >= part.p_memsz) continue;
        *wanted.to = {begin, begin + part.p_memsz};
        return 1;
    }
    return 0;
}

} // namespace

bool is_weft(std::uintptr_t address) noexcept {
    if (trap::makes_calls(address)) return false;
    for (const range& r : weft_code)
        if (address - r.begin < r.end - r.begin) return true;
    return false;
}

bool is_libc(std::uintptr_t address) noexcept { return address - libc_code.begin < libc_code.end - libc_code.begin; }

wait::wait() noexcept
    : main_(this_thread_state.running != nullptr &&
            this_thread_state.running == &this_thread_state.current_hub->main_fiber()) {
    if (!main_) return;
    run_recorded();
    rt::carrier_state().signals = false;
    ran_ = rt::of_carrier(mine).ran;
    plain_ = rt::of_carrier(mine).plain;
    rt::of_carrier(mine).waiting = true;
}

bool wait::interrupted(bool restarts) noexcept {
    if (!main_) return false;
    rt::of_carrier(mine).waiting = false;
    run_recorded();
    const bool any = rt::of_carrier(mine).ran != ran_, plain = rt::of_carrier(mine).plain != plain_;
    ran_ = rt::of_carrier(mine).ran;
    plain_ = rt::of_carrier(mine).plain;
    rt::of_carrier(mine).waiting = true;
    return restarts ? plain : any;
}

void wait::close() noexcept {
    if (!main_) return;
    rt::of_carrier(mine).waiting = false;
    run_recorded();
}

namespace {

/// A child of vfork changes what the kernel knows of it, and nothing that its parent knows.
int vforked_action(int number, const struct sigaction* wanted, struct sigaction* old) noexcept {
    const int result = real().sigaction(number, wanted, old);
    if (result == 0 && old != nullptr && (old->sa_flags & SA_SIGINFO) != 0 && old->sa_sigaction == on_signal) *old = wanted_action(number);
    return result;
}

} // namespace

int action(int number, const struct sigaction* wanted, struct sigaction* old) noexcept {
    if (rt::in_vforked_child()) return vforked_action(number, wanted, old);
    if (number == SIGSYS) return trap::action(wanted, old);
    const trap::untrapped here;
    const bool weft_asks = !program_asks();
    if (weft_asks || !may_wait(number)) {
        struct sigaction passing {};
        if (wanted != nullptr && trap::traps_fibers()) {
            passing = *wanted;
            sigdelset(&passing.sa_mask, SIGSYS);
            wanted = &passing;
        }
        const int result = real().sigaction(number, wanted, old);
        if (result == 0 && old != nullptr && !weft_asks && rt::reports_overflow(*old)) *old = {};
        return result;
    }
    struct sigaction asked {}, given {}, kernel_had {};
    if (wanted != nullptr) asked = given = *wanted;
    const bool ours = wanted != nullptr && is_handler(asked) && gate::is_on(family::signal);
    if (ours) {
        given.sa_sigaction = on_signal;
        given.sa_flags |= SA_SIGINFO;
        sigdelset(&given.sa_mask, SIGSYS); // it may have interrupted trapped code
    }
    sigset_t all, before;
    sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    table_lock.lock();
    const struct sigaction had = table[number].action;
    if (wanted != nullptr) set_wanted(number, asked);
    int result = 0;
    bool kicks = false; // the kernel keeps the runtime's handler, which asks for what the table says
    auto set = [&]() noexcept { result = real().sigaction(number, wanted == nullptr ? nullptr : &given, &kernel_had); };
    if (number != rt::kick_signal) set();
    else kicks = !rt::change_kick([](void* f) noexcept { (*static_cast<decltype(set)*>(f))(); }, &set);
    if (result != 0 && wanted != nullptr) set_wanted(number, had);
    table_lock.unlock();
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (result == 0 && old != nullptr)
        *old = kicks || ((kernel_had.sa_flags & SA_SIGINFO) != 0 && kernel_had.sa_sigaction == on_signal) ? had : kernel_had;
    return result;
}

sighandler_t simple_action(int number, sighandler_t handler, int flags) noexcept {
    struct sigaction a {}, old {};
    if (handler == SIG_ERR || number < 1 || number > last_number) {
        errno = EINVAL;
        return SIG_ERR;
    }
    a.sa_handler = handler;
    a.sa_flags = flags;
    if ((flags & SA_NODEFER) == 0) sigaddset(&a.sa_mask, number);
    if ((interrupting.load(std::memory_order_relaxed) >> (number - 1) & 1) != 0) a.sa_flags &= ~SA_RESTART;
    return action(number, &a, &old) < 0 ? SIG_ERR : old.sa_handler;
}

int interrupts(int number, bool does) noexcept {
    struct sigaction a {};
    if (action(number, nullptr, &a) < 0) return -1;
    const std::uint64_t bit = std::uint64_t{1} << (number - 1);
    if (does) {
        interrupting.fetch_or(bit, std::memory_order_relaxed);
        a.sa_flags &= ~SA_RESTART;
    } else {
        interrupting.fetch_and(~bit, std::memory_order_relaxed);
        a.sa_flags |= SA_RESTART;
    }
    return action(number, &a, nullptr);
}

void after_fork() noexcept { rt::of_carrier(mine).record.forget(); }

void initialise() noexcept {
    const std::uintptr_t addresses[] = {reinterpret_cast<std::uintptr_t>(&find_code),
                                        reinterpret_cast<std::uintptr_t>(&rt::hub::ensure),
                                        reinterpret_cast<std::uintptr_t>(::dlsym(RTLD_DEFAULT, "jump_fcontext"))};
    for (int i = 0; i < 3; ++i) {
        found_code wanted{addresses[i], &weft_code[i]};
        if (addresses[i] != 0) ::dl_iterate_phdr(find_code, &wanted);
    }
    found_code libc{reinterpret_cast<std::uintptr_t>(real().read), &libc_code};
    ::dl_iterate_phdr(find_code, &libc);
    rt::run_recorded_signals = run_meanwhile;
    rt::foreign_kick = on_foreign_kick;
    ::pthread_atfork(nullptr, nullptr, &after_fork);
}

} // namespace weft::shim::signals
