// SPDX-License-Identifier: Apache-2.0
// Timers that signal one thread (SIGEV_THREAD_ID), named by its number: that thread's wait ends, that thread's handler runs,
// and that thread takes what it blocks.
#include "conform.h"

#include <sys/syscall.h>

static _Thread_local atomic_int here;
static atomic_int in_all, ready, done;
static siginfo_t seen;

static void counts(int number, siginfo_t* info, void* context) {
    (void)number, (void)context;
    seen = *info;
    atomic_fetch_add(&here, 1);
    atomic_fetch_add(&in_all, 1);
}

static void handle(int number, int flags) {
    struct sigaction action = {.sa_sigaction = counts, .sa_flags = SA_SIGINFO | flags};
    WORKS(sigaction(number, &action, NULL));
}

static timer_t timer_for(pid_t thread, int number, int value) {
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = number, .sigev_value.sival_int = value};
    event._sigev_un._tid = thread;
    timer_t timer = NULL;
    WORKS(timer_create(CLOCK_MONOTONIC, &event, &timer));
    return timer;
}

static void arm(timer_t timer, long ms, long period_ms) {
    const struct itimerspec when = {{0, period_ms * 1000000}, {0, ms * 1000000}};
    WORKS(timer_settime(timer, 0, &when, NULL));
}

static void* bystander(void* argument) {
    atomic_fetch_add(&ready, 1);
    UNTIL(done, 1);
    EQUAL(0, atomic_load(&here));
    return argument;
}

static void* is_interrupted(void* argument) {
    const int value = (int)(intptr_t)argument;
    const timer_t timer = timer_for(gettid(), SIGRTMIN + 2, value);
    arm(timer, 20, 0);
    FAILS(EINTR, pause());
    EQUAL(1, atomic_load(&here));
    EQUAL(value, seen.si_value.sival_int);
    EQUAL(SI_TIMER, seen.si_code);
    EQUAL(0, timer_getoverrun(timer));
    struct itimerspec left;
    WORKS(timer_gettime(timer, &left));
    EQUAL(0, left.it_value.tv_nsec);
    arm(timer, 5, 5);
    while (atomic_load(&here) < 5) pause();
    WORKS(timer_delete(timer));
    FAILS(EINVAL, timer_delete(timer));
    return NULL;
}

CASE(ends_the_wait_of_its_thread) {
    handle(SIGRTMIN + 2, 0);
    pthread_t others[3];
    for (int i = 0; i < 3; ++i) others[i] = start(bystander, NULL);
    UNTIL(ready, 3);
    for (int i = 0; i < 3; ++i) finish(start(is_interrupted, (void*)(intptr_t)(i + 7)));
    EQUAL(0, atomic_load(&here)); // nor main
    atomic_store(&done, 1);
    for (int i = 0; i < 3; ++i) finish(others[i]);
}

static void* computes(void* argument) {
    *(atomic_int*)argument = gettid();
    while (atomic_load(&here) == 0) {}
    return NULL;
}

CASE(of_one_that_computes) {
    atomic_int number = 0;
    const pthread_t thread = start(computes, &number);
    while (atomic_load(&number) == 0) pause_ms(1);
    const timer_t timer = timer_for(atomic_load(&number), SIGRTMIN + 2, 0);
    arm(timer, 5, 0);
    finish(thread);
    WORKS(timer_delete(timer));
}

/// A thread that blocks the signal takes it by sigwait, though another one waits for the same.
static void* takes(void* argument) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + 3);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    if (argument != NULL) {
        atomic_fetch_add(&ready, 1);
        const struct timespec soon = {0, 100000000};
        siginfo_t info;
        FAILS(EAGAIN, sigtimedwait(&set, &info, &soon));
        return NULL;
    }
    const timer_t timer = timer_for(gettid(), SIGRTMIN + 3, 42);
    arm(timer, 10, 0);
    siginfo_t info;
    EQUAL(SIGRTMIN + 3, sigwaitinfo(&set, &info));
    EQUAL(42, info.si_value.sival_int);
    EQUAL(SI_TIMER, info.si_code);
    sigset_t pending;
    arm(timer, 1, 1);
    pause_ms(20);
    WORKS(sigpending(&pending));
    EQUAL(1, sigismember(&pending, SIGRTMIN + 3));
    WORKS(timer_delete(timer));
    const struct timespec at_once = {0, 0};
    while (sigtimedwait(&set, &info, &at_once) > 0) {}
    return NULL;
}

CASE(taken_by_sigwait) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + 3);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    atomic_store(&ready, 0);
    const pthread_t other = start(takes, &set);
    UNTIL(ready, 1);
    finish(start(takes, NULL));
    finish(other);
}

CASE(of_main) {
    handle(SIGRTMIN + 4, 0);
    atomic_store(&done, 0);
    atomic_store(&ready, 0);
    const pthread_t other = start(bystander, NULL);
    UNTIL(ready, 1);
    atomic_store(&here, 0);
    const timer_t timer = timer_for(gettid(), SIGRTMIN + 4, 3);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + 4);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    arm(timer, 5, 0);
    pause_ms(30); // nobody else takes it meanwhile
    EQUAL(0, atomic_load(&here));
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    EQUAL(1, atomic_load(&here));
    WORKS(timer_delete(timer));
    atomic_store(&done, 1);
    finish(other);
}

static void* by_number(void* argument) {
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGRTMIN + 2, .sigev_value.sival_int = 1};
    event._sigev_un._tid = gettid();
    int timer = -1;
    WORKS(syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &timer));
    const struct itimerspec when = {{0, 0}, {0, 1000000}};
    WORKS(syscall(SYS_timer_settime, timer, 0, &when, NULL));
    FAILS(EINTR, pause());
    WORKS(syscall(SYS_timer_delete, timer));
    event._sigev_un._tid = 1;
    FAILS(EINVAL, syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &timer));
    return argument;
}

CASE(by_system_call) { finish(start(by_number, NULL)); }

