// SPDX-License-Identifier: Apache-2.0
// Mutexes of every type: who may lock and unlock again, and what is returned.
#include "conform.h"

static pthread_mutex_t mutex;

static void make(int type) {
    pthread_mutexattr_t attr;
    RETURNS(0, pthread_mutexattr_init(&attr));
    RETURNS(0, pthread_mutexattr_settype(&attr, type));
    RETURNS(0, pthread_mutex_init(&mutex, &attr));
    RETURNS(0, pthread_mutexattr_destroy(&attr));
}

static void* try_lock(void* argument) {
    (void)argument;
    const int error = pthread_mutex_trylock(&mutex);
    if (error == 0) pthread_mutex_unlock(&mutex);
    return (void*)(long)error;
}

static void* try_unlock(void* argument) {
    (void)argument;
    return (void*)(long)pthread_mutex_unlock(&mutex);
}

/// What another thread gets when it tries to take it.
static int others_lock(void) { return (int)(long)finish(start(try_lock, NULL)); }
static int others_unlock(void) { return (int)(long)finish(start(try_unlock, NULL)); }

CASE(normal) {
    make(PTHREAD_MUTEX_NORMAL);
    RETURNS(0, pthread_mutex_lock(&mutex));
    RETURNS(EBUSY, pthread_mutex_trylock(&mutex));
    RETURNS(EBUSY, others_lock());
    struct timespec at = in_ms(CLOCK_REALTIME, 10);
    RETURNS(ETIMEDOUT, pthread_mutex_timedlock(&mutex, &at)); // a second lock waits for ever
    RETURNS(0, pthread_mutex_unlock(&mutex));
    RETURNS(0, others_lock());
    RETURNS(0, pthread_mutex_destroy(&mutex));
}

CASE(recursive) {
    make(PTHREAD_MUTEX_RECURSIVE);
    for (int i = 0; i < 100; ++i) RETURNS(0, i % 2 ? pthread_mutex_lock(&mutex) : pthread_mutex_trylock(&mutex));
    RETURNS(EBUSY, others_lock());
    RETURNS(EPERM, others_unlock());
    for (int i = 0; i < 99; ++i) RETURNS(0, pthread_mutex_unlock(&mutex));
    RETURNS(EBUSY, others_lock());
    RETURNS(0, pthread_mutex_unlock(&mutex));
    RETURNS(EPERM, pthread_mutex_unlock(&mutex));
    RETURNS(0, others_lock());
    RETURNS(0, pthread_mutex_destroy(&mutex));
}

CASE(errorcheck) {
    make(PTHREAD_MUTEX_ERRORCHECK);
    RETURNS(EPERM, pthread_mutex_unlock(&mutex));
    RETURNS(0, pthread_mutex_lock(&mutex));
    RETURNS(EDEADLK, pthread_mutex_lock(&mutex));
    RETURNS(EBUSY, pthread_mutex_trylock(&mutex));
    const struct timespec at = in_ms(CLOCK_REALTIME, 10000);
    RETURNS(EDEADLK, pthread_mutex_timedlock(&mutex, &at));
    RETURNS(EDEADLK, pthread_mutex_clocklock(&mutex, CLOCK_MONOTONIC, &at));
    RETURNS(EPERM, others_unlock());
    RETURNS(EBUSY, others_lock());
    RETURNS(0, pthread_mutex_unlock(&mutex));
    RETURNS(EPERM, pthread_mutex_unlock(&mutex));
    RETURNS(0, others_lock());
    RETURNS(0, pthread_mutex_destroy(&mutex));
}

CASE(adaptive) {
    make(PTHREAD_MUTEX_ADAPTIVE_NP);
    RETURNS(0, pthread_mutex_lock(&mutex));
    RETURNS(EBUSY, pthread_mutex_trylock(&mutex));
    RETURNS(EBUSY, others_lock());
    RETURNS(0, pthread_mutex_unlock(&mutex));
    RETURNS(0, others_lock());
    RETURNS(0, pthread_mutex_destroy(&mutex));
}

