// SPDX-License-Identifier: Apache-2.0
//
// A wrong runtime, to test the conformance programs with: pthread_create runs the new thread to its end before it returns, so threads never
// wait for each other. Whatever passes under it says nothing about threads.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdlib.h>
#include <time.h>

struct made {
    void* result;
    int detached, joined;
    struct made* outer; ///< whose pthread_create called us
    jmp_buf leave;
};

static struct made main_thread;
static _Thread_local struct made* current = &main_thread;

pthread_t pthread_self(void) { return (pthread_t)current; }

int pthread_create(pthread_t* thread, const pthread_attr_t* attr, void* (*run)(void*), void* argument) {
    struct made* volatile made = calloc(1, sizeof *made);
    int state = PTHREAD_CREATE_JOINABLE;
    if (attr != NULL) pthread_attr_getdetachstate(attr, &state);
    made->detached = state == PTHREAD_CREATE_DETACHED;
    made->outer = current;
    *thread = (pthread_t)made;
    current = made;
    if (setjmp(made->leave) == 0) made->result = run(argument);
    current = made->outer;
    return 0;
}

__attribute__((noreturn)) void pthread_exit(void* result) {
    if (current == &main_thread) exit(0);
    current->result = result;
    longjmp(current->leave, 1);
}

int pthread_join(pthread_t thread, void** result) {
    struct made* made = (struct made*)thread;
    if (made == current) return EDEADLK;
    if (made->detached || made->joined) return EINVAL;
    made->joined = 1;
    if (result != NULL) *result = made->result;
    return 0;
}

int pthread_tryjoin_np(pthread_t thread, void** result) { return pthread_join(thread, result); }

int pthread_timedjoin_np(pthread_t thread, void** result, const struct timespec* at) {
    (void)at;
    return pthread_join(thread, result);
}

int pthread_clockjoin_np(pthread_t thread, void** result, clockid_t clock, const struct timespec* at) {
    (void)clock, (void)at;
    return pthread_join(thread, result);
}

int pthread_detach(pthread_t thread) {
    struct made* made = (struct made*)thread;
    const int before = made->detached;
    made->detached = 1;
    return before ? EINVAL : 0;
}
