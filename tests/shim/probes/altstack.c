// SPDX-License-Identifier: Apache-2.0
// The alternate signal stack, and what handlers are told: SA_ONSTACK, SA_SIGINFO, SA_RESETHAND, SA_NODEFER.
#include "probe.h"

#include <setjmp.h>
#include <ucontext.h>

#pragma GCC diagnostic ignored "-Wdeprecated-declarations" // siginterrupt

static char buf[16];
static char alternate[65536];
static volatile int on_alternate, flags_seen, has_context;
static siginfo_t seen;

static int is_inside(const void* p) { return (const char*)p >= alternate && (const char*)p < alternate + sizeof alternate; }

static void handler(int number, siginfo_t* info, void* context) {
    (void)number;
    int here = 0;
    stack_t now;
    ++caught;
    seen = *info;
    on_alternate = is_inside(&here);
    sigaltstack(NULL, &now);
    flags_seen = now.ss_flags;
    const ucontext_t* c = context;
    has_context = c && c->uc_mcontext.gregs[REG_RSP] != 0 && !is_inside((void*)c->uc_mcontext.gregs[REG_RSP]);
}

static void install(int number, int flags) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = handler;
    action.sa_flags = SA_SIGINFO | flags;
    sigaction(number, &action, NULL);
    caught = 0;
    on_alternate = flags_seen = has_context = -1;
}

static void use_alternate(void) {
    const stack_t mine = {.ss_sp = alternate, .ss_size = sizeof alternate};
    must(sigaltstack(&mine, NULL), "sigaltstack");
}
static void use_none(void) {
    const stack_t none = {.ss_flags = SS_DISABLE};
    must(sigaltstack(&none, NULL), "sigaltstack");
}

static void told(void) {
    fact("caught", caught);
    fact("on_alternate", on_alternate);
    fact("flags", flags_seen);
    fact("context", has_context);
    fact("code", seen.si_code);
}

PROBE(what_it_says) {
    stack_t old = {.ss_sp = buf, .ss_flags = 77, .ss_size = 5};
    label("sigaltstack.ready/none");
    begin();
    done(sigaltstack(NULL, &old), NULL, -1);
    fact("none", old.ss_sp == NULL && old.ss_flags == SS_DISABLE && old.ss_size == 0);
    label("sigaltstack.badfd/small");
    const stack_t small = {.ss_sp = alternate, .ss_size = 100};
    begin();
    done(sigaltstack(&small, NULL), NULL, -1);
    label("sigaltstack.badfd/flags");
    const stack_t odd = {.ss_sp = alternate, .ss_flags = 64, .ss_size = sizeof alternate};
    begin();
    done(sigaltstack(&odd, NULL), NULL, -1);
    use_alternate();
    sigaltstack(NULL, &old);
    label("sigaltstack.ready/mine");
    fact("mine", old.ss_sp == alternate && old.ss_flags == 0 && old.ss_size == sizeof alternate);
    use_none();
    sigaltstack(NULL, &old);
    fact("disabled", old.ss_flags == SS_DISABLE);
}

extern int __sigaction(int, const struct sigaction*, struct sigaction*);
extern sighandler_t bsd_signal(int, sighandler_t);

// Every way to install a handler; what flags it gives it.
PROBE(ways_to_install) {
    const struct { const char* name; sighandler_t (*call)(int, sighandler_t); } ways[] = {
        {"signal", signal}, {"ssignal", ssignal}, {"bsd_signal", bsd_signal}, {"sysv_signal", sysv_signal}, {"__sysv_signal", __sysv_signal}};
    struct sigaction now;
    const struct timespec longer = {1, 0};
    for (size_t i = 0; i < sizeof ways / sizeof *ways; ++i) {
        caught = 0;
        label("%s.ready", ways[i].name);
        begin();
        done_code(ways[i].call(SIGUSR1, on_signal) == SIG_DFL, NULL);
        sigaction(SIGUSR1, NULL, &now);
        fact("flags", now.sa_flags & ~0x04000000); // but SA_RESTORER
        fact("masked", sigismember(&now.sa_mask, SIGUSR1));
        label("%s.eintr", ways[i].name);
        PEER { delay(50); poke(SIGUSR1); }
        begin();
        done(nanosleep(&longer, NULL), NULL, -1);
        fact("caught", caught);
        reap();
        signal(SIGUSR1, SIG_DFL);
        label("%s.badfd", ways[i].name);
        begin();
        done(ways[i].call(SIGKILL, on_signal) == SIG_ERR ? -1 : 0, NULL, -1);
        begin();
        done(ways[i].call(1000, on_signal) == SIG_ERR ? -1 : 0, NULL, -1);
    }
    label("siginterrupt.ready");
    fact("result", siginterrupt(SIGUSR1, 1));
    signal(SIGUSR1, on_signal);
    sigaction(SIGUSR1, NULL, &now);
    fact("restarts", (now.sa_flags & SA_RESTART) != 0);
    siginterrupt(SIGUSR1, 0);
    sigaction(SIGUSR1, NULL, &now);
    fact("restarts_again", (now.sa_flags & SA_RESTART) != 0);
    label("__sigaction.ready");
    fact("result", __sigaction(SIGUSR1, NULL, &now));
    fact("mine", now.sa_handler == on_signal);
    signal(SIGUSR1, SIG_DFL);
}

