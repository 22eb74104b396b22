// SPDX-License-Identifier: Apache-2.0
// Mutexes with priority inheritance: private, shared, robust; also taken by a thread that computes meanwhile, so that others go on elsewhere.
#include "conform.h"

static pthread_mutex_t mutex;
static atomic_int step;

static void make(pthread_mutex_t* m, int shared, int robust, int type) {
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    RETURNS(0, pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT));
    pthread_mutexattr_setrobust(&attr, robust);
    pthread_mutexattr_setpshared(&attr, shared);
    pthread_mutexattr_settype(&attr, type);
    RETURNS(0, pthread_mutex_init(m, &attr));
    pthread_mutexattr_destroy(&attr);
}

static void compute_ms(long ms) {
    for (const long long end = now_us(CLOCK_MONOTONIC) + ms * 1000; now_us(CLOCK_MONOTONIC) < end;) {}
}

static void* is_refused(void* m) {
    RETURNS(EPERM, pthread_mutex_unlock(m));
    RETURNS(EBUSY, pthread_mutex_trylock(m));
    const struct timespec at = in_ms(CLOCK_REALTIME, 5);
    RETURNS(ETIMEDOUT, pthread_mutex_timedlock(m, &at));
    return NULL;
}

static void* waits_for_it(void* m) {
    RETURNS(0, pthread_mutex_lock(m));
    RETURNS(0, pthread_mutex_unlock(m));
    return NULL;
}

static void* computes(void* argument) {
    atomic_store(&step, 1);
    compute_ms(40);
    return argument;
}

static void try_all(int shared, int robust) {
    static const int types[] = {PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_RECURSIVE, PTHREAD_MUTEX_ERRORCHECK};
    pthread_mutex_t* m = shared == PTHREAD_PROCESS_SHARED ? shared_memory(4096) : &mutex;
    for (int t = 0; t < 3; ++t) {
        make(m, shared, robust, types[t]);
        RETURNS(0, pthread_mutex_lock(m));
        if (types[t] == PTHREAD_MUTEX_RECURSIVE) {
            RETURNS(0, pthread_mutex_lock(m));
            RETURNS(0, pthread_mutex_unlock(m));
        }
        if (types[t] == PTHREAD_MUTEX_ERRORCHECK) {
            RETURNS(EDEADLK, pthread_mutex_lock(m));
            RETURNS(EDEADLK, pthread_mutex_trylock(m));
        }
        finish(start(is_refused, m));
        atomic_store(&step, 0);
        const pthread_t busy = start(computes, NULL);
        const pthread_t waiter = start(waits_for_it, m);
        UNTIL(step, 1);
        settle();
        RETURNS(0, pthread_mutex_unlock(m));
        RETURNS(0, pthread_mutex_lock(m));
        RETURNS(0, pthread_mutex_unlock(m));
        finish(waiter);
        finish(busy);
        RETURNS(EPERM, pthread_mutex_unlock(m));
        RETURNS(0, pthread_mutex_destroy(m));
    }
}

CASE(private_ones) { try_all(PTHREAD_PROCESS_PRIVATE, PTHREAD_MUTEX_STALLED); }
CASE(private_robust_ones) { try_all(PTHREAD_PROCESS_PRIVATE, PTHREAD_MUTEX_ROBUST); }
CASE(shared_ones) { try_all(PTHREAD_PROCESS_SHARED, PTHREAD_MUTEX_STALLED); }
CASE(shared_robust_ones) { try_all(PTHREAD_PROCESS_SHARED, PTHREAD_MUTEX_ROBUST); }

static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int state;

static void* answers(void* m) {
    RETURNS(0, pthread_mutex_lock(m));
    int error = 0;
    while (state != 1 && error == 0) error = pthread_cond_wait(&changed, m);
    CHECK(error == 0);
    state = 2;
    RETURNS(0, pthread_cond_signal(&changed));
    RETURNS(0, pthread_mutex_unlock(m));
    return NULL;
}

