// SPDX-License-Identifier: Apache-2.0
#include "core/trap.hpp"

#include "calls/syscall.hpp"
#include "calls/wait.hpp"
#include "core/after_fork.hpp"
#include "core/alternate_stack.hpp"
#include "core/cancel.hpp"
#include "core/real.hpp"
#include "core/signals.hpp"
#include "core/trap_futex.hpp"
#include "threads/tid.hpp"

#include "core/log.hpp"
#include "core/sys.hpp"
#include "core/trap_point.hpp"
#include <weft/detail/spinlock.hpp>

#include <atomic>
#include <cerrno>
#include <mutex>

#include <linux/sched.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <ucontext.h>

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#endif

extern "C" {
// In trap_entry.S.
extern const char weft_trap_begin[], weft_trap_end[];
[[gnu::visibility("hidden")]] void weft_trap_restorer();
[[gnu::visibility("hidden")]] void weft_trap_native();
[[gnu::visibility("hidden")]] void weft_trap_return();
[[gnu::visibility("hidden")]] void weft_trap_clone();
/// Where a new task and its parent go on.
[[gnu::visibility("hidden")]] extern constinit thread_local std::uintptr_t weft_trap_origin __attribute__((tls_model("initial-exec")));
constinit thread_local std::uintptr_t weft_trap_origin = 0;
}

// A sanitizer's runtime makes system calls by instruction in the midst of libc's functions, under locks of its own: not to be served.
extern "C" {
[[gnu::weak]] void __asan_init();
[[gnu::weak]] void __tsan_init();
[[gnu::weak]] void __msan_init();
}

