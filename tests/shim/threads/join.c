// SPDX-License-Identifier: Apache-2.0
// pthread_join: results, who may join whom, and what is refused.
#include "conform.h"

static sem_t go;

static void* wait_for_go(void* argument) {
    sem_wait(&go);
    return argument;
}

static void* nothing(void* argument) { return argument; }

CASE(result) {
    sem_init(&go, 0, 0);
    const pthread_t waiting = start(wait_for_go, (void*)7);
    sem_post(&go);
    EQUAL(7, (long)finish(waiting));
    const pthread_t over = start(nothing, (void*)8);
    settle(); // it has ended before somebody joins
    EQUAL(8, (long)finish(over));
    RETURNS(0, pthread_join(start(nothing, NULL), NULL)); // the result may be left
    void* result = NULL;
    RETURNS(0, pthread_join(start(nothing, PTHREAD_CANCELED), &result)); // an ordinary value, too
    CHECK(result == PTHREAD_CANCELED);
}

CASE(any_order) {
    enum { count = 40 };
    pthread_t threads[count];
    for (long i = 0; i < count; ++i) threads[i] = start(wait_for_go, (void*)i);
    for (int i = 0; i < count; ++i) sem_post(&go);
    for (long i = count - 1; i >= 0; i -= 2) EQUAL(i, (long)finish(threads[i]));
    for (long i = 0; i < count; i += 2) EQUAL(i, (long)finish(threads[i]));
}

CASE(self) { RETURNS(EDEADLK, pthread_join(pthread_self(), NULL)); }

static void* joins_self(void* argument) {
    RETURNS(EDEADLK, pthread_join(pthread_self(), NULL));
    return argument;
}

CASE(self_in_a_thread) { finish(start(joins_self, NULL)); }

static void* wait_for(void* sem) {
    sem_wait(sem);
    return NULL;
}

CASE(detached) {
    static sem_t ends[2]; // one each: who took the other's post would be gone too early
    for (int i = 0; i < 2; ++i) sem_init(&ends[i], 0, 0);
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_t thread;
    RETURNS(0, pthread_create(&thread, &attr, wait_for, &ends[0]));
    RETURNS(EINVAL, pthread_join(thread, NULL));
    RETURNS(EINVAL, pthread_detach(thread));
    sem_post(&ends[0]);
    pthread_attr_destroy(&attr);
    const pthread_t later = start(wait_for, &ends[1]);
    RETURNS(0, pthread_detach(later));
    RETURNS(EINVAL, pthread_join(later, NULL));
    RETURNS(EINVAL, pthread_detach(later));
    sem_post(&ends[1]);
}

static void* joins_and_returns(void* thread) { return finish(*(pthread_t*)thread); }

CASE(chain) {
    enum { length = 60 };
    static pthread_t threads[length];
    threads[0] = start(wait_for_go, (void*)99);
    for (int i = 1; i < length; ++i) threads[i] = start(joins_and_returns, &threads[i - 1]);
    sem_post(&go);
    EQUAL(99, (long)finish(threads[length - 1]));
}

static void* joins_main_at_end(void* argument) {
    void* result = NULL;
    RETURNS(0, pthread_join(*(pthread_t*)argument, &result));
    EQUAL(42, (long)result);
    fflush(stdout);
    _exit(atomic_load(&conform_failures) == 0 ? 17 : 1);
}

PROCESS(main_is_joined) {
    static pthread_t self;
    self = pthread_self();
    start(joins_main_at_end, &self);
    pthread_exit((void*)42);
}

CASE(main_can_be_joined) { EQUAL(17, ending(run_process("main_is_joined"))); }

static void* cleans(void* argument) {
    *(int*)argument = 1;
    pause_ms(2);
    *(int*)argument = 2;
    return NULL;
}

CASE(everything_before_the_end_is_seen) {
    for (int i = 0; i < 20; ++i) {
        int value = 0;
        finish(start(cleans, &value));
        EQUAL(2, value);
    }
}
