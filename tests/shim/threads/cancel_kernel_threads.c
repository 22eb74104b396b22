// SPDX-License-Identifier: Apache-2.0
// A thread that libc itself made for a timer is cancelled, also after signals and asynchronous cancellation have reached threads that compute.
#include "conform.h"

static sem_t begun;
static pthread_t of_timer;
static atomic_int cleaned, computing, told, stop;

static void cleans(void* unused) {
    (void)unused;
    atomic_fetch_add(&cleaned, 1);
}

static void on_timer(union sigval unused) {
    (void)unused;
    of_timer = pthread_self();
    pthread_cleanup_push(cleans, NULL);
    sem_post(&begun);
    for (;;) pause();
    pthread_cleanup_pop(0);
}

static void cancels_a_timers_thread(int times) {
    sem_init(&begun, 0, 0);
    struct sigevent event = {.sigev_notify = SIGEV_THREAD, .sigev_notify_function = on_timer};
    const struct itimerspec soon = {.it_value.tv_nsec = 1000000};
    timer_t timer;
    WORKS(timer_create(CLOCK_MONOTONIC, &event, &timer));
    WORKS(timer_settime(timer, 0, &soon, NULL));
    WORKS(sem_wait(&begun));
    RETURNS(0, pthread_cancel(of_timer));
    UNTIL(cleaned, times);
    WORKS(timer_delete(timer));
}

static void tells(int signal) {
    (void)signal;
    atomic_store(&told, 1);
}

static void* computes(void* argument) {
    atomic_store(&computing, 1);
    while (!atomic_load(&stop)) {}
    return argument;
}

static void signal_one_that_computes(void) {
    struct sigaction action = {.sa_handler = tells};
    WORKS(sigaction(SIGUSR1, &action, NULL));
    atomic_store(&computing, 0);
    atomic_store(&told, 0);
    atomic_store(&stop, 0);
    const pthread_t thread = start(computes, NULL);
    UNTIL(computing, 1);
    RETURNS(0, pthread_kill(thread, SIGUSR1));
    UNTIL(told, 1);
    atomic_store(&stop, 1);
    finish(thread);
}

static void* computes_for_ever(void* unused) {
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
    atomic_store(&computing, 1);
    for (;;) {}
    return unused;
}

static void cancel_one_that_computes(void) {
    atomic_store(&computing, 0);
    const pthread_t thread = start(computes_for_ever, NULL);
    UNTIL(computing, 1);
    RETURNS(0, pthread_cancel(thread));
    CHECK(finish(thread) == PTHREAD_CANCELED);
}

CASE(by_turns) {
    cancels_a_timers_thread(1);
    for (int i = 0; i < 3; ++i) {
        signal_one_that_computes();
        cancel_one_that_computes();
    }
    signal_one_that_computes();
    cancels_a_timers_thread(2);
    atomic_store(&conform_checks, 0); // it waits as often as it must
    CHECK(true);
}
