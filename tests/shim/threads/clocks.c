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

static atomic_int stop, running;
static void* is_busy(void* argument) {
    atomic_store(&running, 1);
    while (!atomic_load(&stop)) {}
    return argument;
}
static void* is_idle(void* argument) {
    sem_post(&computed);
    while (sem_wait(&go) != 0) {}
    return argument;
}

/// The one computes, the other waits, and a third asks for the time of both.
CASE(of_two_others) {
    atomic_store(&stop, 0);
    atomic_store(&running, 0);
    const pthread_t busy = start(is_busy, NULL), idle = start(is_idle, NULL);
    sem_wait(&computed);
    UNTIL(running, 1);
    clockid_t clocks[2];
    RETURNS(0, pthread_getcpuclockid(busy, &clocks[0]));
    RETURNS(0, pthread_getcpuclockid(idle, &clocks[1]));
    CHECK(clocks[0] != clocks[1]);
    const long long before[2] = {now_us(clocks[0]), now_us(clocks[1])};
    const long long limit = now_us(CLOCK_MONOTONIC) + 20000000;
    while (now_us(clocks[0]) - before[0] < 30000 && now_us(CLOCK_MONOTONIC) < limit) pause_ms(5);
    CHECK(now_us(clocks[0]) - before[0] >= 30000);
    CHECK(now_us(clocks[1]) - before[1] < 10000);
    struct timespec more = {0, 10000000};
    const long long then = now_us(clocks[0]);
    RETURNS(0, clock_nanosleep(clocks[0], 0, &more, NULL));
    CHECK(now_us(clocks[0]) - then >= 10000);
    atomic_store(&stop, 1);
    finish(busy);
    sem_post(&go);
    finish(idle);
}

static long long used_us(void) {
    struct rusage used;
    if (!WORKS(getrusage(RUSAGE_THREAD, &used))) return -1;
    return (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000000LL + used.ru_utime.tv_usec + used.ru_stime.tv_usec;
}
static void* idle_usage(void* argument) {
    const long long before = used_us();
    is_idle(NULL);
    const long long after = used_us();
    CHECK(after >= before && after - before < 20000);
    compute(20);
    CHECK(used_us() - after >= 10000); // the kernel counts it in ticks
    return argument;
}
CASE(usage_of_the_thread) {
    const pthread_t thread = start(idle_usage, NULL);
    sem_wait(&computed);
    const long long before = used_us();
    compute(40);
    CHECK(used_us() - before >= 20000);
    sem_post(&go);
    finish(thread);
}

/// A new thread's clock begins at nothing.
static void* little(void* argument) {
    CHECK(now_us(CLOCK_THREAD_CPUTIME_ID) < 20000);
    return argument;
}
CASE(begins_at_nothing) {
    compute(30);
    for (int i = 0; i < 3; ++i) finish(start(little, NULL));
    int status = -1;
    CHILD(status) little(NULL);
    EQUAL(0, ending(status));
}

CASE(wrong_clocks) {
    struct timespec t;
    clockid_t mine;
    RETURNS(0, pthread_getcpuclockid(pthread_self(), &mine));
    FAILS(EINVAL, clock_gettime((clockid_t)(~0u << 3 | 7), &t));
    FAILS(EINVAL, clock_gettime(99, &t));
    t = (struct timespec){0, 1000};
    RETURNS(EINVAL, clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &t, NULL));
    RETURNS(EINVAL, clock_nanosleep(mine, 0, &t, NULL));
    WORKS(clock_getres(CLOCK_THREAD_CPUTIME_ID, &t));
    EQUAL(1, t.tv_nsec);
}
