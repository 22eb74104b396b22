// SPDX-License-Identifier: Apache-2.0
// pthread_rwlock_*: readers together, writers alone, preference, what is returned.
#include "conform.h"

static pthread_rwlock_t lock;
static atomic_int readers, most, entered;
static sem_t go;

static void* reads(void* argument) {
    RETURNS(0, pthread_rwlock_rdlock(&lock));
    const int now = atomic_fetch_add(&readers, 1) + 1;
    for (int seen = atomic_load(&most); now > seen && !atomic_compare_exchange_weak(&most, &seen, now);) {}
    atomic_fetch_add(&entered, 1);
    sem_wait(&go);
    atomic_fetch_sub(&readers, 1);
    RETURNS(0, pthread_rwlock_unlock(&lock));
    return argument;
}

CASE(readers_together) {
    sem_init(&go, 0, 0);
    RETURNS(0, pthread_rwlock_init(&lock, NULL));
    pthread_t threads[20];
    for (int i = 0; i < 20; ++i) threads[i] = start(reads, NULL);
    UNTIL(entered, 20);
    RETURNS(0, pthread_rwlock_tryrdlock(&lock));
    RETURNS(EBUSY, pthread_rwlock_trywrlock(&lock));
    RETURNS(0, pthread_rwlock_unlock(&lock));
    for (int i = 0; i < 20; ++i) sem_post(&go);
    for (int i = 0; i < 20; ++i) finish(threads[i]);
    EQUAL(20, atomic_load(&most));
    RETURNS(0, pthread_rwlock_trywrlock(&lock));
    RETURNS(0, pthread_rwlock_unlock(&lock));
    RETURNS(0, pthread_rwlock_destroy(&lock));
}

static void* tries(void* argument) {
    RETURNS(EBUSY, pthread_rwlock_tryrdlock(&lock));
    RETURNS(EBUSY, pthread_rwlock_trywrlock(&lock));
    const struct timespec real = in_ms(CLOCK_REALTIME, 10), monotonic = in_ms(CLOCK_MONOTONIC, 10);
    RETURNS(ETIMEDOUT, pthread_rwlock_timedrdlock(&lock, &real));
    RETURNS(ETIMEDOUT, pthread_rwlock_timedwrlock(&lock, &real));
    RETURNS(ETIMEDOUT, pthread_rwlock_clockrdlock(&lock, CLOCK_MONOTONIC, &monotonic));
    RETURNS(ETIMEDOUT, pthread_rwlock_clockwrlock(&lock, CLOCK_MONOTONIC, &monotonic));
    struct timespec bad = real;
    bad.tv_nsec = 1000000000;
    RETURNS(EINVAL, pthread_rwlock_timedrdlock(&lock, &bad));
    RETURNS(EINVAL, pthread_rwlock_timedwrlock(&lock, &bad));
    RETURNS(EINVAL, pthread_rwlock_clockrdlock(&lock, CLOCK_BOOTTIME, &real));
    return argument;
}

CASE(writer_alone) {
    RETURNS(0, pthread_rwlock_init(&lock, NULL));
    RETURNS(0, pthread_rwlock_wrlock(&lock));
    finish(start(tries, NULL));
    RETURNS(EDEADLK, pthread_rwlock_rdlock(&lock));
    RETURNS(EDEADLK, pthread_rwlock_wrlock(&lock));
    RETURNS(0, pthread_rwlock_unlock(&lock));
    RETURNS(0, pthread_rwlock_rdlock(&lock));
    RETURNS(0, pthread_rwlock_rdlock(&lock)); // a reader may again
    RETURNS(0, pthread_rwlock_unlock(&lock));
    RETURNS(EBUSY, pthread_rwlock_trywrlock(&lock));
    RETURNS(0, pthread_rwlock_unlock(&lock));
    RETURNS(0, pthread_rwlock_destroy(&lock));
}

static long value[2];

static void* mixes(void* argument) {
    for (int i = 0; i < 100; ++i) {
        if ((i + (long)argument) % 4) {
            RETURNS(0, pthread_rwlock_rdlock(&lock));
            const long seen = value[0];
            if (i % 8 == 0) sched_yield();
            CHECK(seen == value[0] && seen == value[1]);
        } else {
            RETURNS(0, pthread_rwlock_wrlock(&lock));
            const long seen = value[0];
            value[0] = seen + 1;
            if (i % 8 == 0) sched_yield();
            value[1] = seen + 1;
        }
        RETURNS(0, pthread_rwlock_unlock(&lock));
    }
    return NULL;
}

CASE(all_kinds_keep_order) {
    static const int kinds[] = {PTHREAD_RWLOCK_PREFER_READER_NP, PTHREAD_RWLOCK_PREFER_WRITER_NP, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP};
    for (int k = 0; k < 3; ++k) {
        pthread_rwlockattr_t attr;
        int kind = -1;
        RETURNS(0, pthread_rwlockattr_init(&attr));
        RETURNS(0, pthread_rwlockattr_setkind_np(&attr, kinds[k]));
        RETURNS(0, pthread_rwlockattr_getkind_np(&attr, &kind));
        EQUAL(kinds[k], kind);
        RETURNS(EINVAL, pthread_rwlockattr_setkind_np(&attr, 99));
        RETURNS(0, pthread_rwlock_init(&lock, &attr));
        RETURNS(0, pthread_rwlockattr_destroy(&attr));
        value[0] = value[1] = 0;
        pthread_t threads[8];
        for (long i = 0; i < 8; ++i) threads[i] = start(mixes, (void*)i);
        for (int i = 0; i < 8; ++i) finish(threads[i]);
        EQUAL(200, value[0]);
        EQUAL(200, value[1]);
        RETURNS(0, pthread_rwlock_destroy(&lock));
    }
}

