// SPDX-License-Identifier: Apache-2.0
// A thread that computes does not keep the others from running: main, other threads, and the children of a fork spin on a variable that another
// thread sets; several compute at once.
#include "conform.h"

#include <sys/prctl.h>
#include <sys/syscall.h>

static void* sets(void* flag) {
    pause_ms(10);
    atomic_store((atomic_bool*)flag, true);
    return flag;
}

static void* spins(void* argument) {
    atomic_bool flag = false;
    const pthread_t setter = start(sets, &flag);
    while (!atomic_load(&flag)) {}
    finish(setter);
    return argument;
}

CASE(main_spins) {
    for (int i = 0; i < 5; ++i) CHECK(spins(NULL) == NULL);
}

CASE(threads_spin) {
    pthread_t threads[6];
    for (int i = 0; i < 6; ++i) threads[i] = start(spins, NULL);
    for (int i = 0; i < 6; ++i) finish(threads[i]);
}

static _Thread_local int mine = 7;

/// What is the thread's own stays its own, whichever kernel thread runs it.
static void* computes(void* argument) {
    static pthread_mutex_t lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
    mine += (int)(intptr_t)argument;
    errno = 1000 + mine;
    const pthread_t self = pthread_self();
    for (int i = 0; i < 3; ++i) {
        RETURNS(0, pthread_mutex_lock(&lock));
        RETURNS(0, pthread_mutex_lock(&lock));
        CHECK(spins(NULL) == NULL);
        RETURNS(0, pthread_mutex_unlock(&lock));
        RETURNS(0, pthread_mutex_unlock(&lock));
    }
    CHECK(mine == 7 + (int)(intptr_t)argument);
    CHECK(pthread_equal(self, pthread_self()));
    return argument;
}

CASE(a_thread_keeps_what_it_has) {
    pthread_t threads[4];
    for (intptr_t i = 0; i < 4; ++i) threads[i] = start(computes, (void*)i);
    for (int i = 0; i < 4; ++i) finish(threads[i]);
}

/// The kernel is asked by instruction, which nobody can intercept.
static long by_instruction(long number, long a, long b, long c) {
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
    return result;
}

static int ends[2];

static void* writes_later(void* argument) {
    pause_ms(20);
    EQUAL(1, write(ends[1], "x", 1));
    return argument;
}

CASE(a_system_call_by_instruction) {
    WORKS(pipe(ends));
    const pthread_t writer = start(writes_later, NULL);
    char c = 0;
    EQUAL(1, by_instruction(SYS_read, ends[0], (long)&c, 1));
    finish(writer);
    close(ends[0]);
    close(ends[1]);
}

static int spin_in_child(void) {
    const pid_t child = fork();
    if (child == 0) {
        for (int i = 0; i < 3; ++i) spins(NULL);
        _exit(5);
    }
    int status = 0;
    EQUAL(child, waitpid(child, &status, 0));
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void* forks(void* argument) {
    spins(NULL);
    EQUAL(5, spin_in_child());
    return argument;
}

CASE(children_of_fork_spin) {
    EQUAL(5, spin_in_child());
    pthread_t threads[3];
    for (int i = 0; i < 3; ++i) threads[i] = start(forks, NULL);
    for (int i = 0; i < 3; ++i) finish(threads[i]);
}

/// After it has computed main goes on elsewhere than where it began: what it locks is its own all the same, and a child has its name.
static void* goes_on(void* argument) {
    pthread_mutexattr_t owned;
    pthread_condattr_t among;
    pthread_rwlockattr_t several;
    struct shared {
        pthread_mutex_t lock;
        pthread_cond_t changed;
        pthread_rwlock_t door;
    }* s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_mutexattr_init(&owned);
    pthread_mutexattr_settype(&owned, PTHREAD_MUTEX_ERRORCHECK);
    pthread_mutexattr_setpshared(&owned, PTHREAD_PROCESS_SHARED);
    pthread_condattr_init(&among);
    pthread_condattr_setpshared(&among, PTHREAD_PROCESS_SHARED);
    pthread_rwlockattr_init(&several);
    pthread_rwlockattr_setpshared(&several, PTHREAD_PROCESS_SHARED);
    RETURNS(0, pthread_mutex_init(&s->lock, &owned));
    RETURNS(0, pthread_cond_init(&s->changed, &among));
    RETURNS(0, pthread_rwlock_init(&s->door, &several));
    RETURNS(0, pthread_mutex_lock(&s->lock));
    RETURNS(EDEADLK, pthread_mutex_lock(&s->lock));
    struct timespec soon;
    clock_gettime(CLOCK_REALTIME, &soon);
    soon.tv_sec += 1;
    soon.tv_nsec = 0;
    RETURNS(ETIMEDOUT, pthread_cond_timedwait(&s->changed, &s->lock, &soon));
    RETURNS(EDEADLK, pthread_mutex_lock(&s->lock));
    RETURNS(0, pthread_mutex_unlock(&s->lock));
    RETURNS(EPERM, pthread_mutex_unlock(&s->lock));
    RETURNS(0, pthread_rwlock_wrlock(&s->door));
    RETURNS(EDEADLK, pthread_rwlock_rdlock(&s->door));
    RETURNS(0, pthread_rwlock_unlock(&s->door));
    WORKS(munmap(s, sizeof *s));
    RETURNS(0, pthread_setname_np(pthread_self(), "elsewhere"));
    int status = -1;
    CHILD(status) {
        char name[16] = "";
        WORKS(prctl(PR_GET_NAME, name));
        CHECK(strcmp(name, "elsewhere") == 0);
        RETURNS(0, pthread_getname_np(pthread_self(), name, sizeof name));
        CHECK(strcmp(name, "elsewhere") == 0);
    }
    EQUAL(0, ending(status));
    return argument;
}

CASE(main_goes_on) {
    spins(NULL);
    goes_on(NULL);
}
CASE(a_thread_goes_on) {
    spins(NULL);
    finish(start(goes_on, NULL));
}
