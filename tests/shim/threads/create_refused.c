// SPDX-License-Identifier: Apache-2.0
// pthread_create where it fails: nothing is left behind, the process can make threads afterwards.
#include "conform.h"

static void* nothing(void* argument) { return argument; }

CASE(stack_larger_than_memory) {
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    RETURNS(0, pthread_attr_setstacksize(&attr, (size_t)1 << 47));
    for (int i = 0; i < 20; ++i) {
        pthread_t thread = 0;
        RETURNS(EAGAIN, pthread_create(&thread, &attr, nothing, NULL));
    }
    pthread_attr_destroy(&attr);
    EQUAL(5, (long)finish(start(nothing, (void*)5)));
}

CASE(no_such_cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(CPU_SETSIZE - 1, &set);
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    RETURNS(0, pthread_attr_setaffinity_np(&attr, sizeof set, &set));
    for (int i = 0; i < 20; ++i) {
        pthread_t thread = 0;
        RETURNS(EINVAL, pthread_create(&thread, &attr, nothing, NULL));
    }
    pthread_attr_destroy(&attr);
    EQUAL(5, (long)finish(start(nothing, (void*)5)));
}

static void* wait_for_end(void* end) {
    while (sem_wait(end) != 0) {}
    return NULL;
}

/// Stacks that are made until the address space is used up: EAGAIN, and after some have ended it works again.
PROCESS(too_many) {
    enum { most = 1000, mib = 1 << 20 };
    static pthread_t threads[most];
    static sem_t end;
    sem_init(&end, 0, 0);
    long pages = 0;
    FILE* size = fopen("/proc/self/statm", "r");
    CHECK(size && fscanf(size, "%ld", &pages) == 1);
    fclose(size);
    const rlim_t most_memory = (rlim_t)pages * 4096 + (rlim_t)2048 * mib;
    const struct rlimit limit = {most_memory, most_memory};
    setrlimit(RLIMIT_AS, &limit);
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 96 * mib);
    int made = 0, error = 0;
    while (made < most && (error = pthread_create(&threads[made], &attr, wait_for_end, &end)) == 0) ++made;
    RETURNS(EAGAIN, error);
    CHECK(made > 2 && made < 22);
    for (int i = 0; i < made; ++i) sem_post(&end);
    for (int i = 0; i < made; ++i) finish(threads[i]);
    RETURNS(0, pthread_create(&threads[0], &attr, nothing, NULL));
    finish(threads[0]);
    EQUAL(5, (long)finish(start(nothing, (void*)5)));
    atomic_store(&conform_checks, 0); // how many they were is the machine's affair
}

CASE(address_space_used_up) { EQUAL(0, ending(run_process("too_many"))); }
