// SPDX-License-Identifier: Apache-2.0
// pthread_cleanup_push and pop: order, on pop, on exit, on cancellation. Without -fexceptions a handler
// is registered; with it (as cleanup_unwind) it is a scope that is left, as is every variable with the attribute `cleanup`.
#include "conform.h"

static char order[64];
static void note(void* text) { strcat(order, text); }

static void reset(void) { order[0] = 0; }

CASE(pop) {
    reset();
    pthread_cleanup_push(note, "1");
    pthread_cleanup_push(note, "2");
    pthread_cleanup_push(note, "3");
    pthread_cleanup_pop(1);
    pthread_cleanup_pop(0);
    pthread_cleanup_pop(1);
    CHECK(strcmp(order, "31") == 0);
}

static sem_t inside;

static void deeper(void) {
    pthread_cleanup_push(note, "d");
    sem_post(&inside);
    for (;;) pause_ms(1000);
    pthread_cleanup_pop(0);
}

static void* is_cancelled(void* argument) {
    pthread_cleanup_push(note, "a");
    pthread_cleanup_push(note, "b");
    deeper();
    pthread_cleanup_pop(0);
    pthread_cleanup_pop(0);
    return argument;
}

CASE(cancelled) {
    sem_init(&inside, 0, 0);
    for (int i = 0; i < 5; ++i) {
        reset();
        const pthread_t thread = start(is_cancelled, NULL);
        sem_wait(&inside);
        RETURNS(0, pthread_cancel(thread));
        CHECK(finish(thread) == PTHREAD_CANCELED);
        CHECK(strcmp(order, "dba") == 0);
    }
}

static void waits_in_handler(void* argument) {
    // Cancellation is off in a handler: calls that wait just wait.
    pause_ms(2);
    CHECK(sem_trywait(&inside) == -1);
    pthread_testcancel();
    strcat(order, argument);
}

static void* handlers_wait(void* argument) {
    pthread_cleanup_push(waits_in_handler, "w");
    pthread_cleanup_push(waits_in_handler, "v");
    sem_post(&inside);
    for (;;) pause_ms(1000);
    pthread_cleanup_pop(0);
    pthread_cleanup_pop(0);
    return argument;
}

CASE(handlers_may_wait) {
    reset();
    const pthread_t thread = start(handlers_wait, NULL);
    sem_wait(&inside);
    RETURNS(0, pthread_cancel(thread));
    RETURNS(0, pthread_cancel(thread));
    CHECK(finish(thread) == PTHREAD_CANCELED);
    CHECK(strcmp(order, "vw") == 0);
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static void unlock(void* m) { RETURNS(0, pthread_mutex_unlock(m)); }

static void* holds_mutex(void* argument) {
    pthread_mutex_lock(&mutex);
    pthread_cleanup_push(unlock, &mutex);
    sem_post(&inside);
    for (;;) pause_ms(1000);
    pthread_cleanup_pop(1);
    return argument;
}

CASE(unlocks) {
    const pthread_t thread = start(holds_mutex, NULL);
    sem_wait(&inside);
    RETURNS(EBUSY, pthread_mutex_trylock(&mutex));
    pthread_cancel(thread);
    RETURNS(0, pthread_mutex_lock(&mutex));
    RETURNS(0, pthread_mutex_unlock(&mutex));
    CHECK(finish(thread) == PTHREAD_CANCELED);
}

#ifdef __EXCEPTIONS
static void leave_scope(const char** text) { strcat(order, *text); }

static void* with_attribute(void* argument) {
    const char* outer __attribute__((cleanup(leave_scope))) = "o";
    pthread_cleanup_push(note, "p");
    {
        const char* inner __attribute__((cleanup(leave_scope))) = "i";
        (void)inner;
        if (argument) pthread_exit(NULL);
        sem_post(&inside);
        for (;;) pause_ms(1000);
    }
    pthread_cleanup_pop(0);
    (void)outer;
    return NULL;
}

CASE(scopes_are_left) {
    reset();
    finish(start(with_attribute, (void*)1));
    CHECK(strcmp(order, "ipo") == 0);
    reset();
    const pthread_t thread = start(with_attribute, NULL);
    sem_wait(&inside);
    pthread_cancel(thread);
    CHECK(finish(thread) == PTHREAD_CANCELED);
    CHECK(strcmp(order, "ipo") == 0);
}
#endif

static void* defer_np(void* argument) {
    int type = -1;
    RETURNS(0, pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL));
    pthread_cleanup_push_defer_np(note, "n");
    RETURNS(0, pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &type));
    EQUAL(PTHREAD_CANCEL_DEFERRED, type);
    pthread_cleanup_pop_restore_np(1);
    RETURNS(0, pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &type));
    EQUAL(PTHREAD_CANCEL_ASYNCHRONOUS, type);
    return argument;
}

CASE(push_defer) {
    reset();
    finish(start(defer_np, NULL));
    CHECK(strcmp(order, "n") == 0);
}
