// SPDX-License-Identifier: Apache-2.0
// Signals by the numbers of system calls and of threads, and the order of a signal and what is told after it.
#include "conform.h"

#include <sys/syscall.h>

static atomic_int ran;

static void counts(int number) {
    (void)number;
    atomic_fetch_add(&ran, 1);
}

static void handle(int number) {
    struct sigaction a = {.sa_handler = counts, .sa_flags = SA_RESTART};
    WORKS(sigaction(number, &a, NULL));
    atomic_store(&ran, 0);
}

static void* masks_by_number(void* argument) {
    const unsigned long one = 1UL << (SIGUSR1 - 1);
    unsigned long set = one, old = 99;
    WORKS(syscall(SYS_rt_sigprocmask, SIG_BLOCK, &set, &old, sizeof set));
    EQUAL(0, old & one);
    sigset_t seen;
    RETURNS(0, pthread_sigmask(SIG_BLOCK, NULL, &seen));
    EQUAL(1, sigismember(&seen, SIGUSR1));
    RETURNS(0, pthread_kill(pthread_self(), SIGUSR1));
    set = 0;
    WORKS(syscall(SYS_rt_sigpending, &set, sizeof set));
    EQUAL(one, set & one);
    EQUAL(0, atomic_load(&ran));
    set = one;
    WORKS(syscall(SYS_rt_sigprocmask, SIG_UNBLOCK, &set, &old, sizeof set));
    EQUAL(one, old & one);
    EQUAL(1, atomic_load(&ran));
    FAILS(EINVAL, syscall(SYS_rt_sigprocmask, 77, &set, NULL, sizeof set));
    FAILS(EINVAL, syscall(SYS_rt_sigprocmask, SIG_BLOCK, &set, NULL, 4));
    FAILS(EFAULT, syscall(SYS_rt_sigprocmask, SIG_BLOCK, (void*)8, NULL, sizeof set));
    return argument;
}

CASE(the_mask) {
    handle(SIGUSR1);
    finish(start(masks_by_number, NULL));
    unsigned long mask = 1;
    WORKS(syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &mask, sizeof mask));
    EQUAL(0, mask);
}

static void* has_a_stack(void* argument) {
    stack_t mine = {.ss_sp = argument, .ss_size = 65536}, old = {0};
    WORKS(syscall(SYS_sigaltstack, &mine, &old));
    EQUAL(SS_DISABLE, old.ss_flags);
    WORKS(sigaltstack(NULL, &old));
    CHECK(old.ss_sp == argument);
    mine.ss_size = 100;
    FAILS(ENOMEM, syscall(SYS_sigaltstack, &mine, NULL));
    FAILS(EFAULT, syscall(SYS_sigaltstack, (void*)8, NULL));
    mine.ss_flags = SS_DISABLE;
    WORKS(syscall(SYS_sigaltstack, &mine, NULL));
    return argument;
}

CASE(the_alternate_stack) {
    void* memory = malloc(65536);
    finish(start(has_a_stack, memory));
    free(memory);
}

static void* kills_by_its_number(void* argument) {
    const pid_t me = gettid();
    WORKS(kill(me, 0)); // any thread's number means the process
    WORKS(kill(me, SIGUSR2));
    WORKS(syscall(SYS_kill, me, SIGUSR2));
    FAILS(EINVAL, kill(me, 999));
    return argument;
}

CASE(a_process_by_a_threads_number) {
    handle(SIGUSR2);
    finish(start(kills_by_its_number, NULL));
    UNTIL(ran, 2);
}

static void* joins_too_late(void* argument) {
    RETURNS(0, pthread_detach(pthread_self()));
    sem_post(argument);
    return NULL;
}

CASE(a_detached_thread_that_has_ended) {
    sem_t going;
    sem_init(&going, 0, 0);
    const pthread_t thread = start(joins_too_late, &going);
    sem_wait(&going);
    pause_ms(100);
    CHECK(pthread_join(thread, NULL) != 0);
}

static pthread_barrier_t* meeting;
enum { rounds = 20 };

static void* is_told_after_the_signal(void* argument) {
    for (int i = 1; i <= rounds; ++i) {
        pthread_barrier_wait(meeting);
        pthread_barrier_wait(meeting);
        EQUAL(i, atomic_load(&ran));
    }
    return argument;
}

CASE(before_another_process_tells) {
    meeting = shared_memory(4096);
    pthread_barrierattr_t shared;
    pthread_barrierattr_init(&shared);
    pthread_barrierattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
    RETURNS(0, pthread_barrier_init(meeting, &shared, 2));
    handle(SIGRTMIN);
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, SIGRTMIN);
    const pthread_t thread = start(is_told_after_the_signal, NULL);
    RETURNS(0, pthread_sigmask(SIG_BLOCK, &one, NULL)); // only that thread takes it
    const pid_t me = getpid();
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        for (int i = 0; i < rounds; ++i) {
            pthread_barrier_wait(meeting);
            kill(me, SIGRTMIN);
            pthread_barrier_wait(meeting);
        }
        _exit(0);
    }
    finish(thread);
    CHECK(waitpid(child, NULL, 0) == child);
}
