// SPDX-License-Identifier: Apache-2.0
// pthread_exit, from threads and from main.
#include "conform.h"

static void* leaves(void* argument) { pthread_exit(argument); }

static __attribute__((noinline)) void dig(long depth, void* result) {
    volatile char frame[200];
    frame[0] = (char)depth;
    if (depth == 0) pthread_exit(result);
    if (frame[0] >= 0) dig(depth - 1, result);
}

static void* leaves_from_below(void* argument) {
    dig(100, argument);
    CHECK(!"not reached");
    return NULL;
}

CASE(result) {
    EQUAL(5, (long)finish(start(leaves, (void*)5)));
    EQUAL(6, (long)finish(start(leaves_from_below, (void*)6)));
    for (long i = 0; i < 500; ++i) EQUAL(i, (long)finish(start(i % 2 ? leaves : leaves_from_below, (void*)i)));
}

static char order[64];
static void note(void* text) { strcat(order, text); }

static void* with_cleanup(void* argument) {
    pthread_cleanup_push(note, "a");
    pthread_cleanup_push(note, "b");
    pthread_cleanup_push(note, "c");
    pthread_cleanup_pop(1);
    pthread_cleanup_push(note, "d");
    pthread_cleanup_pop(0);
    pthread_exit(argument);
    pthread_cleanup_pop(0);
    pthread_cleanup_pop(0);
    return NULL;
}

CASE(cleanup_handlers_run) {
    order[0] = 0;
    EQUAL(1, (long)finish(start(with_cleanup, (void*)1)));
    CHECK(strcmp(order, "cba") == 0);
}

static pthread_key_t key;
static atomic_int destroyed;
static void destroy(void* value) {
    (void)value;
    atomic_fetch_add(&destroyed, 1);
    strcat(order, "k");
}

static void* with_key(void* argument) {
    pthread_setspecific(key, argument);
    pthread_cleanup_push(note, "h");
    pthread_exit(argument);
    pthread_cleanup_pop(0);
}

CASE(handlers_before_destructors) {
    order[0] = 0;
    RETURNS(0, pthread_key_create(&key, destroy));
    EQUAL(1, (long)finish(start(with_key, (void*)1)));
    EQUAL(1, atomic_load(&destroyed));
    CHECK(strcmp(order, "hk") == 0);
    pthread_key_delete(key);
}

// ---- main ------------------------------------------------------------------------------------------------------------

static void at_exit(void) { say("  atexit ran\n"); }

static void* ends_last(void* argument) {
    pause_ms(10);
    say("  a thread went on\n");
    return argument;
}

PROCESS(main_leaves) {
    atexit(at_exit);
    start(ends_last, NULL);
    pthread_cleanup_push(note, "m");
    pthread_exit((void*)77);
    pthread_cleanup_pop(0);
}

static void* exits_process(void* argument) {
    pause_ms(5);
    exit((int)(long)argument);
}

PROCESS(last_thread_calls_exit) {
    atexit(at_exit);
    start(exits_process, (void*)23);
    pthread_exit(NULL);
}

PROCESS(main_leaves_alone) {
    atexit(at_exit);
    pthread_exit((void*)5);
}

static void* grandchild(void* argument) {
    pause_ms(5);
    say("  grandchild\n");
    return argument;
}

static void* child(void* argument) {
    pthread_detach(pthread_self());
    start(grandchild, NULL);
    return argument;
}

PROCESS(threads_of_threads) {
    atexit(at_exit);
    start(child, NULL);
    pthread_exit(NULL);
}

static void* cancels_main(void* main_thread) {
    RETURNS(0, pthread_cancel(*(pthread_t*)main_thread));
    pause_ms(10);
    say("  main was cancelled\n");
    return NULL;
}

PROCESS(main_is_cancelled) {
    atexit(at_exit);
    static pthread_t self;
    self = pthread_self();
    start(cancels_main, &self);
    for (;;) pause();
}

CASE(main_can_leave) {
    EQUAL(0, ending(run_process("main_leaves")));
    EQUAL(0, ending(run_process("main_leaves_alone")));
    EQUAL(23, ending(run_process("last_thread_calls_exit")));
    EQUAL(0, ending(run_process("threads_of_threads")));
    EQUAL(0, ending(run_process("main_is_cancelled")));
}
