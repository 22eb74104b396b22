// SPDX-License-Identifier: Apache-2.0
// sleep, usleep, nanosleep, clock_nanosleep, sched_yield.
#include "probe.h"

#include <sched.h>

static struct timespec ms(long n) { return (struct timespec){n / 1000, n % 1000 * 1000000}; }

static long rounded(struct timespec left) { return (left.tv_sec * 1000 + left.tv_nsec / 1000000 + 25) / 50 * 50; }

static struct timespec from_now(clockid_t clock, long n) {
    struct timespec t;
    clock_gettime(clock, &t);
    t.tv_nsec += n * 1000000;
    t.tv_sec += t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    return t;
}

PROBE(nanosleep_plain) {
    struct timespec want = ms(80), left = {7, 7};
    begin();
    done(nanosleep(&want, &left), NULL, -1);
    fact("left_untouched", left.tv_sec == 7 && left.tv_nsec == 7);
    want = ms(0);
    begin();
    done(nanosleep(&want, NULL), NULL, -1);
}

PROBE(nanosleep_bad) {
    struct timespec want = {0, -1};
    begin();
    done(nanosleep(&want, NULL), NULL, -1);
    want.tv_nsec = 1000000000;
    begin();
    done(nanosleep(&want, NULL), NULL, -1);
    want = (struct timespec){-1, 0};
    begin();
    done(nanosleep(&want, NULL), NULL, -1);
    const struct timespec* volatile nowhere = (const struct timespec*)8;
    begin();
    done(nanosleep(nowhere, NULL), NULL, -1);
}

static void interrupted_nanosleep(int flags) {
    handle(SIGUSR1, flags);
    struct timespec want = ms(500), left = {0, 0};
    PEER { delay(100); poke(SIGUSR1); }
    begin();
    done(nanosleep(&want, &left), NULL, -1);
    fact("left", rounded(left));
    fact("caught", caught);
}
PROBE(nanosleep_eintr) { interrupted_nanosleep(0); }
PROBE(nanosleep_eintr_restart) { interrupted_nanosleep(SA_RESTART); }

PROBE(nanosleep_ignored_signal) {
    signal(SIGUSR1, SIG_IGN);
    struct timespec want = ms(150);
    PEER { delay(50); poke(SIGUSR1); }
    begin();
    done(nanosleep(&want, NULL), NULL, -1);
    reap();
    signal(SIGUSR1, SIG_DFL);
}

PROBE(nanosleep_blocked_signal) {
    handle(SIGUSR1, 0);
    sigset_t set, before;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, &before);
    struct timespec want = ms(150);
    PEER { delay(50); poke(SIGUSR1); }
    begin();
    done(nanosleep(&want, NULL), NULL, -1);
    fact("caught_while_blocked", caught);
    sigprocmask(SIG_SETMASK, &before, NULL);
    fact("caught_after", caught);
}

PROBE(clock_nanosleep_clocks) {
    const struct { const char* name; clockid_t id; } clocks[] = {
        {"realtime", CLOCK_REALTIME}, {"monotonic", CLOCK_MONOTONIC}, {"boottime", CLOCK_BOOTTIME}, {"tai", CLOCK_TAI}};
    for (size_t i = 0; i < sizeof clocks / sizeof *clocks; ++i) {
        struct timespec t = ms(60);
        label("clock_nanosleep/%s/relative", clocks[i].name);
        begin();
        done_code(clock_nanosleep(clocks[i].id, 0, &t, NULL), NULL);
        label("clock_nanosleep/%s/absolute", clocks[i].name);
        t = from_now(clocks[i].id, 60);
        begin();
        done_code(clock_nanosleep(clocks[i].id, TIMER_ABSTIME, &t, NULL), NULL);
        label("clock_nanosleep/%s/past", clocks[i].name);
        t.tv_sec -= 10;
        begin();
        done_code(clock_nanosleep(clocks[i].id, TIMER_ABSTIME, &t, NULL), NULL);
    }
}

PROBE(clock_nanosleep_bad) {
    struct timespec t = ms(1), odd = {0, 1000000000};
    begin();
    done_code(clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &t, NULL), NULL);
    begin();
    done_code(clock_nanosleep(777, 0, &t, NULL), NULL);
    begin();
    done_code(clock_nanosleep(CLOCK_MONOTONIC_COARSE, 0, &t, NULL), NULL);
    begin();
    done_code(clock_nanosleep(CLOCK_MONOTONIC, 0, &odd, NULL), NULL);
    begin();
    done_code(clock_nanosleep(CLOCK_MONOTONIC, 0, (const struct timespec*)8, NULL), NULL);
    errno = E2BIG;
    done_code(clock_nanosleep(CLOCK_MONOTONIC, 0, &odd, NULL), NULL);
    fact("errno_untouched", errno == E2BIG);
}

PROBE(clock_nanosleep_eintr) {
    handle(SIGUSR1, SA_RESTART);
    struct timespec t = ms(500), left = {9, 0};
    label("clock_nanosleep_eintr/relative");
    PEER { delay(100); poke(SIGUSR1); }
    begin();
    done_code(clock_nanosleep(CLOCK_MONOTONIC, 0, &t, &left), NULL);
    fact("left", rounded(left));
    reap();
    label("clock_nanosleep_eintr/absolute");
    t = from_now(CLOCK_REALTIME, 500);
    left = (struct timespec){9, 0};
    PEER { delay(100); poke(SIGUSR1); }
    begin();
    done_code(clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &t, &left), NULL);
    fact("left", rounded(left));
    fact("caught", caught);
}

PROBE(usleep_plain) {
    begin();
    done(usleep(60000), NULL, -1);
    begin();
    done(usleep(0), NULL, -1);
    begin();
    done(usleep(1050000), NULL, -1);
}

PROBE(usleep_eintr) {
    handle(SIGALRM, SA_RESTART);
    const struct itimerval once = {{0, 0}, {0, 80000}};
    setitimer(ITIMER_REAL, &once, NULL);
    begin();
    done(usleep(500000), NULL, -1);
    fact("caught", caught);
}

// Sleeps of half a millisecond must not be rounded up to a whole one.
PROBE(usleep_short) {
    begin();
    for (int i = 0; i < 300; ++i) usleep(500);
    done(0, NULL, -1);
}

PROBE(sleep_plain) {
    begin();
    done(sleep(1), NULL, -1);
    begin();
    done(sleep(0), NULL, -1);
}

PROBE(sleep_eintr) {
    handle(SIGALRM, SA_RESTART);
    const struct itimerval once = {{0, 0}, {0, 100000}};
    setitimer(ITIMER_REAL, &once, NULL);
    begin();
    const unsigned left = sleep(3);
    done_code((long)left, NULL);
    fact("caught", caught);
}

PROBE(sched_yield_plain) {
    begin();
    done(sched_yield(), NULL, -1);
}
