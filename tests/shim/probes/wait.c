// SPDX-License-Identifier: Apache-2.0
// wait, waitpid, wait3, wait4, waitid: which child, what it did, and what signals, flags and mistakes make of the call.
#include "probe.h"

#include <sys/ptrace.h>
#include <sys/resource.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

static int word;
static struct rusage usage;
static siginfo_t info;

// Forks a child that lives for so long and ends with that status.
static pid_t child_for(long ms, int status) {
    fflush(stdout);
    probe_parent = getpid();
    const pid_t pid = must(fork(), "fork");
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        delay(ms);
        raw(SYS_exit_group, status);
    }
    return pid;
}

static long is(pid_t got, pid_t wanted) { return got == wanted && got > 0 ? 1 : got; }

// The call's result is printed as 1 where it is the child.
#define found(call, pid) done(is(call, pid), NULL, word)

static const char* cause_name(void) {
    switch (info.si_code) {
    case CLD_EXITED: return "exited";
    case CLD_KILLED: return "killed";
    case CLD_DUMPED: return "dumped";
    case CLD_STOPPED: return "stopped";
    case CLD_CONTINUED: return "continued";
    case CLD_TRAPPED: return "trapped";
    default: return info.si_code == 0 ? "none" : "other";
    }
}

// waitid's outcome: the result, then what the record says.
#define record(call, pid) (done(call, NULL, -1), record_facts(pid))
static void record_facts(pid_t pid) {
    const int step = probe_step;
    char before[96];
    strcpy(before, probe_label);
    label("%.40s#%d/%s", before, step, cause_name());
    probe_line(info.si_pid == pid && pid > 0 ? 1 : info.si_pid, 0, NULL, 0, info.si_status, -1);
    strcpy(probe_label, before);
    label("%.40s#%d/record", before, step);
    probe_line(info.si_signo, info.si_errno, NULL, 0, info.si_uid == getuid(), -1);
    strcpy(probe_label, before);
    probe_step = step;
}

static void clear(void) {
    word = -2;
    memset(&info, 0x77, sizeof info);
}

PROBE(ready) {
    for (int i = 0; i < 7; ++i) {
        label("ready/%d", i);
        clear();
        const pid_t pid = child_for(0, 40 + i);
        raw(SYS_waitid, P_PID, pid, NULL, WEXITED | WNOWAIT, NULL);
        begin();
        switch (i) {
        case 0: found(wait(&word), pid); break;
        case 1: found(waitpid(pid, &word, 0), pid); break;
        case 2: found(waitpid(-1, &word, WNOHANG), pid); break;
        case 3: found(wait3(&word, 0, &usage), pid); break;
        case 4: found(wait4(pid, &word, 0, &usage), pid); break;
        case 5: record(waitid(P_PID, pid, &info, WEXITED), pid); break;
        case 6: record(waitid(P_ALL, 0, &info, WEXITED | WNOHANG), pid); break;
        }
    }
}

PROBE(blocks) {
    for (int i = 0; i < 14; ++i) {
        label("blocks/%d", i);
        clear();
        memset(&usage, 0x55, sizeof usage);
        const pid_t pid = child_for(60, 20 + i);
        const int fd = (int)raw(SYS_pidfd_open, pid, 0);
        if (i == 6 || i == 11) setpgid(pid, pid);
        begin();
        switch (i) {
        case 0: found(wait(&word), pid); break;
        case 1: found(waitpid(pid, &word, 0), pid); break;
        case 2: found(waitpid(-1, &word, 0), pid); break;
        case 3: found(waitpid(0, &word, 0), pid); break;
        case 4: found(wait3(&word, 0, &usage), pid); break;
        case 5: found(wait4(pid, &word, 0, &usage), pid); break;
        case 6: found(waitpid(-pid, &word, 0), pid); break;
        case 7: found(waitpid(pid, NULL, 0), pid); break;
        case 8: found(waitpid(pid, &word, WUNTRACED | WCONTINUED), pid); break;
        case 9: record(waitid(P_PID, pid, &info, WEXITED), pid); break;
        case 10: record(waitid(P_ALL, 99, &info, WEXITED), pid); break;
        case 11: record(waitid(P_PGID, pid, &info, WEXITED | WSTOPPED), pid); break;
        case 12: record(waitid(P_PIDFD, fd, &info, WEXITED), pid); break;
        case 13: found(waitpid(pid, &word, __WALL), pid); break;
        }
        close(fd);
        fact("usage", (i == 4 || i == 5) ? usage.ru_nswap : -1); // 0: it was written
        errno = 0;
        begin();
        done(waitpid(pid, &word, 0), NULL, -1);
    }
}

