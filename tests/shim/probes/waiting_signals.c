// SPDX-License-Identifier: Apache-2.0
// sigwait, sigwaitinfo, sigtimedwait: signals that are blocked and accepted.
#include "probe.h"

#include <pthread.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>

static sigset_t only(int a, int b) {
    sigset_t set;
    sigemptyset(&set);
    if (a) sigaddset(&set, a);
    if (b) sigaddset(&set, b);
    return set;
}

static sigset_t before;
static sigset_t hold(int a, int b) {
    const sigset_t set = only(a, b);
    sigprocmask(SIG_BLOCK, &set, &before);
    return set;
}
static void let_go(void) { sigprocmask(SIG_SETMASK, &before, NULL); }

static void accepted(const siginfo_t* info) {
    fact("number", info->si_signo);
    fact("code", info->si_code);
}

PROBE(sigwait_pending) {
    const sigset_t set = hold(SIGUSR1, 0);
    raise(SIGUSR1);
    int number = 0;
    begin();
    done(sigwait(&set, &number), NULL, -1);
    fact("number", number);
    sigset_t left;
    sigpending(&left);
    fact("still_pending", sigismember(&left, SIGUSR1));
    let_go();
}

PROBE(sigwait_blocks) {
    const sigset_t set = hold(SIGUSR1, SIGUSR2);
    PEER { delay(60); poke(SIGUSR2); }
    int number = 0;
    begin();
    done(sigwait(&set, &number), NULL, -1);
    fact("number", number);
    reap();
    let_go();
}

// Several at once: the lowest number first, a standard signal once, a queued one as often as it came.
PROBE(order) {
    sigset_t set = hold(SIGUSR1, SIGUSR2);
    sigaddset(&set, SIGRTMIN + 2);
    sigprocmask(SIG_BLOCK, &set, NULL);
    for (int i = 0; i < 3; ++i) {
        raise(SIGUSR2);
        raise(SIGUSR1);
        const union sigval value = {.sival_int = 40 + i};
        sigqueue(getpid(), SIGRTMIN + 2, value);
    }
    for (int i = 0; i < 6; ++i) {
        siginfo_t info;
        memset(&info, 0, sizeof info);
        const struct timespec none = {0, 0};
        label("order/%d", i);
        begin();
        done(sigtimedwait(&set, &info, &none), NULL, -1);
        accepted(&info);
        fact("value", info.si_code == SI_QUEUE ? info.si_value.sival_int : 0);
    }
    let_go();
}

// The kernel tells a signal to one thread from one to the process, libc does not.
PROBE(code_by_number) {
    const sigset_t set = hold(SIGUSR1, SIGUSR2);
    const struct timespec none = {0, 0};
    siginfo_t info;
    raise(SIGUSR1);
    kill(getpid(), SIGUSR2);
    for (int i = 0; i < 2; ++i) {
        memset(&info, 0, sizeof info);
        label("syscall.flags/rt_sigtimedwait#%d", i);
        begin();
        done(syscall(SYS_rt_sigtimedwait, &set, &info, &none, 8), NULL, -1);
        accepted(&info);
    }
    let_go();
}

PROBE(sigwaitinfo_blocks) {
    const sigset_t set = hold(SIGUSR1, 0);
    PEER { delay(60); poke(SIGUSR1); }
    siginfo_t info;
    memset(&info, 0, sizeof info);
    begin();
    done(sigwaitinfo(&set, &info), NULL, -1);
    accepted(&info);
    fact("from_child", info.si_pid != getpid() && info.si_pid > 0);
    reap();
    let_go();
}

PROBE(sigwaitinfo_without_info) {
    const sigset_t set = hold(SIGUSR1, 0);
    PEER { delay(60); poke(SIGUSR1); }
    begin();
    done(sigwaitinfo(&set, NULL), NULL, -1);
    reap();
    let_go();
}

PROBE(child_ended) {
    const sigset_t set = hold(SIGCHLD, 0);
    siginfo_t info;
    memset(&info, 0, sizeof info);
    PEER { delay(60); raw(SYS_exit_group, 7); }
    begin();
    done(sigwaitinfo(&set, &info), NULL, -1);
    accepted(&info);
    fact("status", info.si_status);
    reap();
    let_go();
}

PROBE(sigtimedwait_times_out) {
    const sigset_t set = hold(SIGUSR1, 0);
    const struct timespec some = {0, 70000000}, none = {0, 0};
    begin();
    done(sigtimedwait(&set, NULL, &some), NULL, -1);
    begin();
    done(sigtimedwait(&set, NULL, &none), NULL, -1);
    let_go();
}

