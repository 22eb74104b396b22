// SPDX-License-Identifier: Apache-2.0
// A thread that computes does not keep the others from running: main, other threads, and the children of a fork spin on a variable that another
// thread sets; several compute at once.
#include "conform.h"

#include <sys/syscall.h>

static void* sets(void* flag) {
    pause_ms(10);
    atomic_store((atomic_bool*)flag, true);
    return flag;
}

static void* spins(void* argument) {
    atomic_bool flag = false;
    const pthread_t setter = start(sets, &flag);
    while (!atomic_load(&flag)) {}
    finish(setter);
    return argument;
}

CASE(main_spins) {
    for (int i = 0; i < 5; ++i) CHECK(spins(NULL) == NULL);
}

CASE(threads_spin) {
    pthread_t threads[6];
    for (int i = 0; i < 6; ++i) threads[i] = start(spins, NULL);
    for (int i = 0; i < 6; ++i) finish(threads[i]);
}

static _Thread_local int mine = 7;

/// What is the thread's own stays its own, whichever kernel thread runs it.
static void* computes(void* argument) {
    static pthread_mutex_t lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
    mine += (int)(intptr_t)argument;
    errno = 1000 + mine;
    const pthread_t self = pthread_self();
    for (int i = 0; i < 3; ++i) {
        RETURNS(0, pthread_mutex_lock(&lock));
        RETURNS(0, pthread_mutex_lock(&lock));
        CHECK(spins(NULL) == NULL);
        RETURNS(0, pthread_mutex_unlock(&lock));
        RETURNS(0, pthread_mutex_unlock(&lock));
    }
    CHECK(mine == 7 + (int)(intptr_t)argument);
    CHECK(pthread_equal(self, pthread_self()));
    return argument;
}

CASE(a_thread_keeps_what_it_has) {
    pthread_t threads[4];
    for (intptr_t i = 0; i < 4; ++i) threads[i] = start(computes, (void*)i);
    for (int i = 0; i < 4; ++i) finish(threads[i]);
}

/// The kernel is asked by instruction, which nobody can intercept.
static long by_instruction(long number, long a, long b, long c) {
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
    return result;
}

static int ends[2];

static void* writes_later(void* argument) {
    pause_ms(20);
    EQUAL(1, write(ends[1], "x", 1));
    return argument;
}

CASE(a_system_call_by_instruction) {
    WORKS(pipe(ends));
    const pthread_t writer = start(writes_later, NULL);
    char c = 0;
    EQUAL(1, by_instruction(SYS_read, ends[0], (long)&c, 1));
    finish(writer);
    close(ends[0]);
    close(ends[1]);
}

static int spin_in_child(void) {
    const pid_t child = fork();
    if (child == 0) {
        for (int i = 0; i < 3; ++i) spins(NULL);
        _exit(5);
    }
    int status = 0;
    EQUAL(child, waitpid(child, &status, 0));
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void* forks(void* argument) {
    spins(NULL);
    EQUAL(5, spin_in_child());
    return argument;
}

CASE(children_of_fork_spin) {
    EQUAL(5, spin_in_child());
    pthread_t threads[3];
    for (int i = 0; i < 3; ++i) threads[i] = start(forks, NULL);
    for (int i = 0; i < 3; ++i) finish(threads[i]);
}