static sem_t about_to;

static void* writes(void* argument) {
    sem_post(&about_to);
    RETURNS(0, pthread_rwlock_wrlock(&lock));
    RETURNS(0, pthread_rwlock_unlock(&lock));
    return argument;
}

static void* one_read(void* argument) {
    const struct timespec at = in_ms(CLOCK_REALTIME, 1);
    const int error = pthread_rwlock_timedrdlock(&lock, &at);
    if (error == 0) pthread_rwlock_unlock(&lock);
    (void)argument;
    return (void*)(long)error;
}

/// What a new reader gets while one reads and a writer waits.
static int reader_behind_writer(int kind) {
    pthread_rwlockattr_t attr;
    pthread_rwlockattr_init(&attr);
    pthread_rwlockattr_setkind_np(&attr, kind);
    pthread_rwlock_init(&lock, &attr);
    sem_init(&about_to, 0, 0);
    pthread_rwlock_rdlock(&lock);
    const pthread_t writer = start(writes, NULL);
    sem_wait(&about_to);
    int error = 0;
    const int tries_left = kind == PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP ? 2000 : 5;
    for (int i = 0; i < tries_left && error == 0; ++i) { // until the writer waits
        settle();
        error = (int)(long)finish(start(one_read, NULL));
    }
    pthread_rwlock_unlock(&lock);
    finish(writer);
    pthread_rwlock_destroy(&lock);
    pthread_rwlockattr_destroy(&attr);
    return error;
}

CASE(preference) {
    RETURNS(0, reader_behind_writer(PTHREAD_RWLOCK_PREFER_READER_NP));
    RETURNS(ETIMEDOUT, reader_behind_writer(PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP));
    atomic_store(&conform_checks, 0);
}

static pthread_rwlock_t initialised = PTHREAD_RWLOCK_INITIALIZER;
static pthread_rwlock_t writer_first = PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;

CASE(initialisers) {
    RETURNS(0, pthread_rwlock_rdlock(&initialised));
    RETURNS(0, pthread_rwlock_unlock(&initialised));
    RETURNS(0, pthread_rwlock_wrlock(&writer_first));
    RETURNS(0, pthread_rwlock_unlock(&writer_first));
}

static void* unlock_wakes(void* argument) {
    RETURNS(0, (long)argument % 2 ? pthread_rwlock_wrlock(&lock) : pthread_rwlock_rdlock(&lock));
    atomic_fetch_add(&entered, 1);
    RETURNS(0, pthread_rwlock_unlock(&lock));
    return NULL;
}

CASE(unlock_lets_all_in) {
    RETURNS(0, pthread_rwlock_init(&lock, NULL));
    for (int round = 0; round < 10; ++round) {
        atomic_store(&entered, 0);
        pthread_rwlock_wrlock(&lock);
        pthread_t threads[12];
        for (long i = 0; i < 12; ++i) threads[i] = start(unlock_wakes, (void*)i);
        if (round == 0) settle();
        EQUAL(0, atomic_load(&entered));
        pthread_rwlock_unlock(&lock);
        for (int i = 0; i < 12; ++i) finish(threads[i]);
        EQUAL(12, atomic_load(&entered));
    }
    pthread_rwlock_destroy(&lock);
}

// Readers that wait for each other while they read, among writers: no writer that waits may keep the second of them out.
enum { meetings = 300 };
static pthread_mutex_t meeting = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t has_come = PTHREAD_COND_INITIALIZER;
static int others_come;
static atomic_int all_met;

static void* writes_on(void* argument) {
    while (!atomic_load(&all_met)) {
        RETURNS(0, pthread_rwlock_wrlock(&lock));
        RETURNS(0, pthread_rwlock_unlock(&lock));
    }
    return argument;
}

static void* comes(void* argument) {
    for (int i = 0; i < meetings; ++i) {
        RETURNS(0, pthread_rwlock_rdlock(&lock));
        pthread_mutex_lock(&meeting);
        ++others_come;
        pthread_cond_broadcast(&has_come);
        while (others_come < 2 * (i + 1)) pthread_cond_wait(&has_come, &meeting);
        pthread_mutex_unlock(&meeting);
        RETURNS(0, pthread_rwlock_unlock(&lock));
    }
    return argument;
}

CASE(readers_meet_among_writers) {
    RETURNS(0, pthread_rwlock_init(&lock, NULL));
    const pthread_t writers[] = {start(writes_on, NULL), start(writes_on, NULL)}, those[] = {start(comes, NULL), start(comes, NULL)};
    for (int i = 0; i < 2; ++i) finish(those[i]);
    atomic_store(&all_met, 1);
    for (int i = 0; i < 2; ++i) finish(writers[i]);
    pthread_rwlock_destroy(&lock);
    atomic_store(&conform_checks, 0); // as many as there was time for
    CHECK(others_come == 2 * meetings);
}
