// SPDX-License-Identifier: Apache-2.0
// pthread_sigmask, sigpending, sigwait: a mask, pending signals and waits are a thread's own; what is sent to the process goes to one who takes it.
#include "conform.h"

static sem_t ready, go;
static atomic_int handled;
static pthread_t handled_by;

static void on_signal(int number) {
    (void)number;
    handled_by = pthread_self();
    atomic_fetch_add(&handled, 1);
}

static sigset_t set_of(int number) {
    sigset_t set;
    sigemptyset(&set);
    if (number) sigaddset(&set, number);
    return set;
}

static bool blocked(int number) {
    sigset_t now;
    RETURNS(0, pthread_sigmask(SIG_BLOCK, NULL, &now));
    return sigismember(&now, number) == 1;
}

static bool pending(int number) {
    sigset_t now;
    CHECK(sigpending(&now) == 0);
    return sigismember(&now, number) == 1;
}

static void* changes_its_own(void* argument) {
    CHECK(blocked(SIGUSR1)); // inherited
    CHECK(!blocked(SIGUSR2));
    const sigset_t one = set_of(SIGUSR1), two = set_of(SIGUSR2);
    RETURNS(0, pthread_sigmask(SIG_UNBLOCK, &one, NULL));
    RETURNS(0, pthread_sigmask(SIG_BLOCK, &two, NULL));
    sched_yield();
    pause_ms(1);
    CHECK(!blocked(SIGUSR1));
    CHECK(blocked(SIGUSR2));
    return argument;
}

CASE(inherited_then_its_own) {
    sem_init(&ready, 0, 0);
    sem_init(&go, 0, 0);
    const sigset_t one = set_of(SIGUSR1);
    sigset_t old;
    RETURNS(0, pthread_sigmask(SIG_BLOCK, &one, &old));
    pthread_t threads[5];
    for (int i = 0; i < 5; ++i) threads[i] = start(changes_its_own, NULL);
    CHECK(blocked(SIGUSR1));
    CHECK(!blocked(SIGUSR2));
    for (int i = 0; i < 5; ++i) finish(threads[i]);
    CHECK(blocked(SIGUSR1));
    CHECK(!blocked(SIGUSR2));
    RETURNS(0, pthread_sigmask(SIG_SETMASK, &old, NULL));
    RETURNS(EINVAL, pthread_sigmask(99, &one, NULL));
    sigset_t all;
    sigfillset(&all);
    RETURNS(0, pthread_sigmask(SIG_SETMASK, &all, &old));
    CHECK(!blocked(SIGKILL) && !blocked(SIGSTOP) && blocked(SIGTERM));
    RETURNS(0, pthread_sigmask(SIG_SETMASK, &old, NULL));
}

static void* waits_blocked(void* argument) {
    const sigset_t one = set_of(SIGUSR1);
    RETURNS(0, pthread_sigmask(SIG_BLOCK, &one, NULL));
    sem_post(&ready);
    while (sem_wait(&go) != 0) {}
    CHECK(pending(SIGUSR1));
    EQUAL(0, atomic_load(&handled));
    RETURNS(0, pthread_sigmask(SIG_UNBLOCK, &one, NULL));
    EQUAL(1, atomic_load(&handled)); // two of one number are one; it runs before the call returns
    CHECK(pthread_equal(handled_by, pthread_self()));
    CHECK(!pending(SIGUSR1));
    return argument;
}

CASE(pending_for_one_thread) {
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGUSR1, &action, NULL);
    atomic_store(&handled, 0);
    const pthread_t thread = start(waits_blocked, NULL);
    sem_wait(&ready);
    RETURNS(0, pthread_kill(thread, SIGUSR1));
    RETURNS(0, pthread_kill(thread, SIGUSR1));
    settle();
    CHECK(!pending(SIGUSR1)); // not ours
    EQUAL(0, atomic_load(&handled));
    sem_post(&go);
    finish(thread);
}

static void* takes_signals(void* argument) {
    const sigset_t none = set_of(0);
    RETURNS(0, pthread_sigmask(SIG_SETMASK, &none, NULL));
    sem_post(&ready);
    while (atomic_load(&handled) == 0) pause_ms(1);
    CHECK(pthread_equal(handled_by, pthread_self()));
    return argument;
}

static void* blocks_and_waits(void* argument) {
    CHECK(blocked(SIGUSR1));
    sem_post(&ready);
    CHECK(sem_wait(&go) == 0); // not interrupted
    return argument;
}

CASE(to_the_process) {
    // Every thread but one blocks it: that one gets it.
    const sigset_t one = set_of(SIGUSR1);
    sigset_t old;
    atomic_store(&handled, 0);
    RETURNS(0, pthread_sigmask(SIG_BLOCK, &one, &old));
    pthread_t threads[4];
    for (int i = 0; i < 4; ++i) threads[i] = start(i == 2 ? takes_signals : blocks_and_waits, NULL);
    for (int i = 0; i < 4; ++i) CHECK(sem_wait(&ready) == 0);
    CHECK(kill(getpid(), SIGUSR1) == 0);
    finish(threads[2]);
    EQUAL(1, atomic_load(&handled));
    for (int i = 0; i < 3; ++i) sem_post(&go);
    for (int i = 0; i < 4; ++i)
        if (i != 2) finish(threads[i]);
    RETURNS(0, pthread_sigmask(SIG_SETMASK, &old, NULL));
}

