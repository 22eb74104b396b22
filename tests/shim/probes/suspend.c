// SPDX-License-Identifier: Apache-2.0
// pause, sigsuspend, sigpause: until a handler has run.
#include "probe.h"

#include <setjmp.h>

#pragma GCC diagnostic ignored "-Wdeprecated-declarations" // sigpause
extern int __sigsuspend(const sigset_t*);
extern int __sigpause(int, int);
extern int bsd_sigpause(int) __asm__("sigpause");

static sigset_t none(void) {
    sigset_t set;
    sigemptyset(&set);
    return set;
}

PROBE(pause_plain) {
    handle(SIGUSR1, 0);
    PEER { delay(60); poke(SIGUSR1); }
    begin();
    done(pause(), NULL, -1);
    fact("caught", caught);
}

PROBE(pause_restart) {
    handle(SIGUSR1, SA_RESTART);
    PEER { delay(60); poke(SIGUSR1); }
    begin();
    done(pause(), NULL, -1);
    fact("caught", caught);
}

PROBE(pause_alarm) {
    handle(SIGALRM, 0);
    const struct itimerval every = {{0, 40000}, {0, 40000}}, never = {{0, 0}, {0, 0}};
    setitimer(ITIMER_REAL, &every, NULL);
    for (int i = 0; i < 3; ++i) {
        label("pause_alarm/%d", i);
        begin();
        done(pause(), NULL, -1);
    }
    setitimer(ITIMER_REAL, &never, NULL);
    fact("caught", caught);
}

// Ignored signals and those whose default is to be ignored do not end it; nor do a stop and its continuation.
PROBE(pause_ignored) {
    signal(SIGUSR2, SIG_IGN);
    handle(SIGUSR1, 0);
    PEER { delay(30); poke(SIGUSR2); poke(SIGWINCH); delay(30); poke(SIGSTOP); delay(10); poke(SIGCONT); delay(30); poke(SIGUSR1); }
    begin();
    done(pause(), NULL, -1);
    fact("caught", caught);
    signal(SIGUSR2, SIG_DFL);
}

PROBE(pause_sigaction_info) {
    handle(SIGCHLD, SA_NOCLDSTOP);
    PEER { delay(60); }
    begin();
    done(pause(), NULL, -1);
    fact("caught", caught);
    signal(SIGCHLD, SIG_DFL);
}

// Blocked outside, let in by the call's mask: pending before, and coming later.
static void suspended(int (*call)(const sigset_t*), const char* name) {
    sigset_t set = none(), before, after;
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, &before);
    handle(SIGUSR1, SA_RESTART);
    label("%s/pending", name);
    raise(SIGUSR1);
    fact("caught_before", caught);
    begin();
    done(call(&before), NULL, -1);
    fact("caught", caught);
    label("%s/later", name);
    PEER { delay(60); poke(SIGUSR1); }
    begin();
    done(call(&before), NULL, -1);
    fact("caught", caught);
    sigprocmask(SIG_BLOCK, NULL, &after);
    fact("blocked_after", sigismember(&after, SIGUSR1));
    reap();
    // What the mask holds back stays pending.
    label("%s/held_back", name);
    handle(SIGUSR2, 0);
    sigset_t back = before;
    sigaddset(&back, SIGUSR1);
    PEER { delay(40); poke(SIGUSR1); delay(40); poke(SIGUSR2); }
    begin();
    done(call(&back), NULL, -1);
    fact("caught", caught);
    reap();
    sigprocmask(SIG_SETMASK, &before, NULL);
    fact("caught_at_last", caught);
}
PROBE(sigsuspend_plain) { suspended(sigsuspend, "sigsuspend"); }
PROBE(sigsuspend_alias) { suspended(__sigsuspend, "__sigsuspend"); }

