// SPDX-License-Identifier: Apache-2.0
// Cancellation and pthread_exit where a thread is ending already, and of many at once.
#include "conform.h"

static sem_t ready;
static pthread_key_t key, second;
static atomic_int destroyed;
static int ends[2];

static void* waits(void* argument) {
    sem_post(&ready);
    for (;;) pause_ms(60000);
    return argument;
}

static void waits_when_destroyed(void* value) {
    pause_ms(2); // no longer to be cancelled, or it waits
    atomic_fetch_add(&destroyed, 1);
    (void)value;
}

static void* has_value(void* argument) {
    pthread_setspecific(key, argument);
    return waits(argument);
}

CASE(destructors_may_wait) {
    sem_init(&ready, 0, 0);
    pthread_key_create(&key, waits_when_destroyed);
    for (int i = 0; i < 5; ++i) {
        const pthread_t thread = start(has_value, "v");
        sem_wait(&ready);
        RETURNS(0, pthread_cancel(thread));
        CHECK(finish(thread) == PTHREAD_CANCELED);
    }
    EQUAL(5, atomic_load(&destroyed));
}

static void leaves_when_destroyed(void* value) {
    atomic_fetch_add(&destroyed, 1);
    pthread_exit(value);
}

static void* returns(void* argument) {
    pthread_setspecific(key, NULL);
    pthread_setspecific(second, "other");
    return argument;
}

CASE(exit_in_a_destructor) {
    pthread_key_create(&second, leaves_when_destroyed);
    atomic_store(&destroyed, 0);
    const pthread_t thread = start(returns, "first");
    CHECK(strcmp(finish(thread), "other") == 0);
    EQUAL(1, atomic_load(&destroyed));
}

static void unlock(void* m) { pthread_mutex_unlock(m); }

static void* many_wait(void* which) {
    char byte;
    sem_t never;
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
    sem_post(&ready);
    switch ((long)which % 4) {
    case 0:
        for (;;) pause_ms(60000);
    case 1:
        while (read(ends[0], &byte, 1) < 0) {}
        break;
    case 2:
        sem_init(&never, 0, 0);
        while (sem_wait(&never) != 0) {}
        break;
    default:
        pthread_mutex_lock(&mutex);
        pthread_cleanup_push(unlock, &mutex);
        for (;;) pthread_cond_wait(&cond, &mutex);
        pthread_cleanup_pop(0);
    }
    return NULL;
}

CASE(many_at_once) {
    enum { count = 200 };
    static pthread_t threads[count];
    CHECK(pipe(ends) == 0);
    for (long i = 0; i < count; ++i) threads[i] = start(many_wait, (void*)i);
    for (int i = 0; i < count; ++i) sem_wait(&ready);
    settle();
    for (int i = 0; i < count; ++i) RETURNS(0, pthread_cancel(threads[i]));
    for (int i = 0; i < count; ++i) CHECK(finish(threads[i]) == PTHREAD_CANCELED);
}

static void* not_begun(void* argument) {
    ++*(int*)argument;
    pthread_testcancel();
    ++*(int*)argument;
    return NULL;
}

CASE(as_soon_as_it_is_made) {
    for (int i = 0; i < 20; ++i) {
        int steps = 0;
        const pthread_t thread = start(not_begun, &steps);
        RETURNS(0, pthread_cancel(thread));
        CHECK(finish(thread) == PTHREAD_CANCELED ? steps == 1 : steps == 2);
    }
}

static void* at_once(void* argument) { return argument; }

CASE(of_one_that_has_ended) {
    const pthread_t thread = start(at_once, "r");
    settle();
    RETURNS(0, pthread_cancel(thread));
    CHECK(strcmp(finish(thread), "r") == 0);
}

static char text[4096];
static int full[2];
static void* writes(void* argument) {
    // More than fits: what it has written when it is cancelled may be less.
    sem_post(&ready);
    for (;;)
        if (write(full[1], text, sizeof text) < 0) break;
    return argument;
}

CASE(a_writer_that_waits) {
    CHECK(pipe(full) == 0);
    const pthread_t thread = start(writes, NULL);
    sem_wait(&ready);
    settle();
    RETURNS(0, pthread_cancel(thread));
    CHECK(finish(thread) == PTHREAD_CANCELED);
    long size = 0;
    fcntl(full[0], F_SETFL, O_NONBLOCK);
    for (ssize_t n; (n = read(full[0], text, sizeof text)) > 0;) size += n;
    EQUAL(65536, size);
}