PROBE(signalled) {
    const pid_t pid = child_for(10000, 0);
    PEER { delay(60); kill(pid, SIGTERM); }
    begin();
    found(waitpid(pid, &word, 0), pid);
    reap();
    const pid_t other = child_for(10000, 0);
    PEER { delay(60); kill(other, SIGKILL); }
    begin();
    record(waitid(P_PID, other, &info, WEXITED), other);
    reap();
}

PROBE(stops) {
    label("stops");
    clear();
    const pid_t pid = child_for(10000, 0);
    PEER { delay(60); kill(pid, SIGSTOP); delay(120); kill(pid, SIGCONT); delay(60); kill(pid, SIGSTOP); delay(60); kill(pid, SIGKILL); }
    begin();
    found(waitpid(pid, &word, WUNTRACED), pid);
    begin();
    found(waitpid(pid, &word, WNOHANG | WUNTRACED), pid); // told once
    begin();
    found(waitpid(pid, &word, WCONTINUED), pid);
    begin();
    record(waitid(P_PID, pid, &info, WSTOPPED | WNOWAIT), pid);
    begin();
    record(waitid(P_PID, pid, &info, WSTOPPED), pid);
    begin();
    found(waitpid(pid, &word, 0), pid); // stops are not for it
    reap();
}

PROBE(nowait) {
    label("nowait");
    clear();
    const pid_t pid = child_for(60, 3);
    begin();
    record(waitid(P_PID, pid, &info, WEXITED | WNOWAIT), pid);
    begin();
    record(waitid(P_ALL, 0, &info, WEXITED | WNOWAIT), pid);
    begin();
    done(waitid(P_PID, pid, NULL, WEXITED), NULL, -1);
    begin();
    record(waitid(P_PID, pid, &info, WEXITED), 0);
}

PROBE(nohang) {
    label("nohang");
    clear();
    const pid_t pid = child_for(10000, 0);
    begin();
    found(waitpid(pid, &word, WNOHANG), pid);
    begin();
    found(waitpid(-1, &word, WNOHANG), pid);
    begin();
    record(waitid(P_PID, pid, &info, WEXITED | WNOHANG), 0);
    const int fd = (int)raw(SYS_pidfd_open, pid, O_NONBLOCK);
    clear();
    begin();
    record(waitid(P_PIDFD, fd, &info, WEXITED), 0);
    close(fd);
    kill(pid, SIGKILL);
    begin();
    found(waitpid(pid, &word, 0), pid);
}

PROBE(errors) {
    clear();
    label("errors/none");
    begin();
    done(wait(&word), NULL, word);
    begin();
    done(waitpid(-1, &word, WNOHANG), NULL, word);
    begin();
    done(waitpid(1, &word, 0), NULL, word);
    begin();
    done(waitpid(getpid(), &word, 0), NULL, word);
    begin();
    done(waitpid(0, &word, 0), NULL, word);
    begin();
    done(waitpid(-getpid() - 1, &word, 0), NULL, word);
    begin();
    record(waitid(P_ALL, 0, &info, WEXITED), 0);
    label("errors/arguments");
    const pid_t pid = child_for(60, 0);
    begin();
    done(waitpid(pid, &word, 0x4000000), NULL, word);
    begin();
    done(waitpid(INT32_MIN, &word, 0), NULL, word);
    begin();
    record(waitid(P_PID, pid, &info, 0), 0);
    begin();
    record(waitid(P_PID, 0, &info, WEXITED), 0);
    begin();
    record(waitid((idtype_t)77, pid, &info, WEXITED), 0);
    begin();
    record(waitid(P_PIDFD, 999, &info, WEXITED), 0);
    begin();
    done(waitpid(pid, (int*)8, 0), NULL, -1); // reaped, but nobody is told how it ended
    begin();
    done(waitpid(pid, &word, 0), NULL, -1);
    const pid_t other = child_for(60, 0);
    begin();
    done(waitid(P_PID, other, (siginfo_t*)8, WEXITED), NULL, -1);
    begin();
    done(waitpid(other, &word, 0), NULL, -1);
}

// Forks a child that ends so long after somebody has put something into the pipe, and with that status: it cannot be too early.
static pid_t child_until(const int p[2], long ms, int status) {
    fflush(stdout);
    probe_parent = getpid();
    const pid_t pid = must(fork(), "fork");
    if (pid == 0) {
        char told;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        while (raw(SYS_read, p[0], &told, 1) < 0) {}
        delay(ms);
        raw(SYS_exit_group, status);
    }
    return pid;
}

// A peer that is not to end before the caller says so is at the end of a pipe.
static int after_peer[2];
static void stay(void) {
    char told;
    close(after_peer[1]);
    while (raw(SYS_read, after_peer[0], &told, 1) < 0) {}
}
static void let_go(void) {
    close(after_peer[1]);
    reap();
    close(after_peer[0]);
}