static int seen_mask;
static void mask_handler(int number) {
    sigset_t now;
    sigprocmask(SIG_BLOCK, NULL, &now);
    seen_mask = sigismember(&now, number) | sigismember(&now, SIGUSR2) << 1 | sigismember(&now, SIGHUP) << 2 | sigismember(&now, SIGWINCH) << 3;
}

// The handler sees the call's mask, its own and the signal itself.
PROBE(mask_in_handler) {
    sigset_t set = none(), before, during;
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGWINCH);
    sigprocmask(SIG_BLOCK, &set, &before);
    during = before;
    sigaddset(&during, SIGHUP);
    for (int nodefer = 0; nodefer < 2; ++nodefer) {
        struct sigaction action;
        memset(&action, 0, sizeof action);
        action.sa_handler = mask_handler;
        action.sa_flags = nodefer ? SA_NODEFER : 0;
        sigaddset(&action.sa_mask, SIGUSR2);
        sigaction(SIGUSR1, &action, NULL);
        seen_mask = -1;
        PEER { delay(60); poke(SIGUSR1); }
        label("mask_in_handler/%d", nodefer);
        begin();
        done(sigsuspend(&during), NULL, -1);
        fact("mask", seen_mask);
        reap();
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    signal(SIGUSR1, SIG_DFL);
}

PROBE(sigsuspend_bad) {
    const sigset_t* volatile nowhere = (const sigset_t*)8;
    begin();
    done(sigsuspend(nowhere), NULL, -1);
}

PROBE(sigpause_bsd) {
    sigset_t set = none(), before;
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_BLOCK, &set, &before);
    handle(SIGUSR1, 0);
    handle(SIGUSR2, 0);
    PEER { delay(40); poke(SIGUSR2); delay(40); poke(SIGUSR1); }
    label("sigpause.eintr");
    begin();
    done(bsd_sigpause(1 << (SIGUSR2 - 1)), NULL, -1);
    fact("caught", caught);
    reap();
    label("__sigpause.eintr/bsd");
    begin();
    done(__sigpause(0, 0), NULL, -1);
    fact("caught", caught);
    sigprocmask(SIG_SETMASK, &before, NULL);
}

PROBE(sigpause_xpg) {
    sigset_t set = none(), before;
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_BLOCK, &set, &before);
    handle(SIGUSR1, 0);
    handle(SIGUSR2, 0);
    PEER { delay(40); poke(SIGUSR2); delay(40); poke(SIGUSR1); }
    label("__xpg_sigpause.eintr");
    begin();
    done(sigpause(SIGUSR1), NULL, -1);
    fact("caught", caught);
    reap();
    label("__sigpause.eintr/xpg");
    begin();
    done(__sigpause(SIGUSR2, 1), NULL, -1);
    fact("caught", caught);
    label("__xpg_sigpause.badfd");
    begin();
    done(sigpause(1000), NULL, -1);
    sigprocmask(SIG_SETMASK, &before, NULL);
}

static sigjmp_buf out;
static void jump(int number) {
    (void)number;
    siglongjmp(out, 1);
}
PROBE(jumps_out) {
    signal(SIGUSR1, jump);
    for (volatile int i = 0; i < 3; ++i) {
        PEER { delay(50); poke(SIGUSR1); }
        label("jumps_out/%d", i);
        begin();
        if (sigsetjmp(out, 1) == 0) {
            done(pause(), NULL, -1);
        } else {
            errno = 0;
            done(-77, NULL, -1);
        }
        reap();
    }
    signal(SIGUSR1, SIG_DFL);
    handle(SIGUSR1, 0);
    PEER { delay(50); poke(SIGUSR1); }
    label("jumps_out/then");
    begin();
    done(pause(), NULL, -1);
}

PROBE(forked) {
    handle(SIGUSR1, 0);
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        label("forked/child");
        begin();
        done(pause(), NULL, -1);
        _exit(0);
    }
    delay(30); // shorter than what the child would have to count through: it has one fiber
    raw(SYS_kill, child, SIGUSR1);
    reap();
}
