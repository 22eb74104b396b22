// SPDX-License-Identifier: Apache-2.0
// The numbers of threads: gettid(2), and the system calls that take one.
#include "conform.h"

#include <sys/syscall.h>

#define THREADS 50
static atomic_int ready, go;
static pid_t numbers[THREADS];

static void* notes_number(void* argument) {
    const int i = (int)(intptr_t)argument;
    numbers[i] = gettid();
    atomic_fetch_add(&ready, 1);
    while (!atomic_load(&go)) pause_ms(1);
    EQUAL(numbers[i], gettid());
    EQUAL(numbers[i], syscall(SYS_gettid));
    return NULL;
}

CASE(each_its_own) {
    pthread_t threads[THREADS];
    EQUAL(getpid(), gettid());
    for (int i = 0; i < THREADS; ++i) threads[i] = start(notes_number, (void*)(intptr_t)i);
    UNTIL(ready, THREADS);
    for (int i = 0; i < THREADS; ++i) {
        CHECK(numbers[i] > 0 && numbers[i] != getpid());
        for (int k = 0; k < i; ++k) CHECK(numbers[i] != numbers[k]);
    }
    for (int i = 0; i < THREADS; ++i) {
        WORKS(tgkill(getpid(), numbers[i], 0));
        WORKS(syscall(SYS_tgkill, getpid(), numbers[i], 0));
        WORKS(syscall(SYS_tkill, numbers[i], 0));
        FAILS(ESRCH, tgkill(getppid(), numbers[i], 0));
        FAILS(EINVAL, tgkill(getpid(), numbers[i], 65));
        FAILS(EINVAL, tgkill(getpid(), numbers[i], -1));
    }
    WORKS(tgkill(getpid(), getpid(), 0));
    EQUAL(getpid(), gettid());
    atomic_store(&go, 1);
    for (int i = 0; i < THREADS; ++i) finish(threads[i]);
    for (int i = 0; i < THREADS; ++i) FAILS(ESRCH, tgkill(getpid(), numbers[i], 0));
    FAILS(EINVAL, tgkill(getpid(), -1, 0));
    FAILS(EINVAL, tgkill(0, getpid(), 0));
}

static void* is_alone(void* argument) {
    const pid_t mine = gettid();
    CHECK(argument == NULL);
    return (void*)(intptr_t)mine;
}

CASE(of_one_after_another) {
    pid_t before = 0;
    for (int i = 0; i < 20; ++i) {
        const pid_t now = (pid_t)(intptr_t)finish(start(is_alone, NULL));
        CHECK(now != before && now != getpid());
        before = now;
    }
}

static sem_t stop, begun;
static void* waits(void* argument) {
    *(pid_t*)argument = gettid();
    sem_post(&begun);
    sem_wait(&stop);
    return NULL;
}

/// Whoever knows a thread's number may ask for its processors.
CASE(asked_by_another) {
    pid_t number = 0;
    sem_init(&stop, 0, 0);
    sem_init(&begun, 0, 0);
    const pthread_t thread = start(waits, &number);
    sem_wait(&begun);
    cpu_set_t mine, its;
    CPU_ZERO(&its);
    WORKS(sched_getaffinity(0, sizeof mine, &mine));
    WORKS(sched_getaffinity(number, sizeof its, &its));
    CHECK(CPU_EQUAL(&mine, &its));
    EQUAL(SCHED_OTHER, sched_getscheduler(number));
    errno = 0;
    EQUAL(0, getpriority(PRIO_PROCESS, (id_t)number));
    EQUAL(0, errno);
    sem_post(&stop);
    finish(thread);
    for (int i = 0; i < 20000 && syscall(SYS_tgkill, getpid(), number, 0) == 0; ++i) pause_ms(1); // a join may be over before the kernel's part of the thread
    FAILS(ESRCH, sched_getaffinity(number, sizeof its, &its));
    FAILS(ESRCH, sched_getscheduler(number));
    FAILS(ESRCH, getpriority(PRIO_PROCESS, (id_t)number));
    FAILS(ESRCH, setpriority(PRIO_PROCESS, (id_t)number, 3));
}
