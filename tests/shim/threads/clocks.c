// SPDX-License-Identifier: Apache-2.0
// pthread_getcpuclockid, CLOCK_THREAD_CPUTIME_ID: the time a thread has computed, not what others did or it slept.
#include "conform.h"

static sem_t computed, go;

/// Computes until the thread has used that much of its own time.
static void compute(long ms) {
    const long long end = now_us(CLOCK_THREAD_CPUTIME_ID) + ms * 1000;
    while (now_us(CLOCK_THREAD_CPUTIME_ID) < end) {}
}

static void* computes(void* argument) {
    compute((long)argument);
    sem_post(&computed);
    sem_wait(&go);
    return NULL;
}

CASE(of_another) {
    sem_init(&computed, 0, 0);
    sem_init(&go, 0, 0);
    const pthread_t thread = start(computes, (void*)5);
    sem_wait(&computed);
    clockid_t clock;
    RETURNS(0, pthread_getcpuclockid(thread, &clock));
    struct timespec used, resolution;
    CHECK(clock_gettime(clock, &used) == 0);
    CHECK(used.tv_sec > 0 || used.tv_nsec >= 5000000);
    CHECK(clock_getres(clock, &resolution) == 0);
    sem_post(&go);
    finish(thread);
}

static void* own_clock(void* argument) {
    clockid_t clock;
    RETURNS(0, pthread_getcpuclockid(pthread_self(), &clock));
    const long long before = now_us(clock), thread_before = now_us(CLOCK_THREAD_CPUTIME_ID);
    compute(3);
    CHECK(now_us(clock) - before >= 3000);
    CHECK(now_us(CLOCK_THREAD_CPUTIME_ID) - thread_before >= 3000);
    return argument;
}

CASE(of_oneself) {
    own_clock(NULL);
    finish(start(own_clock, NULL));
}

static void* sleeps(void* argument) {
    const long long before = now_us(CLOCK_THREAD_CPUTIME_ID);
    sem_post(&computed);
    sem_wait(&go);
    *(long long*)argument = now_us(CLOCK_THREAD_CPUTIME_ID) - before;
    return NULL;
}

CASE(waiting_costs_nothing) {
    long long used = 0;
    const pthread_t thread = start(sleeps, &used);
    sem_wait(&computed);
    compute(40); // another's time
    sem_post(&go);
    finish(thread);
    CHECK(used < 20000);
}

CASE(monotonic) {
    long long last = 0, back = 0;
    for (int i = 0; i < 1000; ++i) {
        const long long now = now_us(CLOCK_THREAD_CPUTIME_ID);
        back += now < last;
        last = now;
        if (i % 100 == 0) pause_ms(1);
    }
    EQUAL(0, back);
}
