// SPDX-License-Identifier: Apache-2.0
// Cancellation that comes together with what the thread waits for: either happens, nothing is lost.
#include "conform.h"

static sem_t sem, ready;
static atomic_int taken;

static void* takes(void* argument) {
    sem_post(&ready);
    sem_wait(&sem);
    atomic_fetch_add(&taken, 1);
    return argument;
}

CASE(semaphore) {
    sem_init(&sem, 0, 0);
    sem_init(&ready, 0, 0);
    enum { rounds = 2000 };
    int cancelled = 0;
    for (int i = 0; i < rounds; ++i) {
        const pthread_t thread = start(takes, NULL);
        sem_wait(&ready);
        if (i % 200 == 0) settle();
        if (i % 2) sem_post(&sem);
        RETURNS(0, pthread_cancel(thread));
        if (i % 2 == 0) sem_post(&sem);
        cancelled += finish(thread) == PTHREAD_CANCELED;
    }
    int value = -1;
    sem_getvalue(&sem, &value);
    EQUAL(rounds, value + atomic_load(&taken)); // each post is there still, or somebody has taken it
    EQUAL(rounds, cancelled + atomic_load(&taken));
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static int tokens, waiting;
static atomic_int spent;

static void unlock(void* m) { RETURNS(0, pthread_mutex_unlock(m)); }

static void* spends(void* argument) {
    pthread_mutex_lock(&mutex);
    pthread_cleanup_push(unlock, &mutex);
    ++waiting;
    while (tokens == 0) pthread_cond_wait(&cond, &mutex);
    --tokens;
    atomic_fetch_add(&spent, 1);
    pthread_cleanup_pop(1);
    return argument;
}

CASE(condition) {
    // POSIX: a thread that is cancelled in the wait consumes no signal that another waiter could have had.
    for (int i = 0; i < 100; ++i) {
        tokens = waiting = 0;
        atomic_store(&spent, 0);
        pthread_t threads[2] = {start(spends, NULL), start(spends, NULL)};
        for (int seen = 0; seen < 2;) {
            pthread_mutex_lock(&mutex);
            seen = waiting;
            pthread_mutex_unlock(&mutex);
            sched_yield();
        }
        pthread_mutex_lock(&mutex);
        tokens = 1;
        pthread_cond_signal(&cond);
        if (i % 2) RETURNS(0, pthread_cancel(threads[0]));
        pthread_mutex_unlock(&mutex);
        if (i % 2 == 0) RETURNS(0, pthread_cancel(threads[0]));
        const bool first = finish(threads[0]) != PTHREAD_CANCELED;
        if (first) { // it had the token; the other waits on
            pthread_cancel(threads[1]);
            CHECK(finish(threads[1]) == PTHREAD_CANCELED);
        } else {
            CHECK(finish(threads[1]) == NULL);
        }
        EQUAL(1, atomic_load(&spent));
    }
}

static void* locks(void* argument) {
    RETURNS(0, pthread_mutex_lock(&mutex)); // not a cancellation point
    ++*(int*)argument;
    RETURNS(0, pthread_mutex_unlock(&mutex));
    pthread_testcancel();
    return NULL;
}

static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;

static void* locks_rw(void* argument) {
    RETURNS(0, pthread_rwlock_wrlock(&rwlock)); // nor this
    ++*(int*)argument;
    RETURNS(0, pthread_rwlock_unlock(&rwlock));
    pthread_testcancel();
    return NULL;
}

static pthread_barrier_t barrier;

static void* meets(void* argument) {
    pthread_barrier_wait(&barrier); // nor this
    ++*(int*)argument;
    pthread_testcancel();
    return NULL;
}

CASE(waits_that_are_no_points) {
    int passed = 0;
    pthread_mutex_lock(&mutex);
    pthread_rwlock_wrlock(&rwlock);
    pthread_barrier_init(&barrier, NULL, 2);
    const pthread_t a = start(locks, &passed);
    settle();
    RETURNS(0, pthread_cancel(a));
    settle();
    EQUAL(0, passed);
    pthread_mutex_unlock(&mutex);
    CHECK(finish(a) == PTHREAD_CANCELED);
    const pthread_t b = start(locks_rw, &passed);
    settle();
    RETURNS(0, pthread_cancel(b));
    pthread_rwlock_unlock(&rwlock);
    CHECK(finish(b) == PTHREAD_CANCELED);
    const pthread_t c = start(meets, &passed);
    settle();
    RETURNS(0, pthread_cancel(c));
    pthread_barrier_wait(&barrier);
    CHECK(finish(c) == PTHREAD_CANCELED);
    EQUAL(3, passed);
}

static void* joins(void* thread) {
    finish(*(pthread_t*)thread);
    return NULL;
}

CASE(join_can_be_cancelled_and_made_again) {
    while (sem_trywait(&sem) == 0) {}
    pthread_t sleeper = start(takes, (void*)3);
    sem_wait(&ready);
    const pthread_t joiner = start(joins, &sleeper);
    settle();
    RETURNS(0, pthread_cancel(joiner));
    CHECK(finish(joiner) == PTHREAD_CANCELED);
    sem_post(&sem);
    EQUAL(3, (long)finish(sleeper));
}
