// SPDX-License-Identifier: Apache-2.0
// C11's <threads.h>: thrd_*, mtx_*, cnd_*, tss_*, call_once.
#include "conform.h"

#include <threads.h>

static int adds_one(void* argument) { return *(int*)argument + 1; }
static int leaves(void* argument) { thrd_exit(*(int*)argument + 2); }

static thrd_t begin(int (*run)(void*), void* argument) {
    thrd_t thread;
    EQUAL(thrd_success, thrd_create(&thread, run, argument));
    return thread;
}

static int end(thrd_t thread) {
    int result = -1;
    EQUAL(thrd_success, thrd_join(thread, &result));
    return result;
}

CASE(result) {
    int value = 40;
    EQUAL(41, end(begin(adds_one, &value)));
    EQUAL(42, end(begin(leaves, &value)));
    value = -5;
    EQUAL(-4, end(begin(adds_one, &value)));
    EQUAL(thrd_success, thrd_join(begin(adds_one, &value), NULL));
    EQUAL(thrd_success, thrd_detach(begin(adds_one, &value)));
    pause_ms(2);
    CHECK(thrd_equal(thrd_current(), thrd_current()));
    CHECK(thrd_current() == pthread_self());
}

static mtx_t mutex;
static cnd_t cond;
static int counter;

static int tries(void* argument) {
    EQUAL(thrd_busy, mtx_trylock(&mutex));
    const struct timespec at = in_ms(CLOCK_REALTIME, 10);
    EQUAL(thrd_timedout, mtx_timedlock(argument, &at));
    return 0;
}

CASE(mutex_types) {
    EQUAL(thrd_success, mtx_init(&mutex, mtx_plain));
    EQUAL(thrd_success, mtx_lock(&mutex));
    EQUAL(thrd_busy, mtx_trylock(&mutex));
    EQUAL(thrd_success, mtx_unlock(&mutex));
    mtx_destroy(&mutex);
    EQUAL(thrd_success, mtx_init(&mutex, mtx_timed | mtx_recursive));
    EQUAL(thrd_success, mtx_lock(&mutex));
    EQUAL(thrd_success, mtx_trylock(&mutex));
    EQUAL(0, end(begin(tries, &mutex)));
    EQUAL(thrd_success, mtx_unlock(&mutex));
    EQUAL(thrd_success, mtx_unlock(&mutex));
    mtx_destroy(&mutex);
}

static int plays(void* argument) {
    const int mine = *(int*)argument;
    mtx_lock(&mutex);
    while (counter < 2000) {
        if (counter % 2 == mine) {
            ++counter;
            cnd_broadcast(&cond);
        } else {
            cnd_wait(&cond, &mutex);
        }
    }
    mtx_unlock(&mutex);
    return mine;
}

CASE(condition) {
    EQUAL(thrd_success, mtx_init(&mutex, mtx_plain));
    EQUAL(thrd_success, cnd_init(&cond));
    int zero = 0, one = 1;
    const thrd_t a = begin(plays, &zero), b = begin(plays, &one);
    EQUAL(0, end(a));
    EQUAL(1, end(b));
    EQUAL(2000, counter);
    EQUAL(thrd_success, mtx_lock(&mutex));
    const struct timespec at = in_ms(CLOCK_REALTIME, 10);
    EQUAL(thrd_timedout, cnd_timedwait(&cond, &mutex, &at));
    EQUAL(thrd_success, mtx_unlock(&mutex));
    EQUAL(thrd_success, cnd_signal(&cond));
    cnd_destroy(&cond);
    mtx_destroy(&mutex);
}

static tss_t key;
static atomic_int destroyed;
static void destroy(void* value) { atomic_fetch_add(&destroyed, *(int*)value); }

static int sets(void* argument) {
    CHECK(tss_get(key) == NULL);
    EQUAL(thrd_success, tss_set(key, argument));
    thrd_yield();
    CHECK(tss_get(key) == argument);
    return 0;
}

CASE(specific_storage) {
    EQUAL(thrd_success, tss_create(&key, destroy));
    int values[] = {1, 10, 100};
    thrd_t threads[3];
    for (int i = 0; i < 3; ++i) threads[i] = begin(sets, &values[i]);
    for (int i = 0; i < 3; ++i) end(threads[i]);
    EQUAL(111, atomic_load(&destroyed));
    tss_delete(key);
}

static once_flag flag = ONCE_FLAG_INIT;
static atomic_int calls;

static void slow(void) {
    thrd_sleep(&(struct timespec){0, 3000000}, NULL);
    atomic_fetch_add(&calls, 1);
}

static int once(void* argument) {
    (void)argument;
    call_once(&flag, slow);
    return atomic_load(&calls);
}

CASE(call_once_calls_once) {
    thrd_t threads[8];
    for (int i = 0; i < 8; ++i) threads[i] = begin(once, NULL);
    for (int i = 0; i < 8; ++i) EQUAL(1, end(threads[i]));
}

static _Thread_local int local = 3;

static int changes_local(void* argument) {
    EQUAL(3, local);
    local = *(int*)argument;
    thrd_yield();
    return local;
}

CASE(thread_local_storage) {
    int values[] = {4, 5, 6, 7};
    thrd_t threads[4];
    for (int i = 0; i < 4; ++i) threads[i] = begin(changes_local, &values[i]);
    for (int i = 0; i < 4; ++i) EQUAL(values[i], end(threads[i]));
    EQUAL(3, local);
}

static int sleeps(void* argument) {
    (void)argument;
    EQUAL(0, thrd_sleep(&(struct timespec){0, 2000000}, NULL));
    EQUAL(-2, thrd_sleep(&(struct timespec){0, -1}, NULL));
    return 0;
}

CASE(sleep_in_a_thread) {
    thrd_t threads[4];
    for (int i = 0; i < 4; ++i) threads[i] = begin(sleeps, NULL);
    for (int i = 0; i < 4; ++i) EQUAL(0, end(threads[i]));
}
