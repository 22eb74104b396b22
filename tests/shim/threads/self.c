// SPDX-License-Identifier: Apache-2.0
// pthread_self, pthread_equal, gettid: who is who; a thread stays the same across calls that wait.
#include "conform.h"

#include <sys/syscall.h>

static sem_t go;
static pthread_t ids[30];
static pid_t tids[30];
static atomic_int ready;

static void* says(void* argument) {
    const long mine = (long)argument;
    ids[mine] = pthread_self();
    tids[mine] = gettid();
    CHECK(gettid() == (pid_t)syscall(SYS_gettid));
    atomic_fetch_add(&ready, 1);
    sem_wait(&go);
    CHECK(pthread_equal(ids[mine], pthread_self()));
    EQUAL(tids[mine], gettid());
    sched_yield();
    pause_ms(1);
    CHECK(pthread_equal(ids[mine], pthread_self()));
    EQUAL(tids[mine], gettid());
    return NULL;
}

CASE(unique_and_steady) {
    pthread_t threads[30];
    const pthread_t self = pthread_self();
    const pid_t tid = gettid();
    EQUAL(getpid(), tid); // the first thread's
    sem_init(&go, 0, 0);
    for (long i = 0; i < 30; ++i) threads[i] = start(says, (void*)i);
    UNTIL(ready, 30);
    int same = 0;
    for (int i = 0; i < 30; ++i) {
        CHECK(pthread_equal(threads[i], ids[i]));
        CHECK(tids[i] > 0 && tids[i] != tid);
        CHECK(!pthread_equal(ids[i], self));
        for (int k = 0; k < i; ++k) same += tids[i] == tids[k] || pthread_equal(ids[i], ids[k]);
    }
    EQUAL(0, same);
    for (int i = 0; i < 30; ++i) sem_post(&go);
    for (int i = 0; i < 30; ++i) finish(threads[i]);
    CHECK(pthread_equal(self, pthread_self()));
    EQUAL(tid, gettid());
}

static void* pid_of(void* argument) {
    (void)argument;
    return (void*)(long)getpid();
}

CASE(one_process) { EQUAL(getpid(), (long)finish(start(pid_of, NULL))); }

static void* in_child(void* argument) {
    const pthread_t self = pthread_self();
    int status;
    CHILD(status) {
        CHECK(pthread_equal(self, pthread_self()));
        EQUAL(getpid(), gettid()); // whoever forks is the child's first thread
    }
    EQUAL(0, ending(status));
    return argument;
}

CASE(after_fork) {
    in_child(NULL);
    finish(start(in_child, NULL));
}
