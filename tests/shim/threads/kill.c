// SPDX-License-Identifier: Apache-2.0
// pthread_kill: the handler runs on that thread, its call ends with EINTR, others notice nothing.
#include "conform.h"

static atomic_int handled, interrupted;
static pthread_t handled_by;
static sem_t ready, go;

static void on_signal(int number) {
    (void)number;
    handled_by = pthread_self();
    atomic_fetch_add(&handled, 1);
}

static void handle(int number, int flags) {
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = flags};
    CHECK(sigaction(number, &action, NULL) == 0);
    atomic_store(&handled, 0);
    atomic_store(&interrupted, 0);
}

static void* sleeps_long(void* argument) {
    sem_post(&ready);
    struct timespec minute = {60, 0};
    FAILS(EINTR, nanosleep(&minute, &minute));
    CHECK(minute.tv_sec <= 60 && minute.tv_sec > 30);
    CHECK(pthread_equal(handled_by, pthread_self()));
    atomic_fetch_add(&interrupted, 1);
    return argument;
}

/// Sends it until the thread has been interrupted: before it waits a signal runs the handler only.
static void poke_until(pthread_t thread, int number, int wanted) {
    for (int i = 0; i < 10000 && atomic_load(&interrupted) < wanted; ++i) {
        if (pthread_kill(thread, number) != 0) CHECK(!"pthread_kill");
        pause_ms(1);
    }
    EQUAL(wanted, atomic_load(&interrupted));
}

static void* not_meant(void* argument) {
    sem_post(&ready);
    while (sem_wait(&go) != 0) CHECK(errno != EINTR); // nobody sent us one
    return argument;
}

CASE(interrupts_that_thread) {
    sem_init(&ready, 0, 0);
    sem_init(&go, 0, 0);
    handle(SIGUSR1, 0);
    const pthread_t other = start(not_meant, NULL), thread = start(sleeps_long, NULL);
    while (sem_wait(&ready) != 0) {}
    while (sem_wait(&ready) != 0) {}
    poke_until(thread, SIGUSR1, 1);
    finish(thread);
    sem_post(&go);
    finish(other);
}

static int ends[2];

static void* reads(void* argument) {
    char byte;
    sem_post(&ready);
    FAILS(EINTR, read(ends[0], &byte, 1));
    atomic_fetch_add(&interrupted, 1);
    return argument;
}

static void* reads_on(void* argument) {
    char byte = 0;
    sem_post(&ready);
    EQUAL(1, read(ends[0], &byte, 1)); // SA_RESTART: goes on
    EQUAL('x', byte);
    CHECK(atomic_load(&handled) > 0);
    return argument;
}

