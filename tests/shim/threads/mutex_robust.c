// SPDX-License-Identifier: Apache-2.0
// Robust mutexes: the owner's thread or process ends while it holds one.
#include "conform.h"

static pthread_mutex_t mutex;

static void make(pthread_mutex_t* m, int shared, int type) {
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    pthread_mutexattr_setpshared(&attr, shared);
    pthread_mutexattr_settype(&attr, type);
    RETURNS(0, pthread_mutex_init(m, &attr));
    pthread_mutexattr_destroy(&attr);
}

static void* ends_with_it(void* argument) {
    RETURNS(0, pthread_mutex_lock(argument));
    return NULL;
}

static void* exits_with_it(void* argument) {
    RETURNS(0, pthread_mutex_lock(argument));
    pthread_exit(NULL);
}

CASE(owner_ends) {
    static const int types[] = {PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_RECURSIVE, PTHREAD_MUTEX_ERRORCHECK};
    for (int t = 0; t < 3; ++t) {
        make(&mutex, PTHREAD_PROCESS_PRIVATE, types[t]);
        for (int i = 0; i < 6; ++i) {
            finish(start(i % 2 ? ends_with_it : exits_with_it, &mutex));
            if (i < 2) RETURNS(EOWNERDEAD, pthread_mutex_lock(&mutex));
            else if (i < 4) RETURNS(EOWNERDEAD, pthread_mutex_trylock(&mutex));
            else {
                const struct timespec at = in_ms(CLOCK_REALTIME, 10000);
                RETURNS(EOWNERDEAD, pthread_mutex_timedlock(&mutex, &at));
            }
            RETURNS(0, pthread_mutex_consistent(&mutex));
            RETURNS(0, pthread_mutex_unlock(&mutex));
            RETURNS(0, pthread_mutex_lock(&mutex));
            RETURNS(0, pthread_mutex_unlock(&mutex));
        }
        RETURNS(0, pthread_mutex_destroy(&mutex));
    }
}

CASE(not_made_consistent) {
    make(&mutex, PTHREAD_PROCESS_PRIVATE, PTHREAD_MUTEX_NORMAL);
    finish(start(ends_with_it, &mutex));
    RETURNS(EOWNERDEAD, pthread_mutex_lock(&mutex));
    RETURNS(0, pthread_mutex_unlock(&mutex));
    RETURNS(ENOTRECOVERABLE, pthread_mutex_lock(&mutex));
    RETURNS(ENOTRECOVERABLE, pthread_mutex_trylock(&mutex));
    RETURNS(EINVAL, pthread_mutex_consistent(&mutex));
    RETURNS(0, pthread_mutex_destroy(&mutex));
}

static sem_t held, let_go;

static void* holds_then_ends(void* argument) {
    RETURNS(0, pthread_mutex_lock(&mutex));
    sem_post(&held);
    sem_wait(&let_go);
    return argument;
}

static void* inherits(void* argument) {
    const int error = pthread_mutex_lock(&mutex);
    if (error == EOWNERDEAD) {
        ++*(int*)argument;
        RETURNS(0, pthread_mutex_consistent(&mutex));
    } else {
        RETURNS(0, error);
    }
    RETURNS(0, pthread_mutex_unlock(&mutex));
    return NULL;
}

CASE(owner_ends_while_others_wait) {
    sem_init(&held, 0, 0);
    sem_init(&let_go, 0, 0);
    make(&mutex, PTHREAD_PROCESS_PRIVATE, PTHREAD_MUTEX_NORMAL);
    const pthread_t owner = start(holds_then_ends, NULL);
    sem_wait(&held);
    int told = 0;
    pthread_t threads[5];
    for (int i = 0; i < 5; ++i) threads[i] = start(inherits, &told);
    settle();
    sem_post(&let_go);
    finish(owner);
    for (int i = 0; i < 5; ++i) finish(threads[i]);
    EQUAL(1, told);
    pthread_mutex_destroy(&mutex);
}

static pthread_mutex_t several[5];

static void* takes_all(void* argument) {
    for (int i = 0; i < 5; ++i) RETURNS(0, pthread_mutex_lock(&several[i]));
    RETURNS(0, pthread_mutex_unlock(&several[2]));
    return argument;
}

CASE(several_at_once) {
    for (int i = 0; i < 5; ++i) make(&several[i], PTHREAD_PROCESS_PRIVATE, PTHREAD_MUTEX_NORMAL);
    finish(start(takes_all, NULL));
    for (int i = 0; i < 5; ++i) {
        RETURNS(i == 2 ? 0 : EOWNERDEAD, pthread_mutex_lock(&several[i]));
        if (i != 2) RETURNS(0, pthread_mutex_consistent(&several[i]));
        RETURNS(0, pthread_mutex_unlock(&several[i]));
    }
}

static void* waits_for_child(void* argument) {
    pthread_mutex_t* shared = argument;
    RETURNS(EOWNERDEAD, pthread_mutex_lock(shared));
    RETURNS(0, pthread_mutex_consistent(shared));
    RETURNS(0, pthread_mutex_unlock(shared));
    return NULL;
}

CASE(owner_process_dies) {
    pthread_mutex_t* shared = shared_memory(4096);
    for (int i = 0; i < 3; ++i) {
        make(shared, PTHREAD_PROCESS_SHARED, PTHREAD_MUTEX_NORMAL);
        int ends[2];
        char byte = 0;
        CHECK(pipe(ends) == 0);
        const pid_t child = fork();
        if (child == 0) {
            pthread_mutex_lock(shared);
            if (write(ends[1], &byte, 1) < 0) {}
            for (;;) pause();
        }
        CHECK(read(ends[0], &byte, 1) == 1);
        const pthread_t thread = start(waits_for_child, shared);
        settle();
        kill(child, SIGKILL);
        finish(thread);
        waitpid(child, NULL, 0);
        close(ends[0]);
        close(ends[1]);
    }
}

static void* holds_shared(void* shared) {
    RETURNS(0, pthread_mutex_lock(shared));
    sem_post(&held);
    sem_wait(&let_go);
    return NULL;
}

CASE(another_process_is_told) {
    pthread_mutex_t* shared = shared_memory(4096);
    make(shared, PTHREAD_PROCESS_SHARED, PTHREAD_MUTEX_NORMAL);
    const pthread_t owner = start(holds_shared, shared);
    sem_wait(&held);
    const pid_t child = fork();
    if (child == 0) {
        atomic_store(&conform_failures, 0);
        finish(start(waits_for_child, shared));
        _exit(atomic_load(&conform_failures));
    }
    settle();
    sem_post(&let_go);
    finish(owner);
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child);
    EQUAL(0, ending(status));
}

CASE(of_ordinary_ones) {
    pthread_mutex_t plain = PTHREAD_MUTEX_INITIALIZER;
    RETURNS(EINVAL, pthread_mutex_consistent(&plain));
}
