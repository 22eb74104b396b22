// SPDX-License-Identifier: Apache-2.0
// pthread_exit in the handler of a signal that came while the thread waited or computed: all that lies beneath is unwound.
#include "conform.h"

static char order[32];
static void note(void* text) { strcat(order, text); }

static sem_t ready;
static volatile sig_atomic_t computes;

static void leaves(int number) {
    (void)number;
    pthread_cleanup_push(note, "h");
    pthread_exit((void*)7);
    pthread_cleanup_pop(0);
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static int ends[2];

static void unlock(void* m) { pthread_mutex_unlock(m); }

static void waits_to_read(void) {
    char byte;
    if (read(ends[0], &byte, 1) < 0) note("!");
}
static void sleeps(void) { pause_ms(60000); }
static void waits_for_condition(void) {
    pthread_mutex_lock(&mutex);
    pthread_cleanup_push(unlock, &mutex);
    for (;;) pthread_cond_wait(&cond, &mutex);
    pthread_cleanup_pop(1);
}
static void waits_for_semaphore(void) {
    sem_t never;
    sem_init(&never, 0, 0);
    while (sem_wait(&never) != 0) {}
}
static void (*const waits[])(void) = {waits_to_read, sleeps, waits_for_condition, waits_for_semaphore};

static void* with_handler(void* wait) {
    pthread_cleanup_push(note, "o");
    pthread_cleanup_push(note, "i");
    sem_post(&ready);
    (*(void (*const*)(void))wait)();
    note("?");
    pthread_cleanup_pop(0);
    pthread_cleanup_pop(0);
    return NULL;
}

static void install(void (*handler)(int)) {
    struct sigaction action = {.sa_handler = handler};
    sigemptyset(&action.sa_mask);
    sigaction(SIGUSR1, &action, NULL);
}

CASE(while_it_waits) {
    sem_init(&ready, 0, 0);
    CHECK(pipe(ends) == 0);
    install(leaves);
    for (size_t i = 0; i < sizeof waits / sizeof *waits; ++i) {
        order[0] = 0;
        const pthread_t thread = start(with_handler, (void*)&waits[i]);
        while (sem_wait(&ready) != 0) {}
        settle();
        RETURNS(0, pthread_kill(thread, SIGUSR1));
        CHECK(finish(thread) == (void*)7);
        if (!CHECK(strcmp(order, "hio") == 0)) say(order);
        RETURNS(0, pthread_mutex_trylock(&mutex));
        RETURNS(0, pthread_mutex_unlock(&mutex));
    }
}

static void* computes_for_ever(void* argument) {
    pthread_cleanup_push(note, "c");
    sem_post(&ready);
    for (;;) ++computes;
    pthread_cleanup_pop(0);
    return argument;
}

CASE(while_it_computes) {
    install(leaves);
    order[0] = 0;
    const pthread_t thread = start(computes_for_ever, NULL);
    while (sem_wait(&ready) != 0) {}
    settle();
    RETURNS(0, pthread_kill(thread, SIGUSR1));
    CHECK(finish(thread) == (void*)7);
    CHECK(strcmp(order, "hc") == 0);
}

static void reads(int number) {
    char byte;
    (void)number;
    pthread_cleanup_push(note, "h");
    sem_post(&ready);
    if (read(ends[0], &byte, 1) < 0) note("!");
    pthread_cleanup_pop(0);
}

CASE(cancelled_in_a_handler) {
    install(reads);
    order[0] = 0;
    const pthread_t thread = start(with_handler, (void*)&waits[0]);
    while (sem_wait(&ready) != 0) {}
    settle();
    RETURNS(0, pthread_kill(thread, SIGUSR1));
    while (sem_wait(&ready) != 0) {}
    settle();
    RETURNS(0, pthread_cancel(thread));
    CHECK(finish(thread) == PTHREAD_CANCELED);
    CHECK(strcmp(order, "hio") == 0);
}
