// SPDX-License-Identifier: Apache-2.0
// Sleeps by every clock, the less used names of sleeps, and what they say when their arguments are bad.
#include "probe.h"

#include <pthread.h>
#include <sched.h>
#include <threads.h>

// An old binary's name for sched_yield.
__asm__(".symver old_pthread_yield,pthread_yield@GLIBC_2.2.5");
extern int old_pthread_yield(void);
extern int __nanosleep(const struct timespec*, struct timespec*);

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

static const struct { const char* name; clockid_t id; } clocks[] = {
    {"realtime", CLOCK_REALTIME}, {"monotonic", CLOCK_MONOTONIC}, {"boottime", CLOCK_BOOTTIME}, {"tai", CLOCK_TAI},
    {"raw", CLOCK_MONOTONIC_RAW}, {"realtime_coarse", CLOCK_REALTIME_COARSE}, {"monotonic_coarse", CLOCK_MONOTONIC_COARSE},
    {"thread_cpu", CLOCK_THREAD_CPUTIME_ID}, {"odd", 999}, {"negative", -1}};

PROBE(clock_nanosleep_ready) {
    for (size_t i = 0; i < sizeof clocks / sizeof *clocks; ++i)
        for (int absolute = 0; absolute < 2; ++absolute) {
            struct timespec t = absolute ? from_now(clocks[i].id, 60) : ms(60);
            label("clock_nanosleep.%s/%s", absolute ? "absolute" : "ready", clocks[i].name);
            begin();
            done_code(clock_nanosleep(clocks[i].id, absolute ? TIMER_ABSTIME : 0, &t, NULL), NULL);
        }
}

PROBE(clock_nanosleep_past) {
    for (size_t i = 0; i < 4; ++i) {
        struct timespec t = {1, 0};
        label("clock_nanosleep.past/%s", clocks[i].name);
        begin();
        done_code(clock_nanosleep(clocks[i].id, TIMER_ABSTIME, &t, NULL), NULL);
    }
}

PROBE(clock_nanosleep_eintr) {
    for (size_t i = 0; i < 4; ++i)
        for (int absolute = 0; absolute < 2; ++absolute)
            for (int restart = 0; restart < 2; ++restart) {
                handle(SIGUSR1, restart ? SA_RESTART : 0);
                struct timespec t = absolute ? from_now(clocks[i].id, 400) : ms(400), left = {7, 7};
                label("clock_nanosleep.%s/%s/%s", restart ? "restart" : "eintr", clocks[i].name, absolute ? "absolute" : "relative");
                PEER { delay(50); poke(SIGUSR1); }
                begin();
                done_code(clock_nanosleep(clocks[i].id, absolute ? TIMER_ABSTIME : 0, &t, &left), NULL);
                if (absolute) fact("left_untouched", left.tv_sec == 7 && left.tv_nsec == 7);
                else fact("left", rounded(left));
                fact("caught", caught);
                reap();
            }
}

// Where the rest cannot be written to.
PROBE(bad_rest) {
    struct timespec* volatile nowhere = (struct timespec*)8;
    handle(SIGUSR1, 0);
    const struct timespec want = ms(400);
    label("nanosleep.badfd/rest");
    PEER { delay(50); poke(SIGUSR1); }
    begin();
    done(nanosleep(&want, nowhere), NULL, -1);
    reap();
    for (size_t i = 0; i < 4; ++i) {
        label("clock_nanosleep.badfd/rest/%s", clocks[i].name);
        PEER { delay(50); poke(SIGUSR1); }
        begin();
        done_code(clock_nanosleep(clocks[i].id, 0, &want, nowhere), NULL);
        reap();
    }
    label("nanosleep.badfd/unused_rest");
    const struct timespec some = ms(10);
    begin();
    done(nanosleep(&some, nowhere), NULL, -1);
}

PROBE(bad_time) {
    const struct timespec* volatile nowhere = (const struct timespec*)8;
    const struct timespec odd = {0, 1000000000}, negative = {-1, 0};
    for (size_t i = 0; i < sizeof clocks / sizeof *clocks; ++i)
        for (int absolute = 0; absolute < 2; ++absolute) {
            const int flags = absolute ? TIMER_ABSTIME : 0;
            label("clock_nanosleep.badfd/%s/%d/nowhere", clocks[i].name, absolute);
            begin();
            done_code(clock_nanosleep(clocks[i].id, flags, nowhere, NULL), NULL);
            label("clock_nanosleep.badfd/%s/%d/odd", clocks[i].name, absolute);
            begin();
            done_code(clock_nanosleep(clocks[i].id, flags, &odd, NULL), NULL);
            label("clock_nanosleep.badfd/%s/%d/negative", clocks[i].name, absolute);
            begin();
            done_code(clock_nanosleep(clocks[i].id, flags, &negative, NULL), NULL);
        }
}

