// SPDX-License-Identifier: Apache-2.0
// pthread_barrier_*: nobody passes before all have come, one thread per cycle is told so.
#include "conform.h"

enum { threads_count = 7, cycles = 200 };

static pthread_barrier_t barrier;
static atomic_int arrived[cycles], serial[cycles];

static void* meets(void* argument) {
    for (int i = 0; i < cycles; ++i) {
        atomic_fetch_add(&arrived[i], 1);
        if (i % 50 == (int)(long)argument) pause_ms(1);
        const int result = pthread_barrier_wait(&barrier);
        EQUAL(threads_count, atomic_load(&arrived[i]));
        if (result == PTHREAD_BARRIER_SERIAL_THREAD) atomic_fetch_add(&serial[i], 1);
        else RETURNS(0, result);
    }
    return NULL;
}

CASE(cycles_follow_each_other) {
    RETURNS(0, pthread_barrier_init(&barrier, NULL, threads_count));
    pthread_t threads[threads_count];
    for (long i = 0; i < threads_count; ++i) threads[i] = start(meets, (void*)i);
    for (int i = 0; i < threads_count; ++i) finish(threads[i]);
    int exact = 0;
    for (int i = 0; i < cycles; ++i) exact += atomic_load(&serial[i]) == 1;
    EQUAL(cycles, exact);
    RETURNS(0, pthread_barrier_destroy(&barrier));
    atomic_store(&conform_checks, 0);
}

CASE(of_one) {
    RETURNS(0, pthread_barrier_init(&barrier, NULL, 1));
    for (int i = 0; i < 10; ++i) EQUAL(PTHREAD_BARRIER_SERIAL_THREAD, pthread_barrier_wait(&barrier));
    RETURNS(0, pthread_barrier_destroy(&barrier));
}

CASE(refused) {
    RETURNS(EINVAL, pthread_barrier_init(&barrier, NULL, 0));
    pthread_barrierattr_t attr;
    int shared = -1;
    RETURNS(0, pthread_barrierattr_init(&attr));
    RETURNS(0, pthread_barrierattr_getpshared(&attr, &shared));
    EQUAL(PTHREAD_PROCESS_PRIVATE, shared);
    RETURNS(EINVAL, pthread_barrierattr_setpshared(&attr, 99));
    RETURNS(0, pthread_barrierattr_destroy(&attr));
}

static void* meets_once(void* argument) {
    const int result = pthread_barrier_wait(argument);
    CHECK(result == 0 || result == PTHREAD_BARRIER_SERIAL_THREAD);
    return (void*)(long)result;
}

CASE(destroyed_after_use) {
    // POSIX: any thread that has come back may destroy it; it waits until the others have left.
    for (int i = 0; i < 30; ++i) {
        pthread_barrier_t* mine = malloc(sizeof *mine);
        RETURNS(0, pthread_barrier_init(mine, NULL, 4));
        pthread_t threads[3];
        for (int k = 0; k < 3; ++k) threads[k] = start(meets_once, mine);
        long sum = (long)meets_once(mine);
        RETURNS(0, pthread_barrier_destroy(mine));
        memset(mine, 0x77, sizeof *mine);
        for (int k = 0; k < 3; ++k) sum += (long)finish(threads[k]);
        EQUAL(PTHREAD_BARRIER_SERIAL_THREAD, sum);
        free(mine);
    }
}
