// SPDX-License-Identifier: Apache-2.0
// pthread_create: argument and result, many at once, threads that make threads, what the new thread finds of itself.
#include "conform.h"

enum { many = 300 };

static atomic_int inside;
static sem_t go;

static void* add_one(void* argument) { return (char*)argument + 1; }

CASE(argument_and_result) {
    for (long i = -2; i < 1000; ++i) EQUAL(i + 1, (long)finish(start(add_one, (void*)i)));
}

static void* wait_and_return(void* argument) {
    atomic_fetch_add(&inside, 1);
    CHECK(sem_wait(&go) == 0);
    return argument;
}

CASE(many_at_once) {
    static pthread_t threads[many];
    sem_init(&go, 0, 0);
    atomic_store(&inside, 0);
    for (long i = 0; i < many; ++i) threads[i] = start(wait_and_return, (void*)i);
    UNTIL(inside, many); // all of them live now
    int equal = 0;
    for (int i = 0; i < many; ++i)
        for (int k = 0; k < i; ++k) equal += pthread_equal(threads[i], threads[k]) != 0;
    EQUAL(0, equal);
    for (int i = 0; i < many; ++i) sem_post(&go);
    for (long i = 0; i < many; ++i) EQUAL(i, (long)finish(threads[i]));
    sem_destroy(&go);
}

static void* half(void* argument) {
    const long depth = (long)argument;
    if (depth == 0) return (void*)1;
    const pthread_t left = start(half, (void*)(depth - 1)), right = start(half, (void*)(depth - 1));
    return (void*)((long)finish(left) + (long)finish(right));
}

CASE(threads_make_threads) { EQUAL(64, (long)finish(start(half, (void*)6))); }

static pthread_t told;

static void* who(void* argument) {
    (void)argument;
    CHECK(pthread_equal(told, pthread_self())); // glibc writes the id before the thread runs
    return NULL;
}

CASE(id_is_there_first) {
    for (int i = 0; i < 50; ++i) {
        RETURNS(0, pthread_create(&told, NULL, who, NULL));
        finish(told);
    }
}

static void* counts(void* argument) {
    for (int i = 0; i < 1000; ++i) {
        atomic_fetch_add((atomic_int*)argument, 1);
        if (i % 100 == 0) sched_yield();
    }
    return NULL;
}

CASE(all_make_progress) {
    atomic_int sum = 0;
    pthread_t threads[20];
    for (int i = 0; i < 20; ++i) threads[i] = start(counts, &sum);
    for (int i = 0; i < 20; ++i) finish(threads[i]);
    EQUAL(20000, atomic_load(&sum));
}

static atomic_int turn;

static void* takes_turns(void* argument) {
    const int mine = (int)(long)argument;
    for (int i = 0; i < 50; ++i) {
        while (atomic_load(&turn) % 2 != mine) sched_yield();
        atomic_fetch_add(&turn, 1);
    }
    return NULL;
}

CASE(two_that_need_each_other) {
    const pthread_t first = start(takes_turns, (void*)0), second = start(takes_turns, (void*)1);
    finish(first);
    finish(second);
    EQUAL(100, atomic_load(&turn));
}

static void* of_signals(void* argument) {
    sigset_t pending;
    CHECK(sigpending(&pending) == 0 && sigismember(&pending, SIGUSR1) == 0); // POSIX: a new thread has no pending signals
    stack_t alternate;
    CHECK(sigaltstack(NULL, &alternate) == 0 && (alternate.ss_flags & SS_DISABLE) != 0); // nor an alternate stack
    return argument;
}

CASE(fresh_state) {
    static char memory[65536];
    const stack_t alternate = {.ss_sp = memory, .ss_size = sizeof memory, .ss_flags = 0};
    sigset_t set, old;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    RETURNS(0, pthread_sigmask(SIG_BLOCK, &set, &old));
    CHECK(sigaltstack(&alternate, NULL) == 0);
    pthread_kill(pthread_self(), SIGUSR1);
    finish(start(of_signals, NULL));
    int number = 0;
    RETURNS(0, sigwait(&set, &number));
    EQUAL(SIGUSR1, number);
    const stack_t none = {.ss_sp = NULL, .ss_size = 0, .ss_flags = SS_DISABLE};
    CHECK(sigaltstack(&none, NULL) == 0);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

/// For the runner, which counts the process's kernel threads meanwhile.
PROCESS(crowd) {
    enum { size = 200 };
    static pthread_t threads[size];
    sem_init(&go, 0, 0);
    atomic_store(&inside, 0);
    for (long i = 0; i < size; ++i) threads[i] = start(wait_and_return, (void*)i);
    UNTIL(inside, size);
    say("here\n");
    char byte;
    CHECK(read(STDIN_FILENO, &byte, 1) == 0);
    for (int i = 0; i < size; ++i) sem_post(&go);
    for (int i = 0; i < size; ++i) finish(threads[i]);
}
