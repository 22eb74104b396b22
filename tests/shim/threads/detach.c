// SPDX-License-Identifier: Apache-2.0
// pthread_detach: by itself, by others, before and after the end; nothing of the threads is left behind.
#include "conform.h"

static atomic_int ended;

static void* detaches_itself(void* argument) {
    RETURNS(0, pthread_detach(pthread_self()));
    RETURNS(EINVAL, pthread_detach(pthread_self()));
    pause_ms(1);
    atomic_fetch_add(&ended, 1);
    return argument;
}

CASE(itself) {
    atomic_store(&ended, 0);
    for (int i = 0; i < 50; ++i) start(detaches_itself, NULL);
    UNTIL(ended, 50);
}

static void* counts(void* argument) {
    atomic_fetch_add(&ended, 1);
    return argument;
}

CASE(made_detached) {
    atomic_store(&ended, 0);
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    for (int i = 0; i < 1000; ++i) {
        pthread_t thread;
        RETURNS(0, pthread_create(&thread, &attr, counts, NULL));
    }
    pthread_attr_destroy(&attr);
    UNTIL(ended, 1000);
}

CASE(before_or_after_the_end) {
    atomic_store(&ended, 0);
    for (int i = 0; i < 200; ++i) {
        const pthread_t thread = start(counts, NULL);
        if (i % 20 == 0) settle();
        RETURNS(0, pthread_detach(thread));
    }
    UNTIL(ended, 200);
}

static void* detaches(void* thread) {
    RETURNS(0, pthread_detach(*(pthread_t*)thread));
    return NULL;
}

static sem_t go;

static void* wait_for_go(void* argument) {
    sem_wait(&go);
    atomic_fetch_add(&ended, 1);
    return argument;
}

CASE(by_another) {
    sem_init(&go, 0, 0);
    atomic_store(&ended, 0);
    pthread_t thread = start(wait_for_go, NULL);
    finish(start(detaches, &thread));
    RETURNS(EINVAL, pthread_join(thread, NULL));
    sem_post(&go);
    UNTIL(ended, 1);
}

PROCESS(many_thousand) {
    const struct rlimit limit = {(rlim_t)4 << 30, (rlim_t)4 << 30};
    setrlimit(RLIMIT_AS, &limit); // 20,000 stacks of 8 MiB would not find room
    atomic_store(&ended, 0);
    for (int i = 0; i < 20000; ++i) {
        pthread_t thread;
        int error;
        while ((error = pthread_create(&thread, NULL, counts, NULL)) == EAGAIN) pause_ms(1);
        if (error != 0 || pthread_detach(thread) != 0) CHECK(!"a thread could not be made or detached");
        if (i % 50 == 0) pause_ms(1);
    }
    UNTIL(ended, 20000);
}

CASE(nothing_is_left_behind) { EQUAL(0, ending(run_process("many_thousand"))); }