CASE(with_a_condition) {
    make(&mutex, PTHREAD_PROCESS_PRIVATE, PTHREAD_MUTEX_STALLED, PTHREAD_MUTEX_NORMAL);
    const pthread_t other = start(answers, &mutex);
    settle();
    RETURNS(0, pthread_mutex_lock(&mutex));
    state = 1;
    RETURNS(0, pthread_cond_signal(&changed));
    int error = 0; // it may be answered before it waits
    while (state != 2 && error == 0) error = pthread_cond_wait(&changed, &mutex);
    CHECK(error == 0);
    RETURNS(0, pthread_mutex_unlock(&mutex));
    finish(other);
    RETURNS(0, pthread_mutex_destroy(&mutex));
}

static void* ends_with_it(void* m) {
    RETURNS(0, pthread_mutex_lock(m));
    return NULL;
}

CASE(owner_ends) {
    pthread_mutex_t* memory = shared_memory(4096);
    for (int shared = 0; shared < 2; ++shared) {
        pthread_mutex_t* m = shared ? memory : &mutex;
        make(m, shared ? PTHREAD_PROCESS_SHARED : PTHREAD_PROCESS_PRIVATE, PTHREAD_MUTEX_ROBUST, PTHREAD_MUTEX_NORMAL);
        finish(start(ends_with_it, m));
        RETURNS(EOWNERDEAD, pthread_mutex_lock(m));
        RETURNS(0, pthread_mutex_consistent(m));
        RETURNS(0, pthread_mutex_unlock(m));
        finish(start(ends_with_it, m));
        RETURNS(EOWNERDEAD, pthread_mutex_trylock(m));
        RETURNS(0, pthread_mutex_unlock(m));
        RETURNS(ENOTRECOVERABLE, pthread_mutex_lock(m));
        RETURNS(0, pthread_mutex_destroy(m));
    }
}

enum { several = 40 };

static void* takes_and_gives_back(void* argument) {
    pthread_mutex_t* all = argument;
    unsigned n = (unsigned)(uintptr_t)&all >> 4;
    for (;;) {
        n = n * 1103515245 + 12345;
        pthread_mutex_t* m = &all[n / 65536 % several];
        const int error = pthread_mutex_trylock(m);
        if (error == EBUSY) continue;
        if (error != 0) _exit(90);
        if (pthread_mutex_unlock(m) != 0) _exit(91);
    }
}

/// The process of many threads is killed in the midst of it.
static void killed_at_any_moment(int inherits) {
    pthread_mutex_t* all = shared_memory(several * sizeof *all);
    for (int round = 0; round < 3; ++round) {
        for (int i = 0; i < several; ++i) {
            if (inherits) {
                make(&all[i], PTHREAD_PROCESS_SHARED, PTHREAD_MUTEX_ROBUST, PTHREAD_MUTEX_NORMAL);
                continue;
            }
            pthread_mutexattr_t attr;
            pthread_mutexattr_init(&attr);
            pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
            pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
            RETURNS(0, pthread_mutex_init(&all[i], &attr));
            pthread_mutexattr_destroy(&attr);
        }
        fflush(stdout);
        const pid_t child = fork();
        if (child == 0) {
            for (int i = 0; i < 4; ++i) start(takes_and_gives_back, all);
            pthread_mutex_lock(&all[round]);
            pause_ms(30);
            raise(SIGKILL);
        }
        int status = -1;
        CHECK(waitpid(child, &status, 0) == child);
        EQUAL(1000 + SIGKILL, ending(status));
        for (int i = 0; i < several; ++i) {
            const struct timespec at = in_ms(CLOCK_REALTIME, 10000);
            const int error = pthread_mutex_timedlock(&all[i], &at);
            CHECK(error == EOWNERDEAD || (error == 0 && i != round));
            if (error == EOWNERDEAD) RETURNS(0, pthread_mutex_consistent(&all[i]));
            else CHECK(true);
            RETURNS(0, pthread_mutex_unlock(&all[i]));
        }
    }
}

CASE(process_is_killed_with_robust_ones) { killed_at_any_moment(0); }
CASE(process_is_killed_with_inheriting_ones) { killed_at_any_moment(1); }
