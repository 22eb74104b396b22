// SPDX-License-Identifier: Apache-2.0
// sigsetjmp and siglongjmp: the mask that comes back is the thread's own, as it was; longjmp leaves it as it is.
#include "conform.h"

#include <setjmp.h>

static __thread sigjmp_buf back;
static __thread volatile int handled;

static bool blocked(int number) {
    sigset_t now;
    RETURNS(0, pthread_sigmask(SIG_BLOCK, NULL, &now));
    return sigismember(&now, number) == 1;
}

static void change(int how, int number) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, number);
    RETURNS(0, pthread_sigmask(how, &set, NULL));
}

static void leaves(int number) {
    CHECK(blocked(number));
    ++handled;
    siglongjmp(back, 7);
}

static void handle(int number, void (*handler)(int), int flags) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    CHECK(sigaction(number, &action, NULL) == 0);
}

static void* out_of_a_handler(void* argument) {
    const int other = argument ? SIGUSR2 : SIGALRM;
    change(SIG_BLOCK, other);
    for (volatile int i = 0; i < 5; ++i) {
        if (sigsetjmp(back, 1) == 0) {
            sched_yield();
            raise(SIGUSR1);
            CHECK(!"comes back");
        }
        CHECK(!blocked(SIGUSR1)); // or the next one would not come
        CHECK(blocked(other));
        sched_yield();
    }
    EQUAL(5, handled);
    return NULL;
}

CASE(jump_out_of_a_handler) {
    handle(SIGUSR1, leaves, 0);
    pthread_t threads[4];
    for (long i = 0; i < 4; ++i) threads[i] = start(out_of_a_handler, (void*)(i % 2));
    for (int i = 0; i < 4; ++i) finish(threads[i]);
}

static sem_t ready;
static atomic_int left;

static void* leaves_its_wait(void* argument) {
    struct timespec minute = {60, 0};
    if (sigsetjmp(back, 1) == 0) {
        sem_post(&ready);
        for (;;) nanosleep(&minute, NULL);
    }
    CHECK(!blocked(SIGUSR1));
    atomic_fetch_add(&left, 1);
    return argument;
}

CASE(jump_out_of_a_wait) {
    handle(SIGUSR1, leaves, 0);
    sem_init(&ready, 0, 0);
    atomic_store(&left, 0);
    for (int i = 1; i <= 3; ++i) {
        const pthread_t thread = start(leaves_its_wait, NULL);
        sem_wait(&ready);
        RETURNS(0, pthread_kill(thread, SIGUSR1));
        UNTIL(left, i);
        finish(thread);
    }
}

static void* keeps_the_mask(void* argument) {
    if (sigsetjmp(back, 0) == 0) raise(SIGUSR1);
    CHECK(blocked(SIGUSR1)); // nothing was saved
    change(SIG_UNBLOCK, SIGUSR1);
    if (_setjmp(back) == 0) {
        change(SIG_BLOCK, SIGUSR2);
        longjmp(back, 1);
    }
    CHECK(blocked(SIGUSR2));
    if (sigsetjmp(back, 1) == 0) {
        change(SIG_UNBLOCK, SIGUSR2);
        siglongjmp(back, 1);
    }
    CHECK(blocked(SIGUSR2)); // as it was when it was saved
    if (_setjmp(back) == 0) { // the same buffer, now without a mask
        change(SIG_UNBLOCK, SIGUSR2);
        longjmp(back, 1);
    }
    CHECK(!blocked(SIGUSR2));
    return argument;
}

CASE(without_a_mask) {
    handle(SIGUSR1, leaves, 0);
    finish(start(keeps_the_mask, NULL));
}

static atomic_int ran;
static void counts(int number) {
    (void)number;
    atomic_fetch_add(&ran, 1);
}

static void* unblocks_by_jump(void* argument) {
    if (sigsetjmp(back, 1) == 0) {
        change(SIG_BLOCK, SIGUSR2);
        raise(SIGUSR2);
        EQUAL(0, atomic_load(&ran));
        siglongjmp(back, 1);
    }
    EQUAL(1, atomic_load(&ran)); // it was pending
    return argument;
}

CASE(jump_unblocks) {
    handle(SIGUSR2, counts, 0);
    atomic_store(&ran, 0);
    finish(start(unblocks_by_jump, NULL));
}

static sigjmp_buf mains;
static void* nothing(void* argument) { return argument; }

PROCESS(saved_before_there_were_threads) {
    change(SIG_BLOCK, SIGUSR2);
    if (sigsetjmp(mains, 1) == 0) {
        finish(start(nothing, NULL));
        change(SIG_UNBLOCK, SIGUSR2);
        change(SIG_BLOCK, SIGUSR1);
        siglongjmp(mains, 1);
    }
    _exit(blocked(SIGUSR2) && !blocked(SIGUSR1) ? 33 : 1);
}

CASE(an_old_buffer) { EQUAL(33, ending(run_process("saved_before_there_were_threads"))); }

static void faults_leave(int number) {
    ++handled;
    siglongjmp(back, number);
}

static void* recovers(void* argument) {
    handled = 0;
    for (volatile int i = 0; i < 4; ++i) {
        if (sigsetjmp(back, 1) == 0) *(volatile int*)argument = 1;
        CHECK(!blocked(SIGSEGV));
        sched_yield();
    }
    EQUAL(4, handled);
    return NULL;
}

CASE(faults_are_survived) {
    void* const page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    handle(SIGSEGV, faults_leave, 0);
    pthread_t threads[4];
    for (int i = 0; i < 4; ++i) threads[i] = start(recovers, page);
    for (int i = 0; i < 4; ++i) finish(threads[i]);
    signal(SIGSEGV, SIG_DFL);
}
