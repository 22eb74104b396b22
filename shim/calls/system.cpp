// SPDX-License-Identifier: Apache-2.0
// system(3), as libc has it, but for the wait. Every system() of the process is made here, also where it is not served: those that are under way
// are counted, since the first of them ignores SIGINT and SIGQUIT and the last restores them.
#include "calls/children.hpp"
#include "calls/process.hpp"
#include "calls/wait.hpp"
#include "core/call_mask.hpp"
#include "core/real.hpp"

#include "core/sys.hpp"

#include <weft/detail/spinlock.hpp>

#include <mutex>

#include <spawn.h>

namespace weft::shim::process {

namespace {

constinit rt::spinlock lock; // guards what follows
constinit int under_way = 0;
constinit struct sigaction had_interrupt, had_quit;

/// The sets of signals that the shell has back as they were.
sigset_t begin_ignoring() noexcept {
    struct sigaction ignore {};
    ignore.sa_handler = SIG_IGN;
    sigset_t had_default;
    sigemptyset(&had_default);
    const std::lock_guard hold(lock);
    if (under_way++ == 0) {
        signals::action(SIGINT, &ignore, &had_interrupt);
        signals::action(SIGQUIT, &ignore, &had_quit);
    }
    if (had_interrupt.sa_handler != SIG_IGN) sigaddset(&had_default, SIGINT);
    if (had_quit.sa_handler != SIG_IGN) sigaddset(&had_default, SIGQUIT);
    return had_default;
}

void end_ignoring() noexcept {
    const std::lock_guard hold(lock);
    if (--under_way != 0) return;
    signals::action(SIGINT, &had_interrupt, nullptr);
    signals::action(SIGQUIT, &had_quit, nullptr);
}

/// SIGCHLD is blocked while the call waits. Where the fiber takes no signals, or nobody handles it, nothing is to be seen of that.
bool blocks_sigchld(const signals::wait& w) noexcept {
    if (rt::this_thread_state.running == nullptr) return true;
    struct sigaction a {};
    signals::action(SIGCHLD, nullptr, &a);
    return w.takes_signals() && a.sa_handler != SIG_DFL && a.sa_handler != SIG_IGN;
}

/// A thread that is cancelled in the wait is unwound from there: as libc does, it takes the shell along.
struct cancelled {
    ~cancelled() {
        if (shell <= 0) return;
        rt::sys::call(SYS_kill, shell, SIGKILL);
        while (rt::sys::call(SYS_wait4, shell) == -EINTR) {}
        end_ignoring();
    }
    pid_t shell = 0;
};

/// How the shell ended, or -1. One that nobody will wait for any more is killed.
int await_shell(pid_t shell, bool served) {
    int status = -1;
    pid_t got = 0;
    do got = served ? waitpid(shell, &status, 0) : real().waitpid(shell, &status, 0);
    while (got < 0 && errno == EINTR);
    if (got == shell) return status;
    if (served && (errno == ECANCELED || errno == ETIMEDOUT)) {
        const int error = errno;
        rt::sys::call(SYS_kill, shell, SIGKILL);
        reap(shell, &status);
        errno = error;
    }
    return -1;
}

int run(const char* line, bool served) {
    const int saved_errno = errno;
    if (served) {
        if (const int error = refused_wait(); error != 0) return fail(error);
    }
    const sigset_t had_default = begin_ignoring();
    int status = -1, error = 0, end_error = 0;
    {
        const signals::wait signals;
        sigset_t mask, sigchld;
        sigemptyset(&sigchld);
        sigaddset(&sigchld, SIGCHLD);
        {
            const program_mask here;
            ::pthread_sigmask(SIG_BLOCK, nullptr, &mask);
        }
        call_mask blocked;
        if (blocks_sigchld(signals)) blocked.begin(SIG_BLOCK, sigchld);
        posix_spawnattr_t how;
        ::posix_spawnattr_init(&how);
        ::posix_spawnattr_setsigmask(&how, &mask);
        ::posix_spawnattr_setsigdefault(&how, &had_default);
        ::posix_spawnattr_setflags(&how, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
        const char* const arguments[] = {"sh", "-c", line, nullptr};
        pid_t shell = -1;
        error = real().posix_spawn(&shell, "/bin/sh", nullptr, &how, const_cast<char**>(arguments), ::environ);
        ::posix_spawnattr_destroy(&how);
        errno = saved_errno; // a wait that was interrupted changes it, as libc's does
        cancelled meanwhile;
        if (error == 0) meanwhile.shell = shell;
        status = error != 0 ? 127 << 8 : await_shell(shell, served);
        end_error = errno;
        meanwhile.shell = 0;
        end_ignoring();
    }
    errno = error != 0 ? error : end_error;
    return status;
}

} // namespace

void system_after_fork() noexcept { lock.reset(); }

int system(const char* line) { return line == nullptr ? run("exit 0", true) == 0 : run(line, true); }
int bare_system(const char* line) { return line == nullptr ? run("exit 0", false) == 0 : run(line, false); }

} // namespace weft::shim::process