PROBE(eintr) {
    for (int i = 0; i < 3; ++i) {
        label("eintr/%d", i);
        clear();
        handle(SIGUSR1, 0);
        int p[2];
        must(pipe(p), "pipe");
        const pid_t pid = child_until(p, 120, 1);
        must(pipe(after_peer), "pipe");
        PEER { delay(60); poke(SIGUSR1); stay(); }
        begin();
        if (i == 0) found(waitpid(pid, &word, 0), pid);
        if (i == 1) found(waitpid(-1, &word, 0), pid);
        if (i == 2) record(waitid(P_PID, pid, &info, WEXITED), pid);
        fact("handlers", caught);
        put(p[1], "!");
        begin();
        found(waitpid(pid, &word, 0), pid);
        let_go();
        close(p[0]);
        close(p[1]);
    }
}

PROBE(restart) {
    for (int i = 0; i < 3; ++i) {
        label("restart/%d", i);
        clear();
        handle(SIGUSR1, SA_RESTART);
        handle(SIGUSR2, SA_RESTART);
        int p[2];
        must(pipe(p), "pipe");
        const pid_t pid = child_until(p, 0, 1);
        must(pipe(after_peer), "pipe");
        PEER { delay(60); poke(SIGUSR1); delay(60); poke(SIGUSR2); delay(60); put(p[1], "!"); stay(); }
        begin();
        if (i == 0) found(waitpid(pid, &word, 0), pid);
        if (i == 1) found(waitpid(-1, &word, 0), pid);
        if (i == 2) record(waitid(P_PID, pid, &info, WEXITED), pid);
        fact("handlers", caught);
        let_go();
        close(p[0]);
        close(p[1]);
    }
}

static long handler_reaped;
static void reap_all(int number) {
    (void)number;
    const int saved = errno;
    while (waitpid(-1, NULL, WNOHANG) > 0) ++handler_reaped;
    errno = saved;
}

// The waiting call has the child before the handler of SIGCHLD can look for it.
PROBE(sigchld_handler) {
    for (int flags = 0; flags < 2; ++flags) {
        struct sigaction a = {.sa_handler = reap_all, .sa_flags = flags ? SA_RESTART : 0};
        sigaction(SIGCHLD, &a, NULL);
        for (int i = 0; i < 2; ++i) {
            label("sigchld_handler/%d%d", flags, i);
            clear();
            handler_reaped = 0;
            const pid_t pid = child_for(60, 6);
            begin();
            found(waitpid(i ? -1 : pid, &word, 0), pid);
            fact("reaped", handler_reaped);
        }
    }
    signal(SIGCHLD, SIG_DFL);
}

PROBE(sigchld_ignored) {
    for (int i = 0; i < 4; ++i) {
        label("sigchld_ignored/%d", i);
        clear();
        struct sigaction a = {.sa_handler = i % 2 ? on_signal : SIG_IGN, .sa_flags = i % 2 ? SA_NOCLDWAIT | SA_RESTART : 0};
        sigaction(SIGCHLD, &a, NULL);
        const pid_t pid = child_for(60, 6);
        child_for(120, 6);
        begin();
        found(waitpid(i < 2 ? pid : -1, &word, 0), pid); // until it has ended, or all have
        begin();
        done(waitpid(-1, &word, 0), NULL, word);
    }
    signal(SIGCHLD, SIG_DFL);
}

PROBE(several) {
    label("several");
    pid_t pids[3];
    for (int i = 0; i < 3; ++i) pids[i] = child_for(60 * (i + 1), 10 + i);
    for (int i = 0; i < 3; ++i) {
        begin();
        found(waitpid(-1, &word, 0), pids[i]);
    }
    begin();
    done(waitpid(-1, &word, 0), NULL, word);
}

// A stop for the tracer is told without WUNTRACED.
PROBE(traced) {
    label("traced");
    clear();
    fflush(stdout);
    const pid_t pid = must(fork(), "fork");
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        raw(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0);
        raw(SYS_kill, getpid(), SIGUSR2);
        delay(60);
        raw(SYS_kill, getpid(), SIGUSR2);
        raw(SYS_exit_group, 4);
    }
    begin();
    found(waitpid(pid, &word, 0), pid);
    ptrace(PTRACE_CONT, pid, NULL, NULL);
    begin();
    found(waitpid(pid, &word, 0), pid);
    ptrace(PTRACE_CONT, pid, NULL, NULL);
    begin();
    found(waitpid(pid, &word, 0), pid);
}

PROBE(in_child) {
    label("in_child");
    fflush(stdout);
    const pid_t pid = must(fork(), "fork");
    if (pid == 0) {
        const pid_t grandchild = child_for(60, 11);
        int status = 0;
        const pid_t got = waitpid(grandchild, &status, 0);
        _exit(got == grandchild ? WEXITSTATUS(status) : 99);
    }
    begin();
    found(waitpid(pid, &word, 0), pid);
}