namespace weft::shim::trap {

namespace {

using rt::this_thread_state;
using rt::sys::arg;
using rt::sys::call;

constexpr int user_dispatch = 2; // si_code SYS_USER_DISPATCH
constexpr std::uint64_t trap_bit = std::uint64_t{1} << (SIGSYS - 1);
constexpr long mask_size = sizeof(std::uint64_t);

constinit std::atomic<bool> allowed{true};                    // as far as we know, the kernel can do it
constinit rt::spinlock install_lock;                          // guards what follows
constinit std::atomic<bool> installed{false};                 // our handler is
constinit struct sigaction program_action {};                 // the program's own, for every SIGSYS that is not ours

constinit thread_local bool on_here __attribute__((tls_model("initial-exec"))) = false;

std::uintptr_t address_of(void (*f)()) noexcept { return reinterpret_cast<std::uintptr_t>(f); }

std::uint64_t current_mask() noexcept {
    std::uint64_t mask = 0;
    call(SYS_rt_sigprocmask, SIG_BLOCK, 0, arg(&mask), mask_size);
    return mask;
}

// --- The handler ---

/// Makes the trapped call go to the kernel as it stands: by another instruction, then on behind the one that was trapped.
void send_back(ucontext_t& context, siginfo_t& info) noexcept {
    auto& registers = context.uc_mcontext.gregs;
    auto* frame = reinterpret_cast<std::uintptr_t*>(&info); // the kernel reads nothing of it on the way out
    frame[0] = static_cast<std::uintptr_t>(registers[REG_RIP]);
    frame[1] = static_cast<std::uintptr_t>(registers[REG_RSP]);
    registers[REG_RSP] = static_cast<greg_t>(reinterpret_cast<std::uintptr_t>(frame));
    registers[REG_RIP] = static_cast<greg_t>(address_of(weft_trap_native));
}

/// rt_sigprocmask: the mask that counts is the one that the handler's return restores. SIGSYS stays out of it.
long change_mask(ucontext_t& context, long how, long wanted, long old, long size) noexcept {
    std::uint64_t set = 0, now = 0;
    auto* mask = reinterpret_cast<std::uint64_t*>(&context.uc_sigmask);
    const std::uint64_t before = *mask;
    if (size != mask_size) return -EINVAL;
    if (wanted != 0) {
        const int saved_errno = errno;
        const bool readable = copy_from_caller(&set, reinterpret_cast<const void*>(wanted), sizeof set);
        errno = saved_errno;
        if (!readable) return -EFAULT;
        switch (how) {
        case SIG_BLOCK: now = before | set; break;
        case SIG_UNBLOCK: now = before & ~set; break;
        case SIG_SETMASK: now = set; break;
        default: return -EINVAL;
        }
        *mask = now & ~trap_bit;
    }
    return old == 0 ? 0 : call(SYS_rt_sigprocmask, SIG_BLOCK, 0, old, mask_size); // not changed yet
}

struct new_task {
    std::uint64_t flags = 0, stack = 0, tls = 0;
};

/// What a call begins. False: it is none that begins a task, or its arguments cannot be read.
bool begins_task(const greg_t* registers, new_task& task) noexcept {
    switch (registers[REG_RAX]) {
    case SYS_fork: return true;
    case SYS_vfork: task.flags = CLONE_VM | CLONE_VFORK; return true;
    case SYS_clone:
        task.flags = static_cast<std::uint64_t>(registers[REG_RDI]);
        task.stack = static_cast<std::uint64_t>(registers[REG_RSI]);
        task.tls = static_cast<std::uint64_t>(registers[REG_R8]);
        return true;
    case SYS_clone3: {
        std::uint64_t arguments[8] = {}; // flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls
        const int saved_errno = errno;
        const bool readable = static_cast<std::size_t>(registers[REG_RSI]) >= sizeof arguments &&
                              copy_from_caller(arguments, reinterpret_cast<const void*>(registers[REG_RDI]), sizeof arguments);
        errno = saved_errno;
        task.flags = arguments[0];
        task.stack = arguments[5];
        task.tls = arguments[7];
        return readable;
    }
    default: return false;
    }
}

void switch_on() noexcept {
    rt::of_carrier(on_here) = call(SYS_prctl, PR_SET_SYSCALL_USER_DISPATCH, 1, arg(weft_trap_begin),
                   weft_trap_end - weft_trap_begin, arg(const_cast<std::uint8_t*>(&rt::carrier_state().selector))) == 0;
}

/// In the child the kernel has switched the trap off; and where it was not libc's fork, nobody calls the handlers of forks.
long fork_here(long number, const greg_t* r) noexcept {
    const long result = call(number, r[REG_RDI], r[REG_RSI], r[REG_RDX], r[REG_R10], r[REG_R8], r[REG_R9]);
    if (result != 0) return result;
    switch_on();
    if (!signals::is_libc(static_cast<std::uintptr_t>(r[REG_RIP]))) after_bare_fork();
    return 0;
}

/// One whose parent's memory it shares: the two must not come back through the same frame.
void send_on_both(ucontext_t& context, const new_task& task) noexcept {
    auto& registers = context.uc_mcontext.gregs;
    const auto origin = static_cast<std::uintptr_t>(registers[REG_RIP]);
    weft_trap_origin = origin;
    if ((task.flags & CLONE_SETTLS) != 0) {
        const auto offset = reinterpret_cast<std::uintptr_t>(&weft_trap_origin) -
                            reinterpret_cast<std::uintptr_t>(__builtin_thread_pointer());
        *reinterpret_cast<std::uintptr_t*>(task.tls + offset) = origin;
    }
    registers[REG_RIP] = static_cast<greg_t>(address_of(weft_trap_clone));
}

/// A system call inside libc is a cancellation point where libc makes it as one: with its thread's type asynchronous.
class inner_point {
public:
    inner_point() noexcept : outer_(this_thread_state.may_end) {
        if (__builtin_expect(outer_, 0) == 0 || this_thread_state.thread == nullptr) return;
        const std::uint32_t word = rt::tls_frame::cancel_word(static_cast<char*>(__builtin_thread_pointer()));
        if ((word & rt::tls_frame::cancel_asynchronous) == 0) this_thread_state.may_end = 0;
    }
    inner_point(const inner_point&) = delete;
    inner_point& operator=(const inner_point&) = delete;
    ~inner_point() { this_thread_state.may_end = outer_; }
    /// The thread has been cancelled: the call is not made, but fails.
    [[nodiscard]] bool is_left() const noexcept { return cancel::breaks_off(); }

private:
    const std::uint8_t outer_;
};

void on_trapped_call(siginfo_t& info, ucontext_t& context) noexcept {
    auto& r = context.uc_mcontext.gregs;
    const long number = r[REG_RAX];
    new_task task;
    if (begins_task(r, task)) {
        descriptor::child_begins();
        if ((task.flags & CLONE_VM) == 0 && task.stack == 0) r[REG_RAX] = fork_here(number, r);
        else send_on_both(context, task);
        return;
    }
    if (number == SYS_rt_sigprocmask) {
        r[REG_RAX] = change_mask(context, r[REG_RDI], r[REG_RSI], r[REG_RDX], r[REG_R10]);
        return;
    }
    const syscalls::arguments all{{r[REG_RDI], r[REG_RSI], r[REG_RDX], r[REG_R10], r[REG_R8], r[REG_R9]}};
    syscalls::policy served = nullptr;
    if (!signals::is_weft(static_cast<std::uintptr_t>(r[REG_RIP])))
        served = number == SYS_futex && waits_for_word(all) ? wait_for_word : syscalls::find(number);
    // A signal to oneself comes at that instruction: made from here, it would interrupt weft's code.
    if ((number == SYS_kill && !tid::is_green(static_cast<pid_t>(all[0]))) || (number == SYS_tgkill && !tid::is_green(static_cast<pid_t>(all[1]))) ||
        (number == SYS_tkill && !tid::is_green(static_cast<pid_t>(all[0]))))
        served = nullptr;
    if (served == nullptr) {
        send_back(context, info);
        return;
    }
    const int saved_errno = errno;
    {
        const inner_point here;
        r[REG_RAX] = here.is_left() ? -ECANCELED : served(all);
    }
    errno = saved_errno;
    // The mask belongs to the kernel thread, whose other fibers may have changed it meanwhile.
    *reinterpret_cast<std::uint64_t*>(&context.uc_sigmask) = current_mask() & ~trap_bit;
}

/// A SIGSYS that somebody sent, or a filter of system calls: the program's.
void pass_on(int number, siginfo_t* info, void* context) noexcept {
    install_lock.lock();
    const struct sigaction a = program_action;
    if ((a.sa_flags & static_cast<int>(SA_RESETHAND)) != 0) program_action = {};
    install_lock.unlock();
    const bool sent = info->si_code <= 0;
    if (a.sa_handler == SIG_IGN && sent) return;
    if (a.sa_handler == SIG_DFL || a.sa_handler == SIG_IGN) {
        struct {
            std::uint64_t handler, flags, restorer, mask;
        } standard{};
        call(SYS_rt_sigaction, number, arg(&standard), 0, mask_size);
        call(SYS_tgkill, rt::sys::getpid(), rt::sys::gettid(), number);
        return;
    }
    std::uint64_t blocked = *reinterpret_cast<const std::uint64_t*>(&a.sa_mask);
    if ((a.sa_flags & SA_NODEFER) == 0) blocked |= trap_bit;
    call(SYS_rt_sigprocmask, SIG_BLOCK, arg(&blocked), 0, mask_size); // our return restores it
    a.sa_sigaction(number, info, context);
}

/// The end of a handler, perhaps on the kernel thread's alternate stack. What it restores is this kernel thread's, so the fiber may
/// not leave that here.
bool ends_handler(const siginfo_t& info, ucontext_t& context) noexcept {
    auto& r = context.uc_mcontext.gregs;
    if (info.si_code != user_dispatch || r[REG_RAX] != SYS_rt_sigreturn) return false;
    r[REG_RIP] = static_cast<greg_t>(address_of(weft_trap_return));
    return true;
}

/// What an allocator does while it holds its lock. A thread that has lost its hub goes on by itself: suspended there, it would keep the lock from the
/// others, and from weft's own code, which allocates, too.
bool is_for_memory(long number) noexcept {
    return number == SYS_mmap || number == SYS_munmap || number == SYS_mremap || number == SYS_mprotect || number == SYS_madvise ||
           number == SYS_brk;
}

void on_sigsys(int number, siginfo_t* info, void* context) noexcept {
    auto& interrupted = *static_cast<ucontext_t*>(context);
    if (ends_handler(*info, interrupted)) return;
    if (info->si_code == user_dispatch && is_for_memory(interrupted.uc_mcontext.gregs[REG_RAX])) {
        send_back(interrupted, *info);
        return;
    }
    const rt::thread_state& came_on = rt::carrier_state();
    const std::uint8_t selector = came_on.selector;
    rt::carrier_state().selector = 0; // at once: a fiber that comes back to its hub makes system calls on its way
    const rt::within_weft within;
    if (&came_on != &rt::carrier_state()) *reinterpret_cast<std::uint64_t*>(&interrupted.uc_sigmask) = current_mask() & ~trap_bit;
    if (info->si_code == user_dispatch) on_trapped_call(*info, interrupted);
    else pass_on(number, info, context);
    signals::returns_from(came_on, interrupted);
    rt::carrier_state().selector = selector;
}

struct kernel_action {
    void (*handler)(int, siginfo_t*, void*) noexcept;
    std::uint64_t flags;
    void (*restorer)();
    std::uint64_t mask;
};
constexpr std::uint64_t sa_restorer = 0x04000000;

/// Past libc, which would have its own restorer, whose system call would be trapped too.
bool install() noexcept {
    if (installed.load(std::memory_order_acquire)) return true;
    const std::lock_guard hold(install_lock);
    if (installed.load(std::memory_order_relaxed)) return true;
    const int saved_errno = errno;
    const int read = real().sigaction(SIGSYS, nullptr, &program_action);
    errno = saved_errno;
    const kernel_action ours{on_sigsys, SA_SIGINFO | SA_NODEFER | sa_restorer, weft_trap_restorer, 0};
    if (read != 0 || call(SYS_rt_sigaction, SIGSYS, arg(&ours), 0, mask_size) != 0) return false;
    installed.store(true, std::memory_order_release);
    return true;
}

/// On for this kernel thread, and SIGSYS not blocked. False: the kernel refuses.
bool make_ready() noexcept {
    if (rt::of_carrier(on_here)) return true;
    if (!allowed.load(std::memory_order_relaxed)) return false;
    if (install()) switch_on();
    if (!rt::of_carrier(on_here)) allowed.store(false, std::memory_order_relaxed);
    return rt::of_carrier(on_here);
}

/// Unblocks SIGSYS; whether it was blocked.
bool unblock() noexcept {
    std::uint64_t before = 0;
    call(SYS_rt_sigprocmask, SIG_UNBLOCK, arg(&trap_bit), arg(&before), mask_size);
    return (before & trap_bit) != 0;
}

} // namespace

void untrapped::set_again() noexcept {
    if (this_thread_state.fiber_selector == 0) unblock(); // another fiber may have changed the mask
    rt::carrier_state().selector = 1;
}

trapped::trapped() noexcept : selector_(rt::carrier_state().selector), works_(make_ready()) {
    if (!works_ || selector_ != 0) return;
    was_blocked_ = unblock();
    rt::carrier_state().selector = 1;
}

trapped::~trapped() {
    if (!works_) return;
    rt::carrier_state().selector = selector_;
    if (was_blocked_) call(SYS_rt_sigprocmask, SIG_BLOCK, arg(&trap_bit), 0, mask_size);
}

bool available() noexcept { return make_ready(); }

program_code::program_code() noexcept : selector_(rt::carrier_state().selector) {
    const std::uint8_t wanted = this_thread_state.running == nullptr ? std::uint8_t{0} : this_thread_state.fiber_selector;
    if (wanted != 0) unblock();
    rt::carrier_state().selector = wanted;
}

int action(const struct sigaction* wanted, struct sigaction* old) noexcept {
    const untrapped here;
    std::uint64_t before = 0;
    call(SYS_rt_sigprocmask, SIG_BLOCK, arg(&trap_bit), arg(&before), mask_size); // pass_on takes the lock
    install_lock.lock();
    int result = 0;
    if (installed.load(std::memory_order_relaxed)) {
        const struct sigaction had = program_action;
        if (wanted != nullptr) program_action = *wanted;
        if (old != nullptr) *old = had;
    } else {
        result = real().sigaction(SIGSYS, wanted, old);
    }
    install_lock.unlock();
    call(SYS_rt_sigprocmask, SIG_SETMASK, arg(&before), 0, mask_size);
    return result;
}

bool makes_calls(std::uintptr_t address) noexcept {
    const auto begin = reinterpret_cast<std::uintptr_t>(weft_trap_begin);
    return address - begin < static_cast<std::uintptr_t>(weft_trap_end - weft_trap_begin);
}

void forbid() noexcept { allowed.store(false, std::memory_order_relaxed); }

void trap_fibers() noexcept {
    rt::hub_begins_or_ends = [](bool begins) noexcept {
        rt::thread_state& here = this_thread_state;
        rt::thread_state& loop = here.current_hub->home_frame();
        rt::carrier_state().selector = here.fiber_selector = loop.fiber_selector = 0;
        if (!begins) return;
        static constinit std::atomic<bool> said{false};
        if (make_ready()) {
            unblock();
            rt::carrier_state().selector = here.fiber_selector = loop.fiber_selector = 1;
        } else if (!said.exchange(true, std::memory_order_relaxed)) {
            rt::log_line line;
            line << "system calls cannot be trapped here (it takes Linux 5.11, prctl allowed, no sanitizer): --trap does nothing";
            line.write();
        }
    };
    if (rt::hub::current() != nullptr) rt::hub_begins_or_ends(true);
}

bool traps_fibers() noexcept { return rt::hub_begins_or_ends != nullptr; }

void after_fork() noexcept {
    install_lock.reset();
    if (rt::of_carrier(on_here)) switch_on();
}

void initialise() noexcept {
    rt::carrier_begins = [](int) noexcept {
        signals::carrier_begins();
        if (installed.load(std::memory_order_acquire)) make_ready(); // fibers may be suspended in trapped code
    };
    if (&__asan_init != nullptr || &__tsan_init != nullptr || &__msan_init != nullptr) forbid();
    ::pthread_atfork(nullptr, nullptr, &after_fork);
}

} // namespace weft::shim::trap
