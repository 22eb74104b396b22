// SPDX-License-Identifier: Apache-2.0
// The end of the process while threads run: exit and _exit by any thread, main's return, abort, a signal; handlers run once.
#include "conform.h"

static sem_t ready;

static void* runs(void* argument) {
    sem_post(&ready);
    for (;;) sched_yield();
    return argument;
}

static void* blocks(void* argument) {
    int ends[2];
    char byte;
    if (pipe(ends) != 0) abort();
    sem_post(&ready);
    if (read(ends[0], &byte, 1) < 0) {}
    return argument;
}

static void* waits(void* argument) {
    static sem_t never;
    sem_init(&never, 0, 0);
    sem_post(&ready);
    sem_wait(&never);
    return argument;
}

static void* computes(void* argument) {
    sem_post(&ready);
    for (;;) __asm__ volatile("");
    return argument;
}

static void at_exit(void) { say("  atexit\n"); }

static void populate(bool busy) {
    sem_init(&ready, 0, 0);
    atexit(at_exit);
    void* (*const kinds[])(void*) = {runs, blocks, waits, computes};
    for (int i = 0; i < (busy ? 4 : 3); ++i) start(kinds[i], NULL);
    for (int i = 0; i < (busy ? 4 : 3); ++i) sem_wait(&ready);
}

PROCESS(main_returns) { populate(false); }

PROCESS(main_returns_busy) { populate(true); }

PROCESS(main_exits) {
    populate(false);
    exit(11);
}

PROCESS(main_exits_at_once) {
    populate(true);
    _exit(12);
}

static void* calls_exit(void* argument) { exit((int)(long)argument); }
static void* calls_exit_at_once(void* argument) { _exit((int)(long)argument); }
static void* aborts(void* argument) {
    const struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    abort();
    return argument;
}

PROCESS(thread_exits) {
    populate(false);
    start(calls_exit, (void*)13);
    for (;;) pause();
}

PROCESS(thread_exits_while_main_joins) {
    populate(false);
    finish(start(calls_exit, (void*)14));
}

PROCESS(thread_exits_at_once) {
    populate(true);
    finish(start(calls_exit_at_once, (void*)15));
}

PROCESS(thread_aborts) {
    populate(false);
    finish(start(aborts, NULL));
}

static void joins_in_handler(void) {
    // Handlers may still use threads.
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&mutex);
    pause_ms(2);
    pthread_mutex_unlock(&mutex);
    say("  handler waited\n");
}

PROCESS(handler_waits) {
    populate(false);
    atexit(joins_in_handler);
    exit(16);
}

static void* nothing(void* argument) { return argument; }
static void makes_thread(void) { EQUAL(3, (long)finish(start(nothing, (void*)3))); }

PROCESS(handler_makes_a_thread) {
    populate(false);
    atexit(makes_thread);
    exit(17);
}

static void* flushed(void* argument) {
    printf("  buffered by a thread\n");
    return argument;
}

PROCESS(streams_are_flushed) {
    finish(start(flushed, NULL));
    exit(18);
}

static void* quick(void* argument) {
    at_quick_exit(at_exit);
    quick_exit((int)(long)argument);
}

PROCESS(quick_exit_in_a_thread) { finish(start(quick, (void*)19)); }

CASE(status_and_handlers) {
    EQUAL(0, ending(run_process("main_returns")));
    EQUAL(0, ending(run_process("main_returns_busy")));
    EQUAL(11, ending(run_process("main_exits")));
    EQUAL(12, ending(run_process("main_exits_at_once")));
    EQUAL(13, ending(run_process("thread_exits")));
    EQUAL(14, ending(run_process("thread_exits_while_main_joins")));
    EQUAL(15, ending(run_process("thread_exits_at_once")));
    EQUAL(1000 + SIGABRT, ending(run_process("thread_aborts")));
    EQUAL(16, ending(run_process("handler_waits")));
    EQUAL(17, ending(run_process("handler_makes_a_thread")));
    EQUAL(18, ending(run_process("streams_are_flushed")));
    EQUAL(19, ending(run_process("quick_exit_in_a_thread")));
}
