// SPDX-License-Identifier: Apache-2.0
// pthread_cond_wait, signal, broadcast.
#include "conform.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static int waiting, allowed, passed;

static void* waits(void* argument) {
    pthread_mutex_lock(&mutex);
    ++waiting;
    while (allowed == 0) RETURNS(0, pthread_cond_wait(&cond, &mutex));
    --allowed;
    ++passed;
    pthread_mutex_unlock(&mutex);
    return argument;
}

/// How many have passed when `n` have; looks a little longer for one too many.
static int passed_at_least(int n) {
    int seen = 0;
    for (int i = 0, extra = 0; i < 20000 && extra < 3; ++i) {
        pthread_mutex_lock(&mutex);
        seen = passed;
        pthread_mutex_unlock(&mutex);
        extra += seen >= n;
        pause_ms(1);
    }
    return seen;
}

static void all_wait(int n) {
    for (int seen = 0; seen < n;) {
        pthread_mutex_lock(&mutex);
        seen = waiting;
        pthread_mutex_unlock(&mutex);
        sched_yield();
    }
}

CASE(signal_wakes_one) {
    pthread_t threads[10];
    waiting = allowed = passed = 0;
    for (int i = 0; i < 10; ++i) threads[i] = start(waits, NULL);
    all_wait(10);
    for (int i = 1; i <= 10; ++i) {
        pthread_mutex_lock(&mutex);
        allowed = 1;
        RETURNS(0, pthread_cond_signal(&cond));
        pthread_mutex_unlock(&mutex);
        EQUAL(i, passed_at_least(i));
    }
    for (int i = 0; i < 10; ++i) finish(threads[i]);
}

CASE(broadcast_wakes_all) {
    for (int round = 0; round < 10; ++round) {
        pthread_t threads[30];
        waiting = allowed = passed = 0;
        for (int i = 0; i < 30; ++i) threads[i] = start(waits, NULL);
        all_wait(30);
        pthread_mutex_lock(&mutex);
        allowed = 30;
        if (round % 2) RETURNS(0, pthread_cond_broadcast(&cond));
        pthread_mutex_unlock(&mutex);
        if (round % 2 == 0) RETURNS(0, pthread_cond_broadcast(&cond)); // with the mutex or without
        for (int i = 0; i < 30; ++i) finish(threads[i]);
        EQUAL(30, passed);
    }
    atomic_store(&conform_checks, 0); // waits may end spuriously
}

CASE(nobody_waits) {
    for (int i = 0; i < 100; ++i) {
        RETURNS(0, pthread_cond_signal(&cond));
        RETURNS(0, pthread_cond_broadcast(&cond));
    }
    pthread_mutex_lock(&mutex); // it is not remembered
    const struct timespec at = in_ms(CLOCK_REALTIME, 10);
    RETURNS(ETIMEDOUT, pthread_cond_timedwait(&cond, &mutex, &at));
    pthread_mutex_unlock(&mutex);
}

static int turn;

static void* plays(void* argument) {
    const int mine = (int)(long)argument;
    pthread_mutex_lock(&mutex);
    while (turn < 10000) {
        if (turn % 2 == mine) {
            ++turn;
            pthread_cond_signal(&cond);
        } else {
            pthread_cond_wait(&cond, &mutex);
        }
    }
    pthread_cond_signal(&cond);
    pthread_mutex_unlock(&mutex);
    return NULL;
}

CASE(ping_pong) {
    turn = 0;
    const pthread_t a = start(plays, (void*)0), b = start(plays, (void*)1);
    finish(a);
    finish(b);
    EQUAL(10000, turn);
}

static pthread_mutex_t checked = PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP;
static pthread_mutex_t recursive = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static bool flag;

static void* sets(void* lock) {
    RETURNS(0, pthread_mutex_lock(lock)); // the waiter let it go
    flag = true;
    RETURNS(0, pthread_cond_signal(&cond));
    RETURNS(0, pthread_mutex_unlock(lock));
    return NULL;
}

CASE(mutex_is_let_go_and_held_again) {
    pthread_mutex_t* const locks[] = {&checked, &recursive};
    for (int i = 0; i < 2; ++i) {
        flag = false;
        RETURNS(0, pthread_mutex_lock(locks[i]));
        const pthread_t thread = start(sets, locks[i]);
        while (!flag) pthread_cond_wait(&cond, locks[i]);
        RETURNS(0, pthread_mutex_unlock(locks[i])); // held: else EPERM
        RETURNS(EPERM, pthread_mutex_unlock(locks[i]));
        finish(thread);
    }
    RETURNS(EPERM, pthread_cond_wait(&cond, &checked)); // not held
}

CASE(made_and_destroyed) {
    for (int i = 0; i < 50; ++i) {
        pthread_cond_t* mine = malloc(sizeof *mine);
        pthread_condattr_t attr;
        RETURNS(0, pthread_condattr_init(&attr));
        RETURNS(0, pthread_cond_init(mine, i % 2 ? &attr : NULL));
        pthread_mutex_lock(&mutex);
        const struct timespec at = in_ms(CLOCK_REALTIME, -1);
        RETURNS(ETIMEDOUT, pthread_cond_timedwait(mine, &mutex, &at));
        pthread_mutex_unlock(&mutex);
        RETURNS(0, pthread_cond_destroy(mine));
        RETURNS(0, pthread_condattr_destroy(&attr));
        free(mine);
    }
}

struct once_waited {
    pthread_cond_t cond;
    int left;
};

static void* waits_there(void* argument) {
    struct once_waited* w = argument;
    pthread_mutex_lock(&mutex);
    ++waiting;
    while (!allowed) pthread_cond_wait(&w->cond, &mutex);
    pthread_mutex_unlock(&mutex);
    return NULL;
}

CASE(destroyed_right_after_broadcast) {
    // POSIX: may be destroyed as soon as all who wait have been woken.
    for (int i = 0; i < 20; ++i) {
        struct once_waited* w = malloc(sizeof *w);
        pthread_cond_init(&w->cond, NULL);
        waiting = allowed = 0;
        pthread_t threads[3];
        for (int k = 0; k < 3; ++k) threads[k] = start(waits_there, w);
        all_wait(3);
        pthread_mutex_lock(&mutex);
        allowed = 1;
        pthread_cond_broadcast(&w->cond);
        pthread_mutex_unlock(&mutex);
        RETURNS(0, pthread_cond_destroy(&w->cond));
        memset(w, 0x5a, sizeof *w);
        free(w);
        for (int k = 0; k < 3; ++k) finish(threads[k]);
    }
}
