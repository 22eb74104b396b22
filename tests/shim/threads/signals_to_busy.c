// SPDX-License-Identifier: Apache-2.0
// Signals for the process and for its threads while these compute and now and then call libc: each is handled once, by a thread that lets it in,
// and none is left over when the action is the default one again.
#include "conform.h"

static atomic_int caught, stop, begun;

static void count(int number) {
    (void)number;
    atomic_fetch_add(&caught, 1);
}

static void* computes(void* argument) {
    pthread_mutex_t mine = PTHREAD_MUTEX_INITIALIZER;
    volatile unsigned long sum = 0;
    atomic_fetch_add(&begun, 1);
    while (!atomic_load(&stop)) {
        for (unsigned long i = 0; i < (unsigned long)(long)argument; ++i) sum += i;
        pthread_mutex_lock(&mine);
        pthread_mutex_unlock(&mine);
    }
    return NULL;
}

CASE(handled_once) {
    enum { threads = 3, rounds = 80 };
    static const long work[threads] = {9000000, 13000000, 17000000}; // some milliseconds
    pthread_t all[threads];
    for (int i = 0; i < threads; ++i) all[i] = start(computes, (void*)work[i]);
    while (atomic_load(&begun) < threads) sched_yield();
    sigset_t blocked;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR2);
    CHECK(pthread_sigmask(SIG_BLOCK, &blocked, NULL) == 0); // it is for those that compute
    struct sigaction a = {.sa_handler = count};
    const long long end = now_us(CLOCK_MONOTONIC) + 60000000;
    int late = 0;
    for (int i = 0; i < rounds; ++i) {
        CHECK(sigaction(SIGUSR2, &a, NULL) == 0);
        atomic_store(&caught, 0);
        CHECK((i % 2 == 0 ? kill(getpid(), SIGUSR2) : pthread_kill(all[i % threads], SIGUSR2)) == 0);
        const struct timespec a_while = {0, 200000};
        while (atomic_load(&caught) == 0 && now_us(CLOCK_MONOTONIC) < end) nanosleep(&a_while, NULL);
        late += atomic_load(&caught) != 1;
        CHECK(signal(SIGUSR2, SIG_DFL) == count);
    }
    atomic_store(&stop, 1);
    for (int i = 0; i < threads; ++i) finish(all[i]);
    printf("not handled once: %d of %d\n", late, rounds);
}
