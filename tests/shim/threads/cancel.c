// SPDX-License-Identifier: Apache-2.0
// pthread_cancel, setcancelstate, setcanceltype, testcancel.
#include "conform.h"

static sem_t ready, go;

static void* never_waits(void* argument) {
    sem_post(&ready);
    while (sem_trywait(&go) != 0) sched_yield(); // neither is a cancellation point
    return argument;
}

CASE(only_at_points) {
    sem_init(&ready, 0, 0);
    sem_init(&go, 0, 0);
    pthread_t thread = start(never_waits, (void*)6);
    while (sem_wait(&ready) != 0) {}
    RETURNS(0, pthread_cancel(thread));
    settle();
    sem_post(&go);
    EQUAL(6, (long)finish(thread));
}

static void* tests(void* argument) {
    sem_post(&ready);
    while (sem_trywait(&go) != 0) sched_yield();
    pthread_testcancel();
    CHECK(!"not reached");
    return argument;
}

CASE(testcancel) {
    pthread_testcancel(); // nothing is pending
    const pthread_t thread = start(tests, NULL);
    sem_wait(&ready);
    RETURNS(0, pthread_cancel(thread));
    sem_post(&go);
    CHECK(finish(thread) == PTHREAD_CANCELED);
}

static void* itself(void* argument) {
    RETURNS(0, pthread_cancel(pthread_self()));
    *(int*)argument = 1; // deferred
    pthread_testcancel();
    *(int*)argument = 2;
    return NULL;
}

CASE(of_itself) {
    int reached = 0;
    CHECK(finish(start(itself, &reached)) == PTHREAD_CANCELED);
    EQUAL(1, reached);
}

static void* disabled(void* argument) {
    int old = -1;
    RETURNS(0, pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old));
    EQUAL(PTHREAD_CANCEL_ENABLE, old);
    sem_post(&ready);
    sem_wait(&go);
    pause_ms(2);
    pthread_testcancel();
    *(int*)argument = 1;
    RETURNS(0, pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &old));
    EQUAL(PTHREAD_CANCEL_DISABLE, old);
    *(int*)argument = 2;
    pthread_testcancel();
    *(int*)argument = 3;
    return NULL;
}

CASE(disabled_then_enabled) {
    int reached = 0;
    const pthread_t thread = start(disabled, &reached);
    sem_wait(&ready);
    RETURNS(0, pthread_cancel(thread));
    RETURNS(0, pthread_cancel(thread));
    sem_post(&go);
    CHECK(finish(thread) == PTHREAD_CANCELED);
    EQUAL(2, reached);
}

static void* states(void* argument) {
    int old = -1;
    RETURNS(EINVAL, pthread_setcancelstate(99, &old));
    RETURNS(EINVAL, pthread_setcanceltype(99, &old));
    RETURNS(0, pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &old));
    EQUAL(PTHREAD_CANCEL_DEFERRED, old);
    RETURNS(0, pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &old));
    EQUAL(PTHREAD_CANCEL_ASYNCHRONOUS, old);
    RETURNS(0, pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL));
    sched_yield();
    pause_ms(1); // it is the thread's own: others run meanwhile
    RETURNS(0, pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &old));
    EQUAL(PTHREAD_CANCEL_DISABLE, old);
    return argument;
}

CASE(state_is_per_thread) {
    pthread_t threads[5];
    for (int i = 0; i < 5; ++i) threads[i] = start(states, NULL);
    for (int i = 0; i < 5; ++i) finish(threads[i]);
    states(NULL);
}

static atomic_long spins;

static void* spins_for_ever(void* argument) {
    RETURNS(0, pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL));
    sem_post(&ready);
    for (;;) atomic_fetch_add(&spins, 1); // no call at all
    return argument;
}

CASE(asynchronous_in_a_loop) {
    for (int i = 0; i < 5; ++i) {
        const pthread_t thread = start(spins_for_ever, NULL);
        sem_wait(&ready);
        if (i % 2) settle();
        RETURNS(0, pthread_cancel(thread));
        CHECK(finish(thread) == PTHREAD_CANCELED);
    }
}

static void* async_blocked(void* argument) {
    int ends[2];
    char byte;
    CHECK(pipe(ends) == 0);
    RETURNS(0, pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL));
    sem_post(&ready);
    if (read(ends[0], &byte, 1) < 0) {}
    return argument;
}

CASE(asynchronous_in_a_call) {
    const pthread_t thread = start(async_blocked, NULL);
    sem_wait(&ready);
    settle();
    RETURNS(0, pthread_cancel(thread));
    CHECK(finish(thread) == PTHREAD_CANCELED);
}

static void* pending_when_enabled(void* argument) {
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
    sem_post(&ready);
    sem_wait(&go);
    *(int*)argument = 1;
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL); // acts at once
    *(int*)argument = 2;
    return NULL;
}

CASE(asynchronous_when_enabled) {
    int reached = 0;
    const pthread_t thread = start(pending_when_enabled, &reached);
    sem_wait(&ready);
    RETURNS(0, pthread_cancel(thread));
    sem_post(&go);
    CHECK(finish(thread) == PTHREAD_CANCELED);
    EQUAL(1, reached);
}

static void* becomes_asynchronous(void* argument) {
    sem_post(&ready);
    while (sem_trywait(&go) != 0) sched_yield();
    *(int*)argument = 1;
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL); // with one pending
    *(int*)argument = 2;
    return NULL;
}

CASE(asynchronous_with_one_pending) {
    int reached = 0;
    const pthread_t thread = start(becomes_asynchronous, &reached);
    sem_wait(&ready);
    RETURNS(0, pthread_cancel(thread));
    sem_post(&go);
    CHECK(finish(thread) == PTHREAD_CANCELED);
    EQUAL(1, reached);
}

static void* nothing(void* argument) { return argument; }

CASE(of_one_that_has_ended) {
    const pthread_t thread = start(nothing, (void*)8);
    settle();
    RETURNS(0, pthread_cancel(thread)); // it can still be joined, so the id is valid
    EQUAL(8, (long)finish(thread));
}

static void* cancels(void* thread) {
    RETURNS(0, pthread_cancel(*(pthread_t*)thread));
    return NULL;
}

static void* sleeps(void* argument) {
    sem_post(&ready);
    for (;;) pause_ms(1000);
    return argument;
}

CASE(by_several) {
    pthread_t thread = start(sleeps, NULL);
    sem_wait(&ready);
    pthread_t others[5];
    for (int i = 0; i < 5; ++i) others[i] = start(cancels, &thread);
    for (int i = 0; i < 5; ++i) finish(others[i]);
    CHECK(finish(thread) == PTHREAD_CANCELED);
}

CASE(before_it_runs) {
    for (int i = 0; i < 30; ++i) {
        const pthread_t thread = start(sleeps, NULL);
        RETURNS(0, pthread_cancel(thread));
        CHECK(finish(thread) == PTHREAD_CANCELED);
        while (sem_trywait(&ready) == 0) {} // it may have come so far or not
    }
}