CASE(read_ends_or_goes_on) {
    CHECK(pipe(ends) == 0);
    handle(SIGUSR1, 0);
    const pthread_t thread = start(reads, NULL);
    sem_wait(&ready);
    poke_until(thread, SIGUSR1, 1);
    finish(thread);
    handle(SIGUSR1, SA_RESTART);
    const pthread_t restarted = start(reads_on, NULL);
    sem_wait(&ready);
    settle();
    RETURNS(0, pthread_kill(restarted, SIGUSR1));
    UNTIL(handled, 1);
    settle();
    CHECK(pthread_equal(handled_by, restarted));
    CHECK(write(ends[1], "x", 1) == 1);
    finish(restarted);
    close(ends[0]);
    close(ends[1]);
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void* locks(void* argument) {
    sem_post(&ready);
    RETURNS(0, pthread_mutex_lock(&mutex)); // never EINTR
    RETURNS(0, pthread_mutex_unlock(&mutex));
    return argument;
}

CASE(lock_goes_on) {
    handle(SIGUSR1, 0);
    pthread_mutex_lock(&mutex);
    const pthread_t thread = start(locks, NULL);
    sem_wait(&ready);
    settle();
    for (int i = 1; i <= 3; ++i) {
        RETURNS(0, pthread_kill(thread, SIGUSR1));
        UNTIL(handled, i); // the handler runs while it waits
    }
    CHECK(pthread_equal(handled_by, thread));
    pthread_mutex_unlock(&mutex);
    finish(thread);
}

static void* joins(void* thread) {
    sem_post(&ready);
    finish(*(pthread_t*)thread); // never EINTR
    return NULL;
}

CASE(join_goes_on) {
    handle(SIGUSR1, 0);
    pthread_t slow = start(not_meant, NULL);
    sem_wait(&ready);
    const pthread_t joiner = start(joins, &slow);
    sem_wait(&ready);
    settle();
    RETURNS(0, pthread_kill(joiner, SIGUSR1));
    UNTIL(handled, 1);
    CHECK(pthread_equal(handled_by, joiner));
    sem_post(&go);
    finish(joiner);
}

static void* computes(void* argument) {
    sem_post(&ready);
    while (atomic_load(&handled) == 0) {} // no call: the handler runs all the same
    CHECK(pthread_equal(handled_by, pthread_self()));
    return argument;
}

CASE(thread_that_computes) {
    handle(SIGUSR1, 0);
    const pthread_t thread = start(computes, NULL);
    sem_wait(&ready);
    RETURNS(0, pthread_kill(thread, SIGUSR1));
    finish(thread);
}

CASE(itself) {
    handle(SIGUSR1, 0);
    RETURNS(0, pthread_kill(pthread_self(), SIGUSR1));
    EQUAL(1, atomic_load(&handled)); // before the call returns
    CHECK(raise(SIGUSR1) == 0);
    EQUAL(2, atomic_load(&handled));
    CHECK(pthread_equal(handled_by, pthread_self()));
}

static void* raises(void* argument) {
    for (int i = 1; i <= 10; ++i) {
        CHECK(raise(SIGUSR1) == 0);
        EQUAL(i, atomic_load(&handled));
        CHECK(pthread_equal(handled_by, pthread_self()));
        RETURNS(0, pthread_kill(pthread_self(), SIGUSR2));
        EQUAL(++i, atomic_load(&handled));
    }
    return argument;
}

CASE(raise_in_a_thread) {
    handle(SIGUSR2, 0);
    handle(SIGUSR1, 0);
    finish(start(raises, NULL));
}

static void* nothing(void* argument) { return argument; }

CASE(refused) {
    const pthread_t thread = start(not_meant, NULL);
    sem_wait(&ready);
    RETURNS(0, pthread_kill(thread, 0)); // it is there
    RETURNS(EINVAL, pthread_kill(thread, 99));
    RETURNS(EINVAL, pthread_kill(thread, -1));
    RETURNS(EINVAL, pthread_kill(thread, 32)); // libc's own
    sem_post(&go);
    finish(thread);
    const pthread_t over = start(nothing, NULL);
    settle();
    RETURNS(0, pthread_kill(over, 0)); // not joined yet
    RETURNS(0, pthread_kill(over, SIGUSR1));
    finish(over);
}

static void on_queued(int number, siginfo_t* info, void* context) {
    (void)number, (void)context;
    CHECK(info->si_code == SI_QUEUE && info->si_value.sival_int == 77 && info->si_pid == getpid());
    handled_by = pthread_self();
    atomic_fetch_add(&handled, 1);
}

CASE(sigqueue_to_a_thread) {
    struct sigaction action = {.sa_sigaction = on_queued, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR1, &action, NULL);
    atomic_store(&handled, 0);
    const pthread_t thread = start(computes, NULL);
    sem_wait(&ready);
    const union sigval value = {.sival_int = 77};
    RETURNS(0, pthread_sigqueue(thread, SIGUSR1, value));
    finish(thread);
    EQUAL(1, atomic_load(&handled));
}

static void* killed(void* argument) {
    sem_post(&ready);
    for (;;) pause();
    return argument;
}

PROCESS(default_action) {
    const pthread_t thread = start(killed, NULL);
    sem_wait(&ready);
    pthread_kill(thread, SIGTERM);
    for (;;) pause();
}

static void* faults(void* argument) {
    *(volatile int*)argument = 1;
    return NULL;
}

PROCESS(fault_in_a_thread) {
    const struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    finish(start(faults, NULL));
}

CASE(ends_the_process) {
    EQUAL(1000 + SIGTERM, ending(run_process("default_action")));
    EQUAL(1000 + SIGSEGV, ending(run_process("fault_in_a_thread")));
}
