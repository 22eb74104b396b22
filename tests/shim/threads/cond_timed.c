// SPDX-License-Identifier: Apache-2.0
// pthread_cond_timedwait and clockwait: the attribute's clock, the argument's, time-outs, bad times.
#include "conform.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void make(pthread_cond_t* cond, clockid_t clock) {
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    clockid_t got = -1;
    RETURNS(0, pthread_condattr_setclock(&attr, clock));
    RETURNS(0, pthread_condattr_getclock(&attr, &got));
    EQUAL(clock, got);
    RETURNS(0, pthread_cond_init(cond, &attr));
    pthread_condattr_destroy(&attr);
}

CASE(times_out) {
    static const clockid_t clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC};
    for (int c = 0; c < 2; ++c) {
        pthread_cond_t cond;
        make(&cond, clocks[c]);
        pthread_mutex_lock(&mutex);
        for (long ms = 30; ms >= -10; ms -= 10) {
            const struct timespec at = in_ms(clocks[c], ms);
            int error;
            while ((error = pthread_cond_timedwait(&cond, &mutex, &at)) == 0) {}
            RETURNS(ETIMEDOUT, error);
            CHECK(now_us(clocks[c]) >= at.tv_sec * 1000000LL + at.tv_nsec / 1000);
        }
        // clockwait uses its own clock, whatever the attribute says.
        for (int k = 0; k < 2; ++k) {
            const struct timespec at = in_ms(clocks[k], 10);
            RETURNS(ETIMEDOUT, pthread_cond_clockwait(&cond, &mutex, clocks[k], &at));
            CHECK(now_us(clocks[k]) >= at.tv_sec * 1000000LL + at.tv_nsec / 1000);
        }
        RETURNS(0, pthread_mutex_unlock(&mutex));
        RETURNS(0, pthread_cond_destroy(&cond));
    }
}

CASE(bad_times) {
    pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
    pthread_mutex_lock(&mutex);
    struct timespec at = in_ms(CLOCK_REALTIME, 10000);
    at.tv_nsec = 1000000000;
    RETURNS(EINVAL, pthread_cond_timedwait(&cond, &mutex, &at));
    at.tv_nsec = -1;
    RETURNS(EINVAL, pthread_cond_timedwait(&cond, &mutex, &at));
    RETURNS(EINVAL, pthread_cond_clockwait(&cond, &mutex, CLOCK_MONOTONIC, &at));
    at.tv_nsec = 0;
    RETURNS(EINVAL, pthread_cond_clockwait(&cond, &mutex, CLOCK_BOOTTIME, &at));
    at.tv_sec = -1;
    RETURNS(ETIMEDOUT, pthread_cond_timedwait(&cond, &mutex, &at));
    RETURNS(0, pthread_mutex_unlock(&mutex));
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    RETURNS(EINVAL, pthread_condattr_setclock(&attr, CLOCK_THREAD_CPUTIME_ID));
    RETURNS(EINVAL, pthread_condattr_setclock(&attr, 99));
    RETURNS(EINVAL, pthread_condattr_setpshared(&attr, 99));
    pthread_condattr_destroy(&attr);
}

static pthread_cond_t news = PTHREAD_COND_INITIALIZER;
static bool told;

static void* tells(void* argument) {
    settle();
    pthread_mutex_lock(&mutex);
    told = true;
    pthread_cond_signal(&news);
    pthread_mutex_unlock(&mutex);
    return argument;
}

CASE(in_time) {
    static const clockid_t clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC};
    for (int i = 0; i < 6; ++i) {
        told = false;
        const pthread_t thread = start(tells, NULL);
        const struct timespec at = in_ms(clocks[i % 2], 20000);
        pthread_mutex_lock(&mutex);
        int error = 0;
        while (!told && error == 0) error = pthread_cond_clockwait(&news, &mutex, clocks[i % 2], &at);
        RETURNS(0, error);
        pthread_mutex_unlock(&mutex);
        finish(thread);
    }
}

static void* holds_mutex(void* argument) {
    pthread_mutex_lock(&mutex);
    sem_post(argument);
    pause_ms(40);
    told = true;
    pthread_mutex_unlock(&mutex);
    return NULL;
}

CASE(mutex_is_waited_for_after_the_time) {
    // Past its time the call still returns with the mutex held, however long another has it.
    sem_t taken;
    sem_init(&taken, 0, 0);
    told = false;
    pthread_mutex_lock(&mutex);
    const pthread_t thread = start(holds_mutex, &taken);
    const struct timespec at = in_ms(CLOCK_REALTIME, 10);
    int error;
    while ((error = pthread_cond_timedwait(&news, &mutex, &at)) == 0) {}
    RETURNS(ETIMEDOUT, error);
    if (sem_trywait(&taken) == 0) CHECK(told); // it had it before our time was over
    else CHECK(!told);
    pthread_mutex_unlock(&mutex);
    finish(thread);
}

static atomic_int waiting, timeouts, signals;

static void* waits(void* argument) {
    const struct timespec at = in_ms(CLOCK_MONOTONIC, (long)argument);
    pthread_mutex_lock(&mutex);
    atomic_fetch_add(&waiting, 1);
    const int error = pthread_cond_clockwait(&news, &mutex, CLOCK_MONOTONIC, &at);
    pthread_mutex_unlock(&mutex);
    atomic_fetch_add(error == ETIMEDOUT ? &timeouts : &signals, 1);
    return NULL;
}

CASE(signal_is_not_lost_on_who_timed_out) {
    // Ten wait for ever, ten give up; ten signals afterwards reach those who still wait.
    pthread_t patient[10], hasty[10];
    for (int i = 0; i < 10; ++i) {
        patient[i] = start(waits, (void*)20000);
        hasty[i] = start(waits, (void*)5);
    }
    for (int i = 0; i < 10; ++i) finish(hasty[i]);
    UNTIL(waiting, 20);
    EQUAL(10, atomic_load(&timeouts));
    for (int i = 0; i < 10; ++i) {
        pthread_mutex_lock(&mutex);
        pthread_cond_signal(&news);
        pthread_mutex_unlock(&mutex);
    }
    for (int i = 0; i < 10; ++i) finish(patient[i]);
    EQUAL(10, atomic_load(&signals));
}
