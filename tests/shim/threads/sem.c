// SPDX-License-Identifier: Apache-2.0
// Unnamed and named semaphores: counting, timed, from signal handlers, between threads and processes.
#include "conform.h"

#include <sys/stat.h>

static sem_t sem;

static int value_of(sem_t* s) {
    int value = -1;
    CHECK(sem_getvalue(s, &value) == 0);
    return value;
}

CASE(counts) {
    WORKS(sem_init(&sem, 0, 3));
    for (int i = 2; i >= 0; --i) {
        WORKS(i % 2 ? sem_wait(&sem) : sem_trywait(&sem));
        EQUAL(i, value_of(&sem));
    }
    FAILS(EAGAIN, sem_trywait(&sem));
    WORKS(sem_post(&sem));
    EQUAL(1, value_of(&sem));
    WORKS(sem_destroy(&sem));
    FAILS(EINVAL, sem_init(&sem, 0, (unsigned)SEM_VALUE_MAX + 1));
    WORKS(sem_init(&sem, 0, SEM_VALUE_MAX));
    FAILS(EOVERFLOW, sem_post(&sem));
    WORKS(sem_destroy(&sem));
}

static atomic_int passed;

static void* waits(void* argument) {
    WORKS(sem_wait(&sem));
    atomic_fetch_add(&passed, 1);
    return argument;
}

CASE(one_post_lets_one_pass) {
    sem_init(&sem, 0, 0);
    pthread_t threads[10];
    for (int i = 0; i < 10; ++i) threads[i] = start(waits, NULL);
    for (int i = 1; i <= 10; ++i) {
        sem_post(&sem);
        UNTIL(passed, i);
        if (i == 5) {
            settle();
            EQUAL(5, atomic_load(&passed));
        }
    }
    for (int i = 0; i < 10; ++i) finish(threads[i]);
    EQUAL(0, value_of(&sem));
    sem_destroy(&sem);
}

CASE(times_out) {
    sem_init(&sem, 0, 0);
    struct timespec at = in_ms(CLOCK_REALTIME, 20);
    long long began = now_us(CLOCK_MONOTONIC);
    FAILS(ETIMEDOUT, sem_timedwait(&sem, &at));
    CHECK(now_us(CLOCK_MONOTONIC) - began >= 19000);
    at = in_ms(CLOCK_MONOTONIC, 20);
    began = now_us(CLOCK_MONOTONIC);
    FAILS(ETIMEDOUT, sem_clockwait(&sem, CLOCK_MONOTONIC, &at));
    CHECK(now_us(CLOCK_MONOTONIC) - began >= 19000);
    at = in_ms(CLOCK_REALTIME, -1000);
    FAILS(ETIMEDOUT, sem_timedwait(&sem, &at));
    at.tv_nsec = -1;
    FAILS(EINVAL, sem_timedwait(&sem, &at));
    at.tv_nsec = 1000000000;
    FAILS(EINVAL, sem_timedwait(&sem, &at));
    FAILS(EINVAL, sem_clockwait(&sem, CLOCK_BOOTTIME, &at));
    sem_post(&sem);
    sem_destroy(&sem);
}

static void* posts_later(void* argument) {
    settle();
    sem_post(argument);
    return NULL;
}

CASE(in_time) {
    sem_init(&sem, 0, 0);
    for (int i = 0; i < 4; ++i) {
        const pthread_t thread = start(posts_later, &sem);
        const clockid_t clock = i % 2 ? CLOCK_MONOTONIC : CLOCK_REALTIME;
        const struct timespec at = in_ms(clock, 20000);
        WORKS(sem_clockwait(&sem, clock, &at));
        finish(thread);
    }
    sem_destroy(&sem);
}

static void on_signal(int number) {
    (void)number;
    sem_post(&sem);
}

static void* pokes(void* main_thread) {
    settle();
    RETURNS(0, pthread_kill(*(pthread_t*)main_thread, SIGUSR1));
    return NULL;
}

static int wait_through_signals(void) {
    while (sem_wait(&sem) != 0)
        if (errno != EINTR) return -1;
    return 0;
}

CASE(posted_by_a_handler) {
    sem_init(&sem, 0, 0);
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGUSR1, &action, NULL);
    pthread_t self = pthread_self();
    for (int i = 0; i < 5; ++i) {
        const pthread_t thread = start(pokes, &self);
        WORKS(wait_through_signals());
        finish(thread);
    }
    signal(SIGUSR1, SIG_DFL);
    sem_destroy(&sem);
}

static void* to_and_fro(void* argument) {
    sem_t** pair = argument;
    for (int i = 0; i < 2000; ++i) {
        if (sem_wait(pair[0]) != 0) CHECK(!"sem_wait");
        if (sem_post(pair[1]) != 0) CHECK(!"sem_post");
    }
    return NULL;
}

CASE(ping_pong) {
    static sem_t ping, pong;
    sem_init(&ping, 0, 1);
    sem_init(&pong, 0, 0);
    sem_t* one[] = {&ping, &pong};
    sem_t* two[] = {&pong, &ping};
    const pthread_t a = start(to_and_fro, one), b = start(to_and_fro, two);
    finish(a);
    finish(b);
    EQUAL(1, value_of(&ping));
    EQUAL(0, value_of(&pong));
}

static void* destroys_after_wait(void* argument) {
    sem_wait(argument);
    sem_destroy(argument);
    memset(argument, 0x33, sizeof(sem_t));
    free(argument);
    return NULL;
}

CASE(destroyed_by_the_waiter) {
    // POSIX: who has passed may destroy it at once, although sem_post may not have returned.
    for (int i = 0; i < 50; ++i) {
        sem_t* mine = malloc(sizeof *mine);
        sem_init(mine, 0, 0);
        const pthread_t thread = start(destroys_after_wait, mine);
        if (i % 10 == 0) settle();
        WORKS(sem_post(mine));
        finish(thread);
    }
}

static void* opens_and_posts(void* name) {
    sem_t* named = sem_open(name, 0);
    CHECK(named != SEM_FAILED);
    WORKS(sem_post(named));
    WORKS(sem_close(named));
    return NULL;
}

CASE(named) {
    char name[64];
    snprintf(name, sizeof name, "/conform-%d", getpid());
    CHECK(sem_open(name, 0) == SEM_FAILED);
    RETURNS(ENOENT, errno);
    sem_t* named = sem_open(name, O_CREAT | O_EXCL, 0600, 1);
    CHECK(named != SEM_FAILED);
    CHECK(sem_open(name, O_CREAT | O_EXCL, 0600, 1) == SEM_FAILED);
    RETURNS(EEXIST, errno);
    sem_t* again = sem_open(name, O_CREAT, 0600, 7);
    CHECK(again == named); // one address a process
    EQUAL(1, value_of(named));
    WORKS(sem_close(again));
    WORKS(sem_wait(named));
    const pthread_t thread = start(opens_and_posts, name);
    WORKS(sem_wait(named));
    finish(thread);
    int status;
    CHILD(status) {
        pause_ms(3);
        finish(start(opens_and_posts, name));
    }
    WORKS(sem_wait(named));
    EQUAL(0, ending(status));
    WORKS(sem_unlink(name));
    FAILS(ENOENT, sem_unlink(name));
    WORKS(sem_close(named));
}
