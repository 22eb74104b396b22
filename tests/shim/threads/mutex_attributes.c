// SPDX-License-Identifier: Apache-2.0
// pthread_mutexattr_*, and priority protocols.
#include "conform.h"

CASE(values) {
    pthread_mutexattr_t attr;
    int value = -1;
    RETURNS(0, pthread_mutexattr_init(&attr));
    RETURNS(0, pthread_mutexattr_gettype(&attr, &value));
    EQUAL(PTHREAD_MUTEX_DEFAULT, value);
    static const int types[] = {PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_RECURSIVE, PTHREAD_MUTEX_ERRORCHECK, PTHREAD_MUTEX_ADAPTIVE_NP};
    for (int i = 0; i < 4; ++i) {
        RETURNS(0, pthread_mutexattr_settype(&attr, types[i]));
        RETURNS(0, pthread_mutexattr_gettype(&attr, &value));
        EQUAL(types[i], value);
    }
    RETURNS(EINVAL, pthread_mutexattr_settype(&attr, 99));
    RETURNS(0, pthread_mutexattr_getpshared(&attr, &value));
    EQUAL(PTHREAD_PROCESS_PRIVATE, value);
    RETURNS(0, pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED));
    RETURNS(0, pthread_mutexattr_getpshared(&attr, &value));
    EQUAL(PTHREAD_PROCESS_SHARED, value);
    RETURNS(EINVAL, pthread_mutexattr_setpshared(&attr, 99));
    RETURNS(0, pthread_mutexattr_getrobust(&attr, &value));
    EQUAL(PTHREAD_MUTEX_STALLED, value);
    RETURNS(0, pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST));
    RETURNS(0, pthread_mutexattr_getrobust(&attr, &value));
    EQUAL(PTHREAD_MUTEX_ROBUST, value);
    RETURNS(EINVAL, pthread_mutexattr_setrobust(&attr, 99));
    RETURNS(0, pthread_mutexattr_getprotocol(&attr, &value));
    EQUAL(PTHREAD_PRIO_NONE, value);
    RETURNS(0, pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT));
    RETURNS(0, pthread_mutexattr_getprotocol(&attr, &value));
    EQUAL(PTHREAD_PRIO_INHERIT, value);
    RETURNS(EINVAL, pthread_mutexattr_setprotocol(&attr, 99));
    RETURNS(0, pthread_mutexattr_destroy(&attr));
}

static pthread_mutex_t mutex;
static int taken;

static void* takes(void* argument) {
    for (int i = 0; i < 50; ++i) {
        RETURNS(0, pthread_mutex_lock(&mutex));
        ++taken;
        if (i % 10 == 0) sched_yield();
        RETURNS(0, pthread_mutex_unlock(&mutex));
    }
    return argument;
}

static void* tries(void* argument) {
    RETURNS(EBUSY, pthread_mutex_trylock(&mutex));
    const struct timespec at = in_ms(CLOCK_REALTIME, 10);
    RETURNS(ETIMEDOUT, pthread_mutex_timedlock(&mutex, &at));
    return argument;
}

/// As bare, or refused when it is made: both are correct, and print the same.
CASE(priority_inheritance) {
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT);
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ERRORCHECK);
    const int error = pthread_mutex_init(&mutex, &attr);
    pthread_mutexattr_destroy(&attr);
    if (error != ENOTSUP && RETURNS(0, error)) {
        taken = 0;
        pthread_t threads[5];
        for (int i = 0; i < 5; ++i) threads[i] = start(takes, NULL);
        for (int i = 0; i < 5; ++i) finish(threads[i]);
        EQUAL(250, taken);
        RETURNS(0, pthread_mutex_lock(&mutex));
        RETURNS(EDEADLK, pthread_mutex_lock(&mutex));
        finish(start(tries, NULL));
        RETURNS(0, pthread_mutex_unlock(&mutex));
        RETURNS(EPERM, pthread_mutex_unlock(&mutex));
        RETURNS(0, pthread_mutex_destroy(&mutex));
    }
    atomic_store(&conform_checks, 0);
}
