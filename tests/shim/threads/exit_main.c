// SPDX-License-Identifier: Apache-2.0
// The main thread ends before others: it is unwound, can be joined, and the process ends with the last thread, with status 0.
#include "conform.h"

static pthread_t main_thread;
static sem_t go;
static pthread_key_t key;

static void said(void* text) { say(text); }

static void* joins_main(void* argument) {
    void* result = NULL;
    RETURNS(0, pthread_join(main_thread, &result));
    say(result == argument ? "joined main\n" : "joined main with another result\n");
    return NULL;
}

static void* outlives(void* argument) {
    pause_ms(20);
    say("the last one ends\n");
    return argument;
}

static void at_end(void) { say("the process ends\n"); }

static volatile bool stays; // no

static void leave_deep(int depth) {
    if (stays) return;
    pthread_cleanup_push(said, "handler of main\n");
    if (depth == 0) pthread_exit((void*)5);
    leave_deep(depth - 1);
    pthread_cleanup_pop(0);
}

PROCESS(main_leaves) {
    atexit(at_end);
    main_thread = pthread_self();
    pthread_key_create(&key, said);
    pthread_setspecific(key, "value of main\n");
    start(joins_main, (void*)5);
    leave_deep(2);
}

static void* cancels_main(void* argument) {
    sem_wait(&go);
    settle();
    RETURNS(0, pthread_cancel(main_thread));
    return joins_main(argument);
}

PROCESS(main_is_cancelled) {
    atexit(at_end);
    sem_init(&go, 0, 0);
    main_thread = pthread_self();
    start(cancels_main, PTHREAD_CANCELED);
    pthread_cleanup_push(said, "handler of main\n");
    sem_post(&go);
    for (;;) pause();
    pthread_cleanup_pop(0);
}

PROCESS(main_leaves_alone) {
    atexit(at_end);
    const pthread_t other = start(outlives, NULL);
    finish(other);
    pthread_cleanup_push(said, "handler of main\n");
    pthread_exit(NULL);
    pthread_cleanup_pop(0);
}

PROCESS(others_go_on) {
    atexit(at_end);
    for (int i = 0; i < 3; ++i) pthread_detach(start(outlives, NULL));
    pthread_exit(NULL);
}

static void* ends_process(void* argument) {
    pause_ms(5);
    exit((int)(long)argument);
}

PROCESS(another_ends_the_process) {
    atexit(at_end);
    start(ends_process, (void*)9);
    pthread_exit(NULL);
}

PROCESS(cancelled_before_there_were_threads) {
    pthread_cancel(pthread_self());
    int old;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);
    const pthread_t other = start(outlives, NULL);
    finish(other);
    say("joined\n");
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &old);
    pthread_testcancel();
    say("not reached\n");
}

CASE(main_leaves_first) {
    EQUAL(0, ending(run_process("main_leaves")));
    EQUAL(0, ending(run_process("main_is_cancelled")));
    EQUAL(0, ending(run_process("main_leaves_alone")));
    EQUAL(0, ending(run_process("others_go_on")));
    EQUAL(9, ending(run_process("another_ends_the_process")));
    EQUAL(0, ending(run_process("cancelled_before_there_were_threads")));
}