PROBE(sigtimedwait_in_time) {
    const sigset_t set = hold(SIGUSR1, 0);
    const struct timespec long_time = {5, 0};
    siginfo_t info;
    memset(&info, 0, sizeof info);
    PEER { delay(60); poke(SIGUSR1); }
    begin();
    done(sigtimedwait(&set, &info, &long_time), NULL, -1);
    accepted(&info);
    reap();
    let_go();
}

PROBE(bad) {
    const sigset_t set = hold(SIGUSR1, 0);
    const struct timespec negative = {-1, 0}, odd = {0, 1000000000}, none = {0, 0};
    const sigset_t* volatile nowhere = (const sigset_t*)8;
    const struct timespec* volatile no_time = (const struct timespec*)8;
    label("bad/negative");
    begin();
    done(sigtimedwait(&set, NULL, &negative), NULL, -1);
    label("bad/odd");
    begin();
    done(sigtimedwait(&set, NULL, &odd), NULL, -1);
    label("bad/set");
    begin();
    done(sigtimedwait(nowhere, NULL, &none), NULL, -1);
    label("bad/time");
    begin();
    done(sigtimedwait(&set, NULL, no_time), NULL, -1);
    label("bad/sigwait");
    int number = 0;
    begin();
    done_code(sigwait(nowhere, &number), NULL);
    let_go();
}

// Another signal's handler ends sigwaitinfo, also with SA_RESTART; sigwait goes on.
static void other_handler(int flags, const char* name) {
    const sigset_t set = hold(SIGUSR1, 0);
    handle(SIGUSR2, flags);
    label("sigwaitinfo/%s", name);
    PEER { delay(60); poke(SIGUSR2); }
    begin();
    done(sigwaitinfo(&set, NULL), NULL, -1);
    fact("caught", caught);
    reap();
    label("sigtimedwait/%s", name);
    const struct timespec long_time = {5, 0};
    PEER { delay(60); poke(SIGUSR2); }
    begin();
    done(sigtimedwait(&set, NULL, &long_time), NULL, -1);
    fact("caught", caught);
    reap();
    label("sigwait/%s", name);
    PEER { delay(60); poke(SIGUSR2); delay(60); poke(SIGUSR1); }
    int number = 0;
    begin();
    done(sigwait(&set, &number), NULL, -1);
    fact("number", number);
    fact("caught", caught);
    reap();
    let_go();
}
PROBE(eintr) { other_handler(0, "eintr"); }
PROBE(restart) { other_handler(SA_RESTART, "restart"); }

// A signal that is not blocked, and has a handler, is accepted all the same while it is waited for.
PROBE(not_blocked) {
    handle(SIGUSR1, 0);
    const sigset_t set = only(SIGUSR1, 0);
    PEER { delay(60); poke(SIGUSR1); }
    begin();
    done(sigwaitinfo(&set, NULL), NULL, -1);
    fact("caught", caught);
    reap();
    sigset_t now;
    sigprocmask(SIG_BLOCK, NULL, &now);
    fact("blocked_after", sigismember(&now, SIGUSR1));
    raise(SIGUSR1);
    fact("caught_after", caught);
}

PROBE(alarm_accepted) {
    const sigset_t set = hold(SIGALRM, 0);
    const struct itimerval every = {{0, 40000}, {0, 40000}}, never = {{0, 0}, {0, 0}};
    setitimer(ITIMER_REAL, &every, NULL);
    for (int i = 0; i < 3; ++i) {
        int number = 0;
        label("alarm/%d", i);
        begin();
        done(sigwait(&set, &number), NULL, -1);
    }
    setitimer(ITIMER_REAL, &never, NULL);
    const struct timespec none = {0, 0};
    sigtimedwait(&set, NULL, &none);
    let_go();
}

PROBE(forked) {
    const sigset_t set = hold(SIGUSR1, 0);
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        int number = 0;
        label("forked/child");
        begin();
        done(sigwait(&set, &number), NULL, -1);
        _exit(0);
    }
    delay(30); // shorter than what the child would have to count through: it has one fiber
    raw(SYS_kill, child, SIGUSR1);
    reap();
    let_go();
}

// Two threads with sets of their own: each gets its own.
static void* wait_for_second(void* unused) {
    (void)unused;
    const sigset_t set = only(SIGUSR2, 0);
    int number = 0;
    sigwait(&set, &number);
    return (void*)(long)number;
}
PROBE(two) {
    const sigset_t set = hold(SIGUSR1, SIGUSR2), mine = only(SIGUSR1, 0);
    (void)set;
    PEER { delay(60); poke(SIGUSR2); delay(60); poke(SIGUSR1); }
    pthread_t other;
    pthread_create(&other, NULL, wait_for_second, NULL);
    int number = 0;
    begin();
    done(sigwait(&mine, &number), NULL, -1);
    fact("number", number);
    void* result = NULL;
    pthread_join(other, &result);
    fact("other", (long)result);
    reap();
    let_go();
}
