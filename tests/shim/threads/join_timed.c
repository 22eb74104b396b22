// SPDX-License-Identifier: Apache-2.0
// pthread_tryjoin_np, pthread_timedjoin_np, pthread_clockjoin_np.
#include "conform.h"

static sem_t go;

static void* wait_for_go(void* argument) {
    sem_wait(&go);
    return argument;
}

CASE(try_join) {
    sem_init(&go, 0, 0);
    const pthread_t thread = start(wait_for_go, (void*)3);
    void* result = NULL;
    RETURNS(EBUSY, pthread_tryjoin_np(thread, &result));
    CHECK(result == NULL);
    sem_post(&go);
    int error;
    while ((error = pthread_tryjoin_np(thread, &result)) == EBUSY) pause_ms(1);
    RETURNS(0, error);
    EQUAL(3, (long)result);
}

CASE(times_out) {
    const pthread_t thread = start(wait_for_go, (void*)4);
    void* result = NULL;
    long long began = now_us(CLOCK_MONOTONIC);
    struct timespec at = in_ms(CLOCK_REALTIME, 20);
    RETURNS(ETIMEDOUT, pthread_timedjoin_np(thread, &result, &at));
    CHECK(now_us(CLOCK_MONOTONIC) - began >= 19000);
    began = now_us(CLOCK_MONOTONIC);
    at = in_ms(CLOCK_MONOTONIC, 20);
    RETURNS(ETIMEDOUT, pthread_clockjoin_np(thread, &result, CLOCK_MONOTONIC, &at));
    CHECK(now_us(CLOCK_MONOTONIC) - began >= 19000);
    at = in_ms(CLOCK_REALTIME, 20);
    RETURNS(ETIMEDOUT, pthread_clockjoin_np(thread, &result, CLOCK_REALTIME, &at));
    at = in_ms(CLOCK_REALTIME, -1000);
    RETURNS(ETIMEDOUT, pthread_timedjoin_np(thread, &result, &at));
    at.tv_sec = 0;
    at.tv_nsec = 0;
    RETURNS(ETIMEDOUT, pthread_timedjoin_np(thread, &result, &at));
    CHECK(result == NULL);
    sem_post(&go);
    at = in_ms(CLOCK_REALTIME, 20000);
    RETURNS(0, pthread_timedjoin_np(thread, &result, &at));
    EQUAL(4, (long)result);
}

CASE(clocks) {
    const pthread_t thread = start(wait_for_go, NULL);
    const struct timespec at = in_ms(CLOCK_REALTIME, 20);
    RETURNS(EINVAL, pthread_clockjoin_np(thread, NULL, CLOCK_PROCESS_CPUTIME_ID, &at));
    sem_post(&go);
    RETURNS(0, pthread_timedjoin_np(thread, NULL, NULL)); // no time: for ever
}

CASE(ends_meanwhile) {
    for (int i = 0; i < 5; ++i) {
        const pthread_t thread = start(wait_for_go, (void*)5);
        sem_post(&go);
        const struct timespec at = in_ms(CLOCK_MONOTONIC, 20000);
        void* result = NULL;
        RETURNS(0, pthread_clockjoin_np(thread, &result, CLOCK_MONOTONIC, &at));
        EQUAL(5, (long)result);
    }
}

CASE(ended_before) {
    const pthread_t thread = start(wait_for_go, (void*)6);
    sem_post(&go);
    settle();
    void* result = NULL;
    struct timespec at = in_ms(CLOCK_REALTIME, 20000);
    RETURNS(0, pthread_timedjoin_np(thread, &result, &at));
    EQUAL(6, (long)result);
}

static atomic_int taken;

static void* wait_and_tell(void* argument) {
    sem_wait(&go);
    atomic_store(&taken, 1);
    return argument;
}

CASE(refused) {
    const struct timespec at = in_ms(CLOCK_REALTIME, 20000);
    RETURNS(EDEADLK, pthread_timedjoin_np(pthread_self(), NULL, &at));
    const pthread_t thread = start(wait_and_tell, NULL);
    RETURNS(0, pthread_detach(thread));
    RETURNS(EINVAL, pthread_timedjoin_np(thread, NULL, &at));
    RETURNS(EBUSY, pthread_tryjoin_np(thread, NULL)); // glibc looks whether it has ended first
    sem_post(&go);
    UNTIL(taken, 1);
}

static void* joins_in_vain(void* thread) {
    const struct timespec at = in_ms(CLOCK_MONOTONIC, 10);
    RETURNS(ETIMEDOUT, pthread_clockjoin_np(*(pthread_t*)thread, NULL, CLOCK_MONOTONIC, &at));
    return NULL;
}

CASE(can_be_joined_after_a_time_out) {
    pthread_t thread = start(wait_for_go, (void*)9);
    finish(start(joins_in_vain, &thread));
    finish(start(joins_in_vain, &thread));
    sem_post(&go);
    EQUAL(9, (long)finish(thread));
}