// The process's CPU time passes while another thread works.
static volatile int stop;
static void* work(void* unused) {
    while (!stop) {}
    return unused;
}
PROBE(cpu_time) {
    pthread_t worker;
    stop = 0;
    pthread_create(&worker, NULL, work, NULL);
    struct timespec t = ms(30);
    label("clock_nanosleep.blocks/process_cpu");
    struct timespec start, end;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start);
    const int result = clock_nanosleep(CLOCK_PROCESS_CPUTIME_ID, 0, &t, NULL);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
    fact("result", result);
    fact("enough", (end.tv_sec - start.tv_sec) * 1000 + (end.tv_nsec - start.tv_nsec) / 1000000 >= 30);
    t = end;
    t.tv_sec -= 100;
    fact("past", clock_nanosleep(CLOCK_PROCESS_CPUTIME_ID, TIMER_ABSTIME, &t, NULL));
    clockid_t mine, its;
    pthread_getcpuclockid(pthread_self(), &mine);
    fact("own_thread", clock_nanosleep(mine, 0, &t, NULL));
    t = ms(20);
    pthread_getcpuclockid(worker, &its);
    fact("other_thread", clock_nanosleep(its, 0, &t, NULL));
    handle(SIGUSR1, SA_RESTART);
    stop = 1;
    pthread_join(worker, NULL);
    label("clock_nanosleep.eintr/process_cpu"); // nobody works: only a signal ends it
    PEER { delay(60); poke(SIGUSR1); }
    t = ms(3000);
    struct timespec left = {0, 0};
    begin();
    done_code(clock_nanosleep(CLOCK_PROCESS_CPUTIME_ID, 0, &t, &left), NULL);
    fact("left", left.tv_sec >= 2);
    reap();
}

PROBE(other_names) {
    const struct timespec want = ms(60), odd = {0, -1};
    struct timespec left = {7, 7};
    label("__nanosleep.blocks");
    begin();
    done(__nanosleep(&want, &left), NULL, -1);
    label("__nanosleep.badfd");
    begin();
    done(__nanosleep(&odd, NULL), NULL, -1);
    label("thrd_sleep.blocks");
    begin();
    done(thrd_sleep(&want, &left), NULL, -1);
    fact("left_untouched", left.tv_sec == 7);
    label("thrd_sleep.badfd");
    begin();
    done(thrd_sleep(&odd, NULL), NULL, -1);
    label("thrd_sleep.eintr");
    handle(SIGUSR1, SA_RESTART);
    const struct timespec longer = ms(400);
    PEER { delay(50); poke(SIGUSR1); }
    begin();
    done(thrd_sleep(&longer, &left), NULL, -1);
    fact("left", rounded(left));
    label("thrd_yield.ready");
    begin();
    thrd_yield();
    done(0, NULL, -1);
    label("pthread_yield.ready");
    begin();
    done(old_pthread_yield(), NULL, -1);
    label("select.timeout/alone");
    struct timeval v = {0, 60000};
    begin();
    done(select(0, NULL, NULL, NULL, &v), NULL, -1);
    label("poll.timeout/alone");
    begin();
    done(poll(NULL, 0, 60), NULL, -1);
}

// A sleep without an end, which a signal ends.
PROBE(for_ever) {
    handle(SIGUSR1, SA_RESTART);
    const struct timespec for_ever = {INT64_MAX, 999999999};
    label("nanosleep.eintr/for_ever");
    PEER { delay(50); poke(SIGUSR1); }
    begin();
    done(nanosleep(&for_ever, NULL), NULL, -1);
    reap();
    for (size_t i = 0; i < 4; ++i) {
        label("clock_nanosleep.eintr/for_ever/%s", clocks[i].name);
        PEER { delay(50); poke(SIGUSR1); }
        begin();
        done_code(clock_nanosleep(clocks[i].id, TIMER_ABSTIME, &for_ever, NULL), NULL);
        reap();
    }
    label("poll.eintr/for_ever");
    PEER { delay(50); poke(SIGUSR1); }
    begin();
    done(poll(NULL, 0, -1), NULL, -1);
    reap();
    label("select.eintr/for_ever");
    PEER { delay(50); poke(SIGUSR1); }
    begin();
    done(select(0, NULL, NULL, NULL, NULL), NULL, -1);
}
