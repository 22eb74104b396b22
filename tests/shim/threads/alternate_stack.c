// SPDX-License-Identifier: Apache-2.0
// sigaltstack is a thread's own: its handlers run there, other threads' do not.
#include "conform.h"

#include <setjmp.h>

enum { count = 6, size = 65536 };

static char stacks[count][size] __attribute__((aligned(16)));
static __thread char* mine;
static __thread int handled;

static void on_own_stack(int number) {
    (void)number;
    char local;
    CHECK(&local >= mine && &local < mine + size);
    stack_t now;
    CHECK(sigaltstack(NULL, &now) == 0 && (now.ss_flags & SS_ONSTACK) != 0);
    const stack_t other = {.ss_sp = stacks[0], .ss_size = size, .ss_flags = 0};
    FAILS(EPERM, sigaltstack(&other, NULL)); // not while it is in use
    sched_yield();
    pause_ms(1); // others' handlers run meanwhile
    ++handled;
}

static void* uses_its_own(void* argument) {
    mine = argument;
    const stack_t stack = {.ss_sp = mine, .ss_size = size, .ss_flags = 0};
    CHECK(sigaltstack(&stack, NULL) == 0);
    for (int i = 0; i < 5; ++i) {
        stack_t now;
        CHECK(sigaltstack(NULL, &now) == 0 && now.ss_sp == mine && now.ss_size == size && now.ss_flags == 0);
        CHECK(raise(SIGUSR1) == 0);
        EQUAL(i + 1, handled);
        sched_yield();
    }
    return NULL;
}

CASE(each_its_own) {
    struct sigaction action = {.sa_handler = on_own_stack, .sa_flags = SA_ONSTACK};
    sigaction(SIGUSR1, &action, NULL);
    pthread_t threads[count];
    for (int i = 0; i < count; ++i) threads[i] = start(uses_its_own, stacks[i]);
    for (int i = 0; i < count; ++i) finish(threads[i]);
}

static void on_thread_stack(int number) {
    (void)number;
    char local;
    CHECK(&local < (char*)__builtin_frame_address(0) + 4096 && !(&local >= stacks[0] && &local < stacks[count - 1] + size));
    ++handled;
}

static void* has_none(void* argument) {
    stack_t now;
    CHECK(sigaltstack(NULL, &now) == 0 && now.ss_flags == SS_DISABLE);
    CHECK(raise(SIGUSR2) == 0);
    EQUAL(1, handled);
    return argument;
}

CASE(none_is_inherited) {
    struct sigaction action = {.sa_handler = on_thread_stack, .sa_flags = SA_ONSTACK};
    sigaction(SIGUSR2, &action, NULL);
    const stack_t stack = {.ss_sp = stacks[0], .ss_size = size, .ss_flags = 0}, none = {.ss_flags = SS_DISABLE};
    CHECK(sigaltstack(&stack, NULL) == 0);
    finish(start(has_none, NULL));
    CHECK(sigaltstack(&none, NULL) == 0);
}

CASE(refused) {
    const stack_t small = {.ss_sp = stacks[0], .ss_size = 100, .ss_flags = 0}, odd = {.ss_sp = stacks[0], .ss_size = size, .ss_flags = 77};
    FAILS(ENOMEM, sigaltstack(&small, NULL));
    FAILS(EINVAL, sigaltstack(&odd, NULL));
}

static sigjmp_buf back;

static void on_overflow(int number) {
    (void)number;
    siglongjmp(back, 1);
}

static __attribute__((noinline, noclone)) int overflow(int depth) {
    volatile char frame[512];
    frame[0] = (char)depth;
    const int below = frame[0] == (char)depth ? overflow(depth + 1) : 0; // does not return
    return below + frame[0];
}

static void* recovers(void* argument) {
    const stack_t stack = {.ss_sp = argument, .ss_size = size, .ss_flags = 0};
    CHECK(sigaltstack(&stack, NULL) == 0);
    for (volatile int i = 0; i < 3; ++i) {
        if (sigsetjmp(back, 1) == 0) overflow(0);
        sched_yield();
        stack_t now;
        CHECK(sigaltstack(NULL, &now) == 0 && now.ss_flags == 0); // no longer in use
    }
    return NULL;
}

CASE(overflow_is_survived) {
    // What language runtimes do: the handler of the guard page's fault leaves by siglongjmp.
    struct sigaction action = {.sa_handler = on_overflow, .sa_flags = SA_ONSTACK};
    CHECK(sigaction(SIGSEGV, &action, NULL) == 0);
    for (int i = 0; i < 3; ++i) finish(start(recovers, stacks[i]));
    signal(SIGSEGV, SIG_DFL);
}