static pthread_mutex_t recursive_initialiser = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static pthread_mutex_t errorcheck_initialiser = PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP;
static pthread_mutex_t adaptive_initialiser = PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP;
static pthread_mutex_t normal_initialiser = PTHREAD_MUTEX_INITIALIZER;

static void* take_all(void* argument) {
    RETURNS(EBUSY, pthread_mutex_trylock(&recursive_initialiser));
    RETURNS(EBUSY, pthread_mutex_trylock(&errorcheck_initialiser));
    RETURNS(EBUSY, pthread_mutex_trylock(&adaptive_initialiser));
    RETURNS(EBUSY, pthread_mutex_trylock(&normal_initialiser));
    return argument;
}

CASE(initialisers) {
    RETURNS(0, pthread_mutex_lock(&recursive_initialiser));
    RETURNS(0, pthread_mutex_lock(&recursive_initialiser));
    RETURNS(0, pthread_mutex_lock(&errorcheck_initialiser));
    RETURNS(EDEADLK, pthread_mutex_lock(&errorcheck_initialiser));
    RETURNS(0, pthread_mutex_lock(&adaptive_initialiser));
    RETURNS(0, pthread_mutex_lock(&normal_initialiser));
    finish(start(take_all, NULL));
    RETURNS(0, pthread_mutex_unlock(&recursive_initialiser));
    RETURNS(0, pthread_mutex_unlock(&recursive_initialiser));
    RETURNS(EPERM, pthread_mutex_unlock(&recursive_initialiser));
    RETURNS(0, pthread_mutex_unlock(&errorcheck_initialiser));
    RETURNS(0, pthread_mutex_unlock(&adaptive_initialiser));
    RETURNS(0, pthread_mutex_unlock(&normal_initialiser));
}

CASE(destroyed_while_held) {
    make(PTHREAD_MUTEX_NORMAL);
    pthread_mutex_lock(&mutex);
    RETURNS(EBUSY, pthread_mutex_destroy(&mutex));
    pthread_mutex_unlock(&mutex);
    RETURNS(0, pthread_mutex_destroy(&mutex));
}

static long counter;
static bool inside;

static void* adds(void* argument) {
    for (int i = 0; i < 300; ++i) {
        pthread_mutex_lock(&mutex);
        CHECK(!inside);
        inside = true;
        ++counter;
        if (i % 16 == 0) sched_yield();
        if (i % 100 == 0) pause_ms(1);
        inside = false;
        pthread_mutex_unlock(&mutex);
    }
    return argument;
}

CASE(one_at_a_time) {
    static const int types[] = {PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_RECURSIVE, PTHREAD_MUTEX_ERRORCHECK, PTHREAD_MUTEX_ADAPTIVE_NP};
    for (int t = 0; t < 4; ++t) {
        make(types[t]);
        counter = 0;
        pthread_t threads[10];
        for (int i = 0; i < 10; ++i) threads[i] = start(adds, NULL);
        for (int i = 0; i < 10; ++i) finish(threads[i]);
        EQUAL(3000, counter);
        pthread_mutex_destroy(&mutex);
    }
}

static void* waits_for_it(void* argument) {
    RETURNS(0, pthread_mutex_lock(&mutex));
    *(int*)argument += 1;
    RETURNS(0, pthread_mutex_unlock(&mutex));
    return NULL;
}

CASE(unlock_wakes) {
    static const int types[] = {PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_RECURSIVE, PTHREAD_MUTEX_ERRORCHECK, PTHREAD_MUTEX_ADAPTIVE_NP};
    for (int t = 0; t < 4; ++t) {
        make(types[t]);
        int taken = 0;
        pthread_t threads[8];
        pthread_mutex_lock(&mutex);
        for (int i = 0; i < 8; ++i) threads[i] = start(waits_for_it, &taken);
        settle();
        EQUAL(0, taken);
        pthread_mutex_unlock(&mutex);
        for (int i = 0; i < 8; ++i) finish(threads[i]);
        EQUAL(8, taken);
        pthread_mutex_destroy(&mutex);
    }
}
