// SPDX-License-Identifier: Apache-2.0
// pthread_spin_*: contended, also when its holder waits in a call meanwhile.
#include "conform.h"

static pthread_spinlock_t lock;
static long counter;

static void* tries(void* argument) {
    (void)argument;
    return (void*)(long)pthread_spin_trylock(&lock);
}

CASE(values) {
    RETURNS(0, pthread_spin_init(&lock, PTHREAD_PROCESS_PRIVATE));
    RETURNS(0, pthread_spin_lock(&lock));
    RETURNS(EBUSY, (long)finish(start(tries, NULL)));
    RETURNS(EBUSY, pthread_spin_trylock(&lock));
    RETURNS(0, pthread_spin_unlock(&lock));
    RETURNS(0, pthread_spin_trylock(&lock));
    RETURNS(0, pthread_spin_unlock(&lock));
    RETURNS(0, pthread_spin_destroy(&lock));
}

static void* adds(void* argument) {
    for (int i = 0; i < 200; ++i) {
        RETURNS(0, pthread_spin_lock(&lock));
        const long seen = counter;
        if (i % 10 == 0) sched_yield();
        counter = seen + 1;
        RETURNS(0, pthread_spin_unlock(&lock));
    }
    return argument;
}

CASE(contended) {
    RETURNS(0, pthread_spin_init(&lock, PTHREAD_PROCESS_PRIVATE));
    pthread_t threads[4];
    for (int i = 0; i < 4; ++i) threads[i] = start(adds, NULL);
    for (int i = 0; i < 4; ++i) finish(threads[i]);
    EQUAL(800, counter);
}

static sem_t taken;

static void* sleeps_with_it(void* argument) {
    RETURNS(0, pthread_spin_lock(&lock));
    sem_post(&taken);
    pause_ms(5);
    RETURNS(0, pthread_spin_unlock(&lock));
    return argument;
}

CASE(holder_sleeps) {
    sem_init(&taken, 0, 0);
    for (int i = 0; i < 3; ++i) {
        const pthread_t thread = start(sleeps_with_it, NULL);
        sem_wait(&taken);
        RETURNS(0, pthread_spin_lock(&lock));
        RETURNS(0, pthread_spin_unlock(&lock));
        finish(thread);
    }
}

static void* wants_it(void* argument) {
    RETURNS(0, pthread_spin_lock(&lock));
    RETURNS(0, pthread_spin_unlock(&lock));
    return argument;
}

CASE(another_waits_for_it) {
    RETURNS(0, pthread_spin_lock(&lock));
    const pthread_t a = start(wants_it, NULL), b = start(wants_it, NULL);
    settle();
    RETURNS(EBUSY, pthread_spin_trylock(&lock));
    RETURNS(0, pthread_spin_unlock(&lock));
    finish(a);
    finish(b);
}
