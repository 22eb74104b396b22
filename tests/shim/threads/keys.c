// SPDX-License-Identifier: Apache-2.0
// pthread_key_*: values per thread, destructors and their rounds, many keys, used again.
#include "conform.h"

static pthread_key_t key;
static atomic_int destroyed;
static _Atomic(void*) last;

static void destroy(void* value) {
    atomic_store(&last, value);
    atomic_fetch_add(&destroyed, 1);
}

static void* sets(void* argument) {
    CHECK(pthread_getspecific(key) == NULL); // fresh in every thread
    RETURNS(0, pthread_setspecific(key, argument));
    sched_yield();
    pause_ms(1);
    CHECK(pthread_getspecific(key) == argument);
    return NULL;
}

CASE(each_its_own) {
    RETURNS(0, pthread_key_create(&key, destroy));
    int values[10];
    for (int round = 0; round < 5; ++round) {
        pthread_t threads[10];
        for (int i = 0; i < 10; ++i) threads[i] = start(sets, &values[i]);
        for (int i = 0; i < 10; ++i) finish(threads[i]);
        EQUAL(10 * (round + 1), atomic_load(&destroyed));
    }
    finish(start(sets, NULL)); // NULL is not destroyed
    EQUAL(50, atomic_load(&destroyed));
    CHECK(pthread_getspecific(key) == NULL);
    RETURNS(0, pthread_key_delete(key));
}

static void again(void* value) {
    atomic_fetch_add(&destroyed, 1);
    RETURNS(0, pthread_setspecific(key, value));
}

CASE(rounds_end) {
    atomic_store(&destroyed, 0);
    RETURNS(0, pthread_key_create(&key, again));
    finish(start(sets, &key));
    EQUAL(PTHREAD_DESTRUCTOR_ITERATIONS, atomic_load(&destroyed));
    RETURNS(0, pthread_key_delete(key));
}

static pthread_key_t other;
static char order[64];

static void first(void* value) {
    CHECK(pthread_getspecific(key) == NULL); // cleared before it is called
    strcat(order, value);
    pthread_setspecific(other, "o");
}

static void second(void* value) { strcat(order, value); }

static void* sets_one(void* argument) {
    pthread_setspecific(key, "k");
    return argument;
}

CASE(destructor_sets_another) {
    RETURNS(0, pthread_key_create(&other, second));
    RETURNS(0, pthread_key_create(&key, first));
    finish(start(sets_one, NULL));
    CHECK(strcmp(order, "ko") == 0);
    RETURNS(0, pthread_key_delete(key));
    RETURNS(0, pthread_key_delete(other));
}

static void waits_in_destructor(void* value) {
    pause_ms(2);
    sched_yield();
    sem_post(value);
    *(int*)((sem_t*)value + 1) = 1;
}

CASE(destructor_waits) {
    // A join returns after the destructors have run.
    struct {
        sem_t sem;
        int ended;
    } state = {.ended = 0};
    sem_init(&state.sem, 0, 0);
    RETURNS(0, pthread_key_create(&key, waits_in_destructor));
    const pthread_t thread = start(sets, &state);
    finish(thread);
    EQUAL(1, state.ended);
    CHECK(sem_trywait(&state.sem) == 0);
    RETURNS(0, pthread_key_delete(key));
}

CASE(not_after_delete) {
    atomic_store(&destroyed, 0);
    RETURNS(0, pthread_key_create(&key, destroy));
    RETURNS(0, pthread_setspecific(key, &key));
    RETURNS(0, pthread_key_delete(key));
    RETURNS(EINVAL, pthread_key_delete(key));
    RETURNS(EINVAL, pthread_setspecific(key, &key));
    CHECK(pthread_getspecific(key) == NULL);
    EQUAL(0, atomic_load(&destroyed));
    pthread_key_t fresh;
    RETURNS(0, pthread_key_create(&fresh, NULL));
    CHECK(pthread_getspecific(fresh) == NULL); // also if it is the same number
    RETURNS(0, pthread_key_delete(fresh));
}

static sem_t have, go;

static void* keeps(void* argument) {
    pthread_setspecific(key, argument);
    sem_post(&have);
    sem_wait(&go);
    return NULL;
}

CASE(deleted_while_a_thread_has_a_value) {
    sem_init(&have, 0, 0);
    sem_init(&go, 0, 0);
    atomic_store(&destroyed, 0);
    RETURNS(0, pthread_key_create(&key, destroy));
    const pthread_t thread = start(keeps, &key);
    sem_wait(&have);
    RETURNS(0, pthread_key_delete(key));
    sem_post(&go);
    finish(thread);
    EQUAL(0, atomic_load(&destroyed));
}

static pthread_key_t all[PTHREAD_KEYS_MAX + 1];
static int made;

static void* sets_all(void* argument) {
    for (int i = 0; i < made; ++i) {
        CHECK(pthread_getspecific(all[i]) == NULL);
        RETURNS(0, pthread_setspecific(all[i], &all[i]));
    }
    sched_yield();
    int right = 0;
    for (int i = 0; i < made; ++i) right += pthread_getspecific(all[i]) == &all[i];
    EQUAL(made, right);
    return argument;
}

PROCESS(all_keys) {
    while (made <= PTHREAD_KEYS_MAX && pthread_key_create(&all[made], destroy) == 0) ++made;
    // The libraries of the process have some; an interposed one may have a few more.
    CHECK(made > PTHREAD_KEYS_MAX - 16);
    RETURNS(EAGAIN, pthread_key_create(&all[made], destroy));
    atomic_store(&destroyed, 0);
    for (int i = 0; i < 3; ++i) finish(start(sets_all, NULL));
    EQUAL(3 * made, atomic_load(&destroyed));
    for (int i = 0; i < made; ++i) RETURNS(0, pthread_key_delete(all[i]));
    atomic_store(&conform_checks, 0);
}

CASE(as_many_as_there_are) { EQUAL(0, ending(run_process("all_keys"))); }

static void says_main(void* value) { say(value); }

PROCESS(main_exits_by_pthread_exit) {
    pthread_key_create(&key, says_main);
    pthread_setspecific(key, "  main's destructor\n");
    pthread_exit(NULL);
}

PROCESS(main_returns) {
    pthread_key_create(&key, says_main);
    pthread_setspecific(key, "  not called by exit\n");
}

CASE(of_main) {
    EQUAL(0, ending(run_process("main_exits_by_pthread_exit")));
    EQUAL(0, ending(run_process("main_returns")));
}
