// SPDX-License-Identifier: Apache-2.0
// pthread_once: one call, also when it waits, is cancelled, or a fork comes between.
#include "conform.h"

static atomic_int calls, returned;

static void slow(void) {
    atomic_fetch_add(&calls, 1);
    pause_ms(5);
    sched_yield();
    CHECK(atomic_load(&returned) == 0); // nobody has passed meanwhile
}

static void* once_by(void* control) {
    RETURNS(0, pthread_once(control, slow));
    atomic_fetch_add(&returned, 1);
    EQUAL(1, atomic_load(&calls));
    return NULL;
}

CASE(slow_routine) {
    static pthread_once_t control = PTHREAD_ONCE_INIT;
    pthread_t threads[12];
    for (int i = 0; i < 12; ++i) threads[i] = start(once_by, &control);
    for (int i = 0; i < 12; ++i) finish(threads[i]);
    EQUAL(1, atomic_load(&calls));
}

static void empty(void) { atomic_fetch_add(&calls, 1); }

CASE(again) {
    pthread_once_t control = PTHREAD_ONCE_INIT;
    atomic_store(&calls, 0);
    for (int i = 0; i < 100; ++i) RETURNS(0, pthread_once(&control, empty));
    EQUAL(1, atomic_load(&calls));
}

static pthread_once_t outer = PTHREAD_ONCE_INIT, inner = PTHREAD_ONCE_INIT;
static void call_inner(void) { RETURNS(0, pthread_once(&inner, empty)); }

CASE(nested) {
    atomic_store(&calls, 0);
    RETURNS(0, pthread_once(&outer, call_inner));
    RETURNS(0, pthread_once(&inner, empty));
    EQUAL(1, atomic_load(&calls));
}

static sem_t inside;
static void waits_for_ever(void) {
    atomic_fetch_add(&calls, 1);
    if (atomic_load(&calls) > 1) return;
    sem_post(&inside);
    for (;;) pause();
}

static void* once_cancelled(void* control) {
    pthread_once(control, waits_for_ever);
    return NULL;
}

CASE(cancelled) {
    // As if it had never been called: the next caller, or one who waits, calls it.
    static pthread_once_t control = PTHREAD_ONCE_INIT;
    atomic_store(&calls, 0);
    sem_init(&inside, 0, 0);
    const pthread_t first = start(once_cancelled, &control);
    sem_wait(&inside);
    const pthread_t second = start(once_cancelled, &control);
    settle();
    RETURNS(0, pthread_cancel(first));
    CHECK(finish(first) == PTHREAD_CANCELED);
    CHECK(finish(second) == NULL);
    EQUAL(2, atomic_load(&calls));
    RETURNS(0, pthread_once(&control, waits_for_ever));
    EQUAL(2, atomic_load(&calls));
}

static void leaves(void) {
    if (atomic_fetch_add(&calls, 1) == 0) pthread_exit((void*)4);
}

static void* once_left(void* control) {
    RETURNS(0, pthread_once(control, leaves));
    return NULL;
}

CASE(routine_exits) {
    static pthread_once_t control = PTHREAD_ONCE_INIT;
    atomic_store(&calls, 0);
    EQUAL(4, (long)finish(start(once_left, &control)));
    CHECK(finish(start(once_left, &control)) == NULL);
    EQUAL(2, atomic_load(&calls));
}

static pthread_once_t forked = PTHREAD_ONCE_INIT;

static void* in_routine(void* argument) {
    pthread_once(&forked, waits_for_ever);
    return argument;
}

CASE(fork_meanwhile) {
    // The child has no such thread: it calls the routine itself.
    atomic_store(&calls, 0);
    const pthread_t thread = start(in_routine, NULL);
    sem_wait(&inside);
    int status;
    CHILD(status) {
        RETURNS(0, pthread_once(&forked, empty));
        EQUAL(2, atomic_load(&calls));
    }
    EQUAL(0, ending(status));
    pthread_cancel(thread);
    CHECK(finish(thread) == PTHREAD_CANCELED);
}
