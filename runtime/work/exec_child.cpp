// SPDX-License-Identifier: Apache-2.0
#include "work/exec_child.hpp"

#include "core/sys.hpp"

#include <atomic>
#include <cerrno>
#include <climits>

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

// The child never returns from what it calls, so that no tool may keep books of it.
#define WEFT_IN_CHILD [[gnu::no_sanitize("address", "undefined", "thread"), gnu::noinline]]

namespace weft::rt {

namespace {

struct kernel_action {
    void (*handler)(int);
    unsigned long flags;
    void (*restorer)();
    std::uint64_t mask;
};
constexpr std::size_t kernel_mask_size = 8;

struct errand {
    const exec_plan& plan;
    std::atomic<int>& error; // in memory that is shared also with a child that has its own
};

/// No handler of the parent may run in the child, on memory that is the parent's; what is ignored stays so.
WEFT_IN_CHILD void reset_signals(bool restore) noexcept {
    for (int s = 1; s <= 64; ++s) {
        kernel_action a{};
        if (sys::call(SYS_rt_sigaction, s, 0, sys::arg(&a), kernel_mask_size) < 0) continue;
        if (a.handler == SIG_DFL || (a.handler == SIG_IGN && !(restore && (s == SIGPIPE || s == SIGXFSZ)))) continue;
        kernel_action standard{};
        sys::call(SYS_rt_sigaction, s, sys::arg(&standard), 0, kernel_mask_size);
    }
}

WEFT_IN_CHILD long become(int fd, int number) noexcept {
    return fd == number ? sys::call(SYS_fcntl, fd, F_SETFD, 0) : sys::call(SYS_dup2, fd, number);
}

WEFT_IN_CHILD long set_streams(const exec_plan& p) noexcept {
    long result = 0;
    for (int i = 0; i < 3 && result >= 0; ++i) {
        if (p.streams[i] >= 0) {
            result = become(p.streams[i], i);
        } else if (p.null_streams[i]) {
            result = sys::call(SYS_openat, AT_FDCWD, sys::arg("/dev/null"), O_RDWR, 0);
            if (result >= 0 && result != i) {
                const long opened = result;
                result = sys::call(SYS_dup2, opened, i);
                sys::call(SYS_close, opened);
            }
        }
    }
    return result >= 0 && p.errors_to_output ? become(1, 2) : result;
}

WEFT_IN_CHILD void close_range(unsigned first, unsigned last) noexcept {
    if (first > last || sys::call(SYS_close_range, first, last, 0) != -ENOSYS) return;
    rlimit most{};
    sys::call(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, sys::arg(&most));
    for (unsigned fd = first; fd <= last && fd < most.rlim_cur; ++fd) sys::call(SYS_close, fd);
}

WEFT_IN_CHILD long keep_passed(const exec_plan& p) noexcept {
    unsigned next = 3;
    for (std::size_t i = 0; i < p.passed_count; ++i) {
        const int fd = p.passed[i];
        if (const long result = sys::call(SYS_fcntl, fd, F_SETFD, 0); result < 0) return result;
        if (p.close_others && fd >= static_cast<int>(next)) close_range(next, static_cast<unsigned>(fd) - 1);
        if (fd >= static_cast<int>(next)) next = static_cast<unsigned>(fd) + 1;
    }
    if (p.close_others) close_range(next, UINT_MAX);
    return 0;
}

WEFT_IN_CHILD long set_identity(const exec_plan& p) noexcept {
    long result = 0;
    if (p.set_groups) result = sys::call(SYS_setgroups, static_cast<long>(p.group_count), sys::arg(p.groups));
    if (result >= 0 && p.group >= 0) result = sys::call(SYS_setregid, p.group, p.group);
    if (result >= 0 && p.user >= 0) result = sys::call(SYS_setreuid, p.user, p.user);
    return result;
}

/// In order: the last thing that can be undone by nobody is exec. The error; never 0.
WEFT_IN_CHILD long prepare_and_exec(const exec_plan& p) noexcept {
    reset_signals(p.restore_signals);
    long result = 0;
    if (p.folder >= 0) result = sys::call(SYS_fchdir, p.folder);
    if (result >= 0) result = set_streams(p);
    if (p.umask >= 0) sys::call(SYS_umask, p.umask);
    if (result >= 0 && p.new_session) result = sys::call(SYS_setsid);
    if (result >= 0 && p.process_group >= 0) result = sys::call(SYS_setpgid, 0, p.process_group);
    if (result >= 0) result = set_identity(p);
    if (result >= 0) result = keep_passed(p);
    if (result < 0) return -result;
    sys::call(SYS_rt_sigprocmask, SIG_SETMASK, sys::arg(&p.mask), 0, kernel_mask_size);
    long error = ENOENT;
    for (const char* const* place = p.places; *place != nullptr; ++place) {
        result = -sys::call(SYS_execve, sys::arg(*place), sys::arg(p.arguments), sys::arg(p.environment));
        if (result != ENOENT && result != ENOTDIR && result != EACCES) return result;
        if (result == EACCES) error = EACCES;
    }
    return error;
}

WEFT_IN_CHILD void run_in_child(void* e) noexcept {
    const errand& mine = *static_cast<const errand*>(e);
    mine.error.store(static_cast<int>(prepare_and_exec(mine.plan)), std::memory_order_relaxed);
    sys::call(SYS_exit_group, 127);
}

/// clone; the child calls `fn(what)` on the same stack, below all that its parent, which waits, may have there. The pid, or an error.
WEFT_IN_CHILD long clone_and_call(unsigned long flags, int* pidfd, void (*fn)(void*) noexcept, void* what) noexcept {
    long result = SYS_clone;
    register long child_tid asm("r10") = 0;
    register long tls asm("r8") = 0;
    asm volatile("syscall\n\t"
                 "testq %%rax, %%rax\n\t"
                 "jnz 1f\n\t"
                 "subq $512, %%rsp\n\t"
                 "andq $-16, %%rsp\n\t"
                 "movq %[what], %%rdi\n\t"
                 "call *%[fn]\n\t"
                 "hlt\n"
                 "1:"
                 : "+a"(result)
                 : "D"(flags), "S"(0L), "d"(pidfd), "r"(child_tid), "r"(tls), [fn] "r"(fn), [what] "r"(what)
                 : "rcx", "r11", "memory", "cc");
    return result;
}

} // namespace

exec_child start_exec_child(const exec_plan& plan) noexcept {
    exec_child made;
    const long page = sys::call(SYS_mmap, 0, sizeof(std::atomic<int>), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (page < 0 && page > -4096) {
        made.error = static_cast<int>(-page);
        return made;
    }
    auto& error = *reinterpret_cast<std::atomic<int>*>(page);
    errand mine{plan, error};
    // Who becomes somebody else has memory of its own: the kernel would note it on the parent's, which nobody could trace any more.
    const bool becomes_another = plan.set_groups || plan.group >= 0 || plan.user >= 0;
    const unsigned long flags = CLONE_VFORK | CLONE_PIDFD | SIGCHLD | (becomes_another ? 0UL : CLONE_VM);
    const std::uint64_t all = ~std::uint64_t{0};
    std::uint64_t before = 0;
    sys::call(SYS_rt_sigprocmask, SIG_SETMASK, sys::arg(&all), sys::arg(&before), kernel_mask_size);
    const long pid = clone_and_call(flags, &made.pidfd, run_in_child, &mine);
    sys::call(SYS_rt_sigprocmask, SIG_SETMASK, sys::arg(&before), 0, kernel_mask_size);

    made.error = pid < 0 ? static_cast<int>(-pid) : error.load(std::memory_order_relaxed);
    sys::call(SYS_munmap, page, sizeof(std::atomic<int>));
    if (made.error == 0) {
        made.pid = static_cast<pid_t>(pid);
    } else if (pid > 0) {
        siginfo_t info{};
        while (sys::call(SYS_waitid, made.pidfd >= 0 ? P_PIDFD : P_PID, made.pidfd >= 0 ? made.pidfd : pid, sys::arg(&info), WEXITED) == -EINTR) {}
        if (made.pidfd >= 0) sys::close(made.pidfd);
        made.pidfd = -1;
    }
    return made;
}

} // namespace weft::rt
