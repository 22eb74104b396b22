// SPDX-License-Identifier: Apache-2.0
#include "inspect/stopped_thread.hpp"

#include "core/sanitizer.hpp"
#include "core/sys.hpp"

#include <atomic>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <ctime>

#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <ucontext.h>

namespace weft::rt {

namespace {

/// One at a time, by whatever monitor.
constinit std::atomic<bool> in_use{false};

/// Between the caller and whoever holds the thread for it. `step` is a futex.
struct meeting {
    std::uint32_t step = 0;
    int tid = 0;
    long error = 0;
    user_regs_struct found{};
};
constexpr std::uint32_t begins = 1, stands = 2, refused = 3, ends = 4;
constinit meeting now;
alignas(16) constinit char child_stack[16 * 1024] = {};

WEFT_NO_TSAN void step_to(std::uint32_t step) noexcept {
    __atomic_store_n(&now.step, step, __ATOMIC_SEQ_CST);
    sys::call(SYS_futex, sys::arg(&now.step), FUTEX_WAKE, 8);
}

WEFT_NO_TSAN bool wait_while(std::uint32_t step, const timespec* at_most = nullptr) noexcept {
    while (__atomic_load_n(&now.step, __ATOMIC_SEQ_CST) == step) {
        if (sys::call(SYS_futex, sys::arg(&now.step), FUTEX_WAIT, static_cast<long>(step), sys::arg(at_most)) == -ETIMEDOUT) return false;
    }
    return true;
}

registers from_kernel(const user_regs_struct& r) noexcept { return {r.r12, r.r13, r.r14, r.r15, r.rbx, r.rbp, r.rsp, r.rip}; }

// --- By tracing ---

/// The child: it shares our memory and this thread's TLS, so it makes system calls and nothing else.
WEFT_NO_TSAN int trace_it(void*) noexcept {
    wait_while(begins - 1);
    const long tid = now.tid;
    now.error = sys::call(SYS_ptrace, PTRACE_SEIZE, tid, 0, 0);
    if (now.error == 0) {
        int status = 0;
        now.error = sys::call(SYS_ptrace, PTRACE_INTERRUPT, tid, 0, 0);
        if (now.error == 0) now.error = sys::call(SYS_wait4, tid, sys::arg(&status), __WALL, 0) == tid ? 0 : -ESRCH;
        if (now.error == 0) now.error = sys::call(SYS_ptrace, PTRACE_GETREGS, tid, 0, sys::arg(&now.found));
        if (now.error == 0) {
            step_to(stands);
            wait_while(stands);
        }
        sys::call(SYS_ptrace, PTRACE_DETACH, tid, 0, 0);
    }
    if (now.error != 0) step_to(refused);
    sys::call(SYS_exit, 0);
    __builtin_unreachable();
}

// --- By a signal ---

constexpr long signal_used = 62; // far from those that programs count up from SIGRTMIN, and not SIGRTMAX, which weft has a use for

WEFT_NO_TSAN void on_signal(int, siginfo_t* info, void* context) noexcept {
    if (info->si_code != SI_TKILL || info->si_pid != sys::getpid() || now.tid != sys::gettid()) return;
    if (__atomic_load_n(&now.step, __ATOMIC_SEQ_CST) != begins) return;
    const auto& g = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
    const auto at = [&](int n) { return static_cast<std::uint64_t>(g[n]); };
    now.found.r12 = at(REG_R12);
    now.found.r13 = at(REG_R13);
    now.found.r14 = at(REG_R14);
    now.found.r15 = at(REG_R15);
    now.found.rbx = at(REG_RBX);
    now.found.rbp = at(REG_RBP);
    now.found.rsp = at(REG_RSP);
    now.found.rip = at(REG_RIP);
    step_to(stands);
    wait_while(stands);
}

/// 'R' for one that runs, 'S' for one that sleeps; 0: there is none.
char state_of(int tid) noexcept {
    char path[64] = "/proc/self/task/";
    char* const end = std::to_chars(path + sizeof "/proc/self/task/" - 1, path + 48, tid).ptr;
    std::memcpy(end, "/stat", sizeof "/stat");
    const long fd = sys::call(SYS_openat, AT_FDCWD, sys::arg(path), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    char text[512];
    const long n = sys::call(SYS_read, fd, sys::arg(text), sizeof text - 1);
    sys::close(static_cast<int>(fd));
    text[n < 0 ? 0 : n] = 0;
    const char* const name_ends = std::strrchr(text, ')');
    return name_ends == nullptr || name_ends[1] == 0 ? '\0' : name_ends[2];
}

} // namespace

stopped_thread::stopped_thread(int tid) noexcept {
    if constexpr (sanitizer::tsan) { // it keeps signals back, and loses track where a child shares its memory
        failure_ = "ThreadSanitizer does not let a thread be stopped";
        return;
    }
    if (in_use.exchange(true, std::memory_order_acquire)) {
        failure_ = "another thread is being looked at";
        return;
    }
    if (!trace(tid) && !interrupt(tid)) {
        if (failure_ == nullptr) failure_ = "it sleeps in a system call, and may not be traced";
        in_use.store(false, std::memory_order_release);
    }
}

bool stopped_thread::trace(int tid) noexcept {
    now.tid = tid;
    now.error = 0;
    __atomic_store_n(&now.step, 0, __ATOMIC_SEQ_CST);
    child_ = ::clone(trace_it, child_stack + sizeof child_stack, CLONE_VM | CLONE_FILES | CLONE_UNTRACED, nullptr);
    if (child_ < 0) return false;
    sys::call(SYS_prctl, PR_SET_PTRACER, child_); // where Yama wants it
    step_to(begins);
    wait_while(begins);
    sys::call(SYS_prctl, PR_SET_PTRACER, 0);
    if (__atomic_load_n(&now.step, __ATOMIC_SEQ_CST) == stands) {
        registers_ = from_kernel(now.found);
        traced_ = true;
        return true;
    }
    sys::call(SYS_wait4, child_, 0, __WALL, 0);
    return false;
}

bool stopped_thread::interrupt(int tid) noexcept {
    constexpr timespec patience{0, 50'000'000};
    if (state_of(tid) != 'R') return false;
    struct sigaction ours {}, before {};
    if (::sigaction(signal_used, nullptr, &before) != 0) return false;
    if (before.sa_sigaction != on_signal) {
        if (before.sa_handler != SIG_DFL) {
            failure_ = "the program uses the signal that would stop it";
            return false;
        }
        ours.sa_sigaction = on_signal;
        ours.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK;
        ::sigfillset(&ours.sa_mask);
        if (::sigaction(signal_used, &ours, nullptr) != 0) return false;
    }
    now.tid = tid;
    __atomic_store_n(&now.step, begins, __ATOMIC_SEQ_CST);
    if (sys::call(SYS_tgkill, sys::getpid(), tid, signal_used) != 0) return false;
    if (!wait_while(begins, &patience)) {
        // It may come yet: it finds another step.
        std::uint32_t expected = begins;
        if (__atomic_compare_exchange_n(&now.step, &expected, ends, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
            failure_ = "it did not stop for a signal";
            return false;
        }
    }
    registers_ = from_kernel(now.found);
    interrupted_ = true;
    return true;
}

stopped_thread::~stopped_thread() {
    if (!traced_ && !interrupted_) return;
    step_to(ends);
    if (traced_) sys::call(SYS_wait4, child_, 0, __WALL, 0);
    in_use.store(false, std::memory_order_release);
}

} // namespace weft::rt
