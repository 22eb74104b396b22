// SPDX-License-Identifier: Apache-2.0
// pthread_mutex_timedlock, pthread_mutex_clocklock: by both clocks, in time, too late, with times that are none.
#include "conform.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static sem_t held, let_go;

static void* holds(void* argument) {
    pthread_mutex_lock(&mutex);
    sem_post(&held);
    sem_wait(&let_go);
    pthread_mutex_unlock(&mutex);
    return argument;
}

CASE(times_out) {
    sem_init(&held, 0, 0);
    sem_init(&let_go, 0, 0);
    const pthread_t holder = start(holds, NULL);
    sem_wait(&held);
    static const clockid_t clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC};
    for (int c = 0; c < 2; ++c) {
        const long long began = now_us(CLOCK_MONOTONIC);
        const struct timespec at = in_ms(clocks[c], 20);
        RETURNS(ETIMEDOUT, pthread_mutex_clocklock(&mutex, clocks[c], &at));
        CHECK(now_us(CLOCK_MONOTONIC) - began >= 19000);
        CHECK(now_us(clocks[c]) >= at.tv_sec * 1000000LL + at.tv_nsec / 1000);
    }
    const struct timespec at = in_ms(CLOCK_REALTIME, 10), past = in_ms(CLOCK_REALTIME, -5000), never = {-1, 0};
    RETURNS(ETIMEDOUT, pthread_mutex_timedlock(&mutex, &at));
    RETURNS(ETIMEDOUT, pthread_mutex_timedlock(&mutex, &past));
    RETURNS(ETIMEDOUT, pthread_mutex_timedlock(&mutex, &never));
    sem_post(&let_go);
    finish(holder);
}

CASE(bad_times) {
    const pthread_t holder = start(holds, NULL);
    sem_wait(&held);
    struct timespec at = in_ms(CLOCK_REALTIME, 10000);
    at.tv_nsec = 1000000000;
    RETURNS(EINVAL, pthread_mutex_timedlock(&mutex, &at));
    at.tv_nsec = -1;
    RETURNS(EINVAL, pthread_mutex_timedlock(&mutex, &at));
    RETURNS(EINVAL, pthread_mutex_clocklock(&mutex, CLOCK_MONOTONIC, &at));
    RETURNS(EINVAL, pthread_mutex_clocklock(&mutex, CLOCK_BOOTTIME, &at));
    sem_post(&let_go);
    finish(holder);
    RETURNS(0, pthread_mutex_timedlock(&mutex, &at)); // free: the time does not matter
    pthread_mutex_unlock(&mutex);
}

static void* takes_in_time(void* argument) {
    const clockid_t clock = *(clockid_t*)argument;
    const struct timespec at = in_ms(clock, 20000);
    RETURNS(0, pthread_mutex_clocklock(&mutex, clock, &at));
    RETURNS(0, pthread_mutex_unlock(&mutex));
    return NULL;
}

CASE(in_time) {
    static clockid_t clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC};
    pthread_mutex_lock(&mutex);
    const pthread_t a = start(takes_in_time, &clocks[0]), b = start(takes_in_time, &clocks[1]);
    settle();
    pthread_mutex_unlock(&mutex);
    finish(a);
    finish(b);
}

static void* gives_up(void* argument) {
    const struct timespec at = in_ms(CLOCK_MONOTONIC, (long)argument);
    RETURNS(ETIMEDOUT, pthread_mutex_clocklock(&mutex, CLOCK_MONOTONIC, &at));
    return NULL;
}

static void* takes(void* argument) {
    pthread_mutex_lock(&mutex);
    ++*(int*)argument;
    pthread_mutex_unlock(&mutex);
    return NULL;
}

CASE(who_gives_up_is_not_waited_for) {
    int taken = 0;
    pthread_mutex_lock(&mutex);
    pthread_t threads[10];
    for (long i = 0; i < 10; ++i) threads[i] = i % 2 ? start(takes, &taken) : start(gives_up, (void*)(2 + i));
    for (int i = 0; i < 10; i += 2) finish(threads[i]);
    EQUAL(0, taken);
    pthread_mutex_unlock(&mutex);
    for (int i = 1; i < 10; i += 2) finish(threads[i]);
    EQUAL(5, taken);
}