CASE(blocked_by_all) {
    const sigset_t one = set_of(SIGUSR1);
    sigset_t old;
    atomic_store(&handled, 0);
    RETURNS(0, pthread_sigmask(SIG_BLOCK, &one, &old));
    pthread_t threads[2] = {start(blocks_and_waits, NULL), start(blocks_and_waits, NULL)};
    for (int i = 0; i < 2; ++i) CHECK(sem_wait(&ready) == 0);
    CHECK(kill(getpid(), SIGUSR1) == 0);
    CHECK(pending(SIGUSR1)); // the process's, so everyone's
    EQUAL(0, atomic_load(&handled));
    for (int i = 0; i < 2; ++i) sem_post(&go);
    for (int i = 0; i < 2; ++i) finish(threads[i]);
    RETURNS(0, pthread_sigmask(SIG_SETMASK, &old, NULL));
    EQUAL(1, atomic_load(&handled));
}

static void* waits_for_signals(void* argument) {
    const sigset_t one = set_of(SIGUSR2);
    for (int i = 0; i < 5; ++i) {
        int number = 0;
        sem_post(&ready);
        RETURNS(0, sigwait(&one, &number));
        EQUAL(SIGUSR2, number);
    }
    return argument;
}

CASE(sigwait_in_one_thread) {
    // The usual way: all block it, one waits for it.
    const sigset_t two = set_of(SIGUSR2);
    sigset_t old;
    RETURNS(0, pthread_sigmask(SIG_BLOCK, &two, &old));
    const pthread_t waiter = start(waits_for_signals, NULL);
    for (int i = 0; i < 5; ++i) {
        CHECK(sem_wait(&ready) == 0);
        if (i % 2) CHECK(kill(getpid(), SIGUSR2) == 0);
        else RETURNS(0, pthread_kill(waiter, SIGUSR2));
    }
    finish(waiter);
    CHECK(!pending(SIGUSR2));
    RETURNS(0, pthread_sigmask(SIG_SETMASK, &old, NULL));
}

static void* waits_for_own(void* argument) {
    const sigset_t two = set_of(SIGUSR2);
    siginfo_t info;
    sem_post(&ready);
    EQUAL(SIGUSR2, sigwaitinfo(&two, &info));
    EQUAL((long)argument, info.si_value.sival_int);
    const struct timespec no_time = {0, 0};
    FAILS(EAGAIN, sigtimedwait(&two, &info, &no_time));
    return NULL;
}

CASE(each_gets_what_was_sent_to_it) {
    const sigset_t two = set_of(SIGUSR2);
    sigset_t old;
    RETURNS(0, pthread_sigmask(SIG_BLOCK, &two, &old));
    pthread_t threads[6];
    for (long i = 0; i < 6; ++i) threads[i] = start(waits_for_own, (void*)(100 + i));
    for (int i = 0; i < 6; ++i) CHECK(sem_wait(&ready) == 0);
    for (int i = 5; i >= 0; --i) RETURNS(0, pthread_sigqueue(threads[i], SIGUSR2, (union sigval){.sival_int = 100 + i}));
    for (int i = 0; i < 6; ++i) finish(threads[i]);
    RETURNS(0, pthread_sigmask(SIG_SETMASK, &old, NULL));
}

static void* suspends(void* argument) {
    const sigset_t none = set_of(0);
    sem_post(&ready);
    FAILS(EINTR, sigsuspend(&none));
    CHECK(blocked(SIGUSR1));
    CHECK(pthread_equal(handled_by, pthread_self()));
    return argument;
}

CASE(sigsuspend_in_a_thread) {
    const sigset_t one = set_of(SIGUSR1);
    sigset_t old;
    atomic_store(&handled, 0);
    RETURNS(0, pthread_sigmask(SIG_BLOCK, &one, &old));
    const pthread_t thread = start(suspends, NULL);
    sem_wait(&ready);
    RETURNS(0, pthread_kill(thread, SIGUSR1));
    finish(thread);
    EQUAL(1, atomic_load(&handled));
    RETURNS(0, pthread_sigmask(SIG_SETMASK, &old, NULL));
}

static void checks_mask(int number) {
    CHECK(blocked(number));
    CHECK(blocked(SIGUSR2)); // by sa_mask
    CHECK(!blocked(SIGALRM));
    pause_ms(1);
    atomic_fetch_add(&handled, 1);
}

static void* handles(void* argument) {
    CHECK(raise(SIGUSR1) == 0);
    CHECK(!blocked(SIGUSR1) && !blocked(SIGUSR2));
    return argument;
}

CASE(mask_in_a_handler) {
    struct sigaction action = {.sa_handler = checks_mask, .sa_mask = set_of(SIGUSR2)};
    sigaction(SIGUSR1, &action, NULL);
    atomic_store(&handled, 0);
    pthread_t threads[4];
    for (int i = 0; i < 4; ++i) threads[i] = start(handles, NULL);
    for (int i = 0; i < 4; ++i) finish(threads[i]);
    EQUAL(4, atomic_load(&handled));
}
