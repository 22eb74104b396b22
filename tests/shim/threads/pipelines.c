// SPDX-License-Identifier: Apache-2.0
// Threads that work together: a ring of pipes, producers and consumers of a bounded queue, threads that wait for each other's computing.
#include "conform.h"

enum { ring_size = 40, laps = 25 };

static int ring[ring_size][2];

static void* passes_on(void* argument) {
    const long mine = (long)argument;
    for (int lap = 0; lap < laps; ++lap) {
        int token = -1;
        EQUAL((int)sizeof token, read(ring[mine][0], &token, sizeof token));
        ++token;
        EQUAL((int)sizeof token, write(ring[(mine + 1) % ring_size][1], &token, sizeof token));
    }
    return NULL;
}

CASE(ring_of_pipes) {
    pthread_t threads[ring_size];
    for (int i = 0; i < ring_size; ++i) CHECK(pipe(ring[i]) == 0);
    for (long i = 1; i < ring_size; ++i) threads[i] = start(passes_on, (void*)i);
    int token = 0;
    for (int lap = 0; lap < laps; ++lap) {
        EQUAL((int)sizeof token, write(ring[1][1], &token, sizeof token));
        EQUAL((int)sizeof token, read(ring[0][0], &token, sizeof token));
    }
    EQUAL(laps * (ring_size - 1), token);
    for (int i = 1; i < ring_size; ++i) finish(threads[i]);
    for (int i = 0; i < ring_size; ++i) {
        close(ring[i][0]);
        close(ring[i][1]);
    }
}

enum { room = 8, items = 4000, workers = 6 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t not_full = PTHREAD_COND_INITIALIZER, not_empty = PTHREAD_COND_INITIALIZER;
static long queue[room], produced, consumed, sum;
static int used, first;

static void* produces(void* argument) {
    for (;;) {
        pthread_mutex_lock(&mutex);
        while (used == room && produced < items) pthread_cond_wait(&not_full, &mutex);
        if (produced == items) break;
        queue[(first + used++) % room] = ++produced;
        pthread_cond_signal(&not_empty);
        pthread_mutex_unlock(&mutex);
    }
    pthread_cond_broadcast(&not_full);
    pthread_cond_broadcast(&not_empty);
    pthread_mutex_unlock(&mutex);
    return argument;
}

static void* consumes(void* argument) {
    for (;;) {
        pthread_mutex_lock(&mutex);
        while (used == 0 && consumed < items) pthread_cond_wait(&not_empty, &mutex);
        if (consumed == items) break;
        sum += queue[first];
        first = (first + 1) % room;
        --used;
        ++consumed;
        pthread_cond_signal(&not_full);
        pthread_mutex_unlock(&mutex);
    }
    pthread_cond_broadcast(&not_empty);
    pthread_mutex_unlock(&mutex);
    return argument;
}

CASE(bounded_queue) {
    pthread_t threads[2 * workers];
    for (int i = 0; i < workers; ++i) {
        threads[2 * i] = start(produces, NULL);
        threads[2 * i + 1] = start(consumes, NULL);
    }
    for (int i = 0; i < 2 * workers; ++i) finish(threads[i]);
    EQUAL(items, consumed);
    EQUAL((long)items * (items + 1) / 2, sum);
}

static atomic_int flag;

static void* spins(void* argument) {
    while (atomic_load((atomic_int*)argument) == 0) {} // no call
    return NULL;
}

static void* sets(void* argument) {
    atomic_store((atomic_int*)argument, 1);
    return NULL;
}

CASE(waiting_without_a_call) {
    // Who computes, or spins for what another does, does not keep the others from running.
    for (int i = 0; i < 3; ++i) {
        atomic_store(&flag, 0);
        const pthread_t spinner = start(spins, &flag), setter = start(sets, &flag);
        finish(spinner);
        finish(setter);
    }
    atomic_store(&flag, 0);
    const pthread_t setter = start(sets, &flag);
    while (atomic_load(&flag) == 0) {} // main as well
    finish(setter);
}

static atomic_int all_spin;

static void* spins_with_others(void* argument) {
    atomic_fetch_add(&all_spin, 1);
    while (atomic_load(&all_spin) < 4) {}
    return argument;
}

CASE(several_spin_for_each_other) {
    pthread_t threads[4];
    for (int i = 0; i < 4; ++i) threads[i] = start(spins_with_others, NULL);
    for (int i = 0; i < 4; ++i) finish(threads[i]);
}