PROBE(on_stack) {
    int p[2];
    must(pipe(p), "pipe");
    for (int with = 0; with < 2; ++with) {
        if (with) use_alternate();
        install(SIGUSR1, SA_ONSTACK);
        label("sigaction.ready/raise/%s", with ? "alternate" : "none");
        raise(SIGUSR1);
        told();
        install(SIGUSR1, SA_ONSTACK);
        label("read.eintr/%s", with ? "alternate" : "none");
        PEER { delay(50); poke(SIGUSR1); }
        begin();
        done(read(p[0], buf, 1), NULL, -1);
        told();
        reap();
        install(SIGUSR1, SA_ONSTACK | SA_RESTART);
        label("read.restart/%s", with ? "alternate" : "none");
        PEER { delay(50); poke(SIGUSR1); delay(50); put(p[1], "x"); }
        begin();
        done(read(p[0], buf, 1), buf, -1);
        told();
        reap();
        install(SIGUSR1, 0);
        label("nanosleep.eintr/%s/normal_stack", with ? "alternate" : "none");
        const struct timespec longer = {1, 0};
        PEER { delay(50); poke(SIGUSR1); }
        begin();
        done(nanosleep(&longer, NULL), NULL, -1);
        told();
        reap();
    }
    use_none();
    close_pair(p);
}

static sigjmp_buf out;
static void jump(int number) {
    (void)number;
    siglongjmp(out, 1);
}

// It leaves the alternate stack by a jump: what comes afterwards is as ever.
PROBE(jumps_out) {
    int p[2];
    must(pipe(p), "pipe");
    use_alternate();
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = jump;
    action.sa_flags = SA_ONSTACK;
    sigaction(SIGUSR1, &action, NULL);
    for (volatile int i = 0; i < 3; ++i) {
        PEER { delay(50); poke(SIGUSR1); }
        label("read.eintr/jumps/%d", i);
        begin();
        if (sigsetjmp(out, 1) == 0) {
            done(read(p[0], buf, 1), NULL, -1);
        } else {
            errno = 0;
            done(-77, NULL, -1);
        }
        reap();
        if (sigsetjmp(out, 1) == 0) raise(SIGUSR1);
    }
    label("read.blocks/after_jumps");
    PEER { delay(60); put(p[1], "x"); }
    begin();
    done(read(p[0], buf, 1), buf, -1);
    reap();
    use_none();
    signal(SIGUSR1, SIG_DFL);
    close_pair(p);
}

PROBE(once) {
    struct sigaction old;
    install(SIGUSR1, SA_RESETHAND);
    label("pause.eintr/resethand");
    PEER { delay(50); poke(SIGUSR1); }
    begin();
    done(pause(), NULL, -1);
    sigaction(SIGUSR1, NULL, &old);
    fact("default_again", old.sa_handler == SIG_DFL);
    signal(SIGUSR1, SIG_IGN);
}

static volatile int depth, deepest;
static void nesting(int number) {
    ++caught;
    if (++depth > deepest) deepest = depth;
    if (caught < 3) raise(number);
    --depth;
}

PROBE(nested) {
    for (int nodefer = 0; nodefer < 2; ++nodefer) {
        struct sigaction action;
        memset(&action, 0, sizeof action);
        action.sa_handler = nesting;
        action.sa_flags = nodefer ? SA_NODEFER : 0;
        sigaction(SIGUSR1, &action, NULL);
        caught = depth = deepest = 0;
        label("pause.eintr/nested/%d", nodefer);
        PEER { delay(50); poke(SIGUSR1); }
        begin();
        done(pause(), NULL, -1);
        fact("caught", caught);
        fact("deepest", deepest);
        reap();
    }
}

static void reinstalling(int number) {
    ++caught;
    signal(number, reinstalling);
}
PROBE(reinstalled) {
    use_alternate();
    struct sigaction action, old;
    memset(&action, 0, sizeof action);
    action.sa_handler = reinstalling;
    action.sa_flags = SA_ONSTACK | SA_RESETHAND;
    sigaction(SIGUSR1, &action, NULL);
    caught = 0;
    label("nanosleep.eintr/reinstalled");
    const struct timespec longer = {1, 0};
    PEER { delay(50); poke(SIGUSR1); }
    begin();
    done(nanosleep(&longer, NULL), NULL, -1);
    reap();
    PEER { delay(50); poke(SIGUSR1); }
    begin();
    done(nanosleep(&longer, NULL), NULL, -1);
    fact("caught", caught);
    sigaction(SIGUSR1, NULL, &old);
    fact("mine", old.sa_handler == reinstalling);
    use_none();
    signal(SIGUSR1, SIG_DFL);
}

// A handler chooses the mask that is restored after it.
static void masking(int number, siginfo_t* info, void* context) {
    (void)number, (void)info;
    sigaddset(&((ucontext_t*)context)->uc_sigmask, SIGUSR2);
}
PROBE(mask_by_context) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = masking;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGUSR1, &action, NULL);
    label("nanosleep.eintr/mask_by_context");
    const struct timespec longer = {1, 0};
    PEER { delay(50); poke(SIGUSR1); }
    begin();
    done(nanosleep(&longer, NULL), NULL, -1);
    sigset_t now;
    sigprocmask(SIG_BLOCK, NULL, &now);
    fact("blocked", sigismember(&now, SIGUSR2));
    sigemptyset(&now);
    sigaddset(&now, SIGUSR2);
    sigprocmask(SIG_UNBLOCK, &now, NULL);
    signal(SIGUSR1, SIG_DFL);
}
