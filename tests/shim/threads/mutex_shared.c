// SPDX-License-Identifier: Apache-2.0
// Process-shared mutexes, condition variables, rwlocks, barriers and semaphores: threads of two processes take turns.
#include "conform.h"

struct shared {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    pthread_barrier_t barrier;
    pthread_rwlock_t rwlock;
    sem_t sem, back;
    long counter;
    int turn;
};

static struct shared* shared;

static void make(void) {
    shared = shared_memory(sizeof *shared);
    pthread_mutexattr_t mutex;
    pthread_mutexattr_init(&mutex);
    RETURNS(0, pthread_mutexattr_setpshared(&mutex, PTHREAD_PROCESS_SHARED));
    RETURNS(0, pthread_mutex_init(&shared->mutex, &mutex));
    pthread_condattr_t cond;
    pthread_condattr_init(&cond);
    RETURNS(0, pthread_condattr_setpshared(&cond, PTHREAD_PROCESS_SHARED));
    RETURNS(0, pthread_cond_init(&shared->cond, &cond));
    pthread_barrierattr_t barrier;
    pthread_barrierattr_init(&barrier);
    RETURNS(0, pthread_barrierattr_setpshared(&barrier, PTHREAD_PROCESS_SHARED));
    RETURNS(0, pthread_barrier_init(&shared->barrier, &barrier, 4));
    pthread_rwlockattr_t rwlock;
    pthread_rwlockattr_init(&rwlock);
    RETURNS(0, pthread_rwlockattr_setpshared(&rwlock, PTHREAD_PROCESS_SHARED));
    RETURNS(0, pthread_rwlock_init(&shared->rwlock, &rwlock));
    CHECK(sem_init(&shared->sem, 1, 0) == 0);
    CHECK(sem_init(&shared->back, 1, 0) == 0);
}

static void* adds(void* argument) {
    for (int i = 0; i < 200; ++i) {
        RETURNS(0, pthread_mutex_lock(&shared->mutex));
        const long seen = shared->counter;
        if (i % 20 == 0) sched_yield();
        shared->counter = seen + 1;
        RETURNS(0, pthread_mutex_unlock(&shared->mutex));
    }
    return argument;
}

/// Two threads in each of two processes run it.
static void in_both(void* (*run)(void*)) {
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) atomic_store(&conform_failures, 0);
    const long base = child == 0 ? 2 : 0;
    const pthread_t a = start(run, (void*)base), b = start(run, (void*)(base + 1));
    finish(a);
    finish(b);
    if (child == 0) _exit(atomic_load(&conform_failures));
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child);
    EQUAL(0, ending(status));
}

CASE(mutex) {
    make();
    in_both(adds);
    EQUAL(800, shared->counter);
}

static void* takes_turns(void* argument) {
    const int mine = (int)(long)argument;
    for (int i = 0; i < 100; ++i) {
        pthread_mutex_lock(&shared->mutex);
        while (shared->turn % 4 != mine) pthread_cond_wait(&shared->cond, &shared->mutex);
        ++shared->turn;
        pthread_cond_broadcast(&shared->cond);
        pthread_mutex_unlock(&shared->mutex);
    }
    return NULL;
}

CASE(cond) {
    make();
    in_both(takes_turns);
    EQUAL(400, shared->turn);
}

static void* meets(void* argument) {
    (void)argument;
    for (int i = 0; i < 50; ++i) {
        __atomic_fetch_add(&shared->counter, 1, __ATOMIC_SEQ_CST);
        int error = pthread_barrier_wait(&shared->barrier);
        CHECK(error == 0 || error == PTHREAD_BARRIER_SERIAL_THREAD);
        CHECK(__atomic_load_n(&shared->counter, __ATOMIC_SEQ_CST) == 4 * (i + 1)); // all have come, none is further
        if (error) __atomic_fetch_add(&shared->turn, 1, __ATOMIC_SEQ_CST);
        pthread_barrier_wait(&shared->barrier);
    }
    return NULL;
}

CASE(barrier) {
    make();
    in_both(meets);
    EQUAL(50, shared->turn);
}

static void* reads_and_writes(void* argument) {
    for (int i = 0; i < 100; ++i) {
        if ((i + (long)argument) % 3) {
            RETURNS(0, pthread_rwlock_rdlock(&shared->rwlock));
            const long seen = __atomic_load_n(&shared->counter, __ATOMIC_RELAXED);
            sched_yield();
            CHECK(seen == __atomic_load_n(&shared->counter, __ATOMIC_RELAXED));
        } else {
            RETURNS(0, pthread_rwlock_wrlock(&shared->rwlock));
            const long seen = shared->counter;
            sched_yield();
            shared->counter = seen + 1;
        }
        RETURNS(0, pthread_rwlock_unlock(&shared->rwlock));
    }
    return NULL;
}

CASE(rwlock) {
    make();
    in_both(reads_and_writes);
    CHECK(shared->counter > 100 && shared->counter < 200);
}

static void* posts(void* argument) {
    if ((long)argument < 2) {
        for (int i = 0; i < 100; ++i) {
            CHECK(sem_post(&shared->sem) == 0);
            CHECK(sem_wait(&shared->back) == 0);
        }
    } else {
        for (int i = 0; i < 100; ++i) {
            CHECK(sem_wait(&shared->sem) == 0);
            CHECK(sem_post(&shared->back) == 0);
        }
    }
    return NULL;
}

CASE(semaphore) {
    make();
    in_both(posts);
    int value = -1;
    CHECK(sem_getvalue(&shared->sem, &value) == 0);
    EQUAL(0, value);
}
