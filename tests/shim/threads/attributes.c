// SPDX-License-Identifier: Apache-2.0
// pthread_attr_*: defaults, what is accepted, what is refused, and what a thread made with them reports.
#include "conform.h"

CASE(defaults) {
    pthread_attr_t attr;
    RETURNS(0, pthread_attr_init(&attr));
    int number = -1;
    RETURNS(0, pthread_attr_getdetachstate(&attr, &number));
    EQUAL(PTHREAD_CREATE_JOINABLE, number);
    RETURNS(0, pthread_attr_getinheritsched(&attr, &number));
    EQUAL(PTHREAD_INHERIT_SCHED, number);
    RETURNS(0, pthread_attr_getschedpolicy(&attr, &number));
    EQUAL(SCHED_OTHER, number);
    RETURNS(0, pthread_attr_getscope(&attr, &number));
    EQUAL(PTHREAD_SCOPE_SYSTEM, number);
    struct sched_param param = {-1};
    RETURNS(0, pthread_attr_getschedparam(&attr, &param));
    EQUAL(0, param.sched_priority);
    size_t size = 0;
    RETURNS(0, pthread_attr_getguardsize(&attr, &size));
    EQUAL(sysconf(_SC_PAGESIZE), size);
    struct rlimit limit;
    getrlimit(RLIMIT_STACK, &limit);
    RETURNS(0, pthread_attr_getstacksize(&attr, &size));
    if (limit.rlim_cur != RLIM_INFINITY) EQUAL(limit.rlim_cur, size); // glibc's default is the limit the process began with
    RETURNS(0, pthread_attr_destroy(&attr));
}

CASE(refused) {
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    RETURNS(EINVAL, pthread_attr_setdetachstate(&attr, 77));
    RETURNS(EINVAL, pthread_attr_setinheritsched(&attr, 77));
    RETURNS(EINVAL, pthread_attr_setschedpolicy(&attr, 77));
    RETURNS(EINVAL, pthread_attr_setscope(&attr, 77));
    RETURNS(ENOTSUP, pthread_attr_setscope(&attr, PTHREAD_SCOPE_PROCESS));
    RETURNS(EINVAL, pthread_attr_setstacksize(&attr, PTHREAD_STACK_MIN - 1));
    RETURNS(EINVAL, pthread_attr_setstack(&attr, &attr, PTHREAD_STACK_MIN - 1));
    const struct sched_param param = {50};
    RETURNS(EINVAL, pthread_attr_setschedparam(&attr, &param)); // SCHED_OTHER knows priority 0 only
    pthread_attr_destroy(&attr);
}

static pthread_attr_t reported;

static void* report(void* argument) {
    RETURNS(0, pthread_getattr_np(pthread_self(), &reported));
    return argument;
}

static void make(const pthread_attr_t* attr) {
    pthread_t thread;
    if (RETURNS(0, pthread_create(&thread, attr, report, NULL))) finish(thread);
}

CASE(scheduling) {
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    RETURNS(0, pthread_attr_setinheritsched(&attr, PTHREAD_EXPLICIT_SCHED));
    RETURNS(0, pthread_attr_setschedpolicy(&attr, SCHED_OTHER));
    const struct sched_param zero = {0};
    RETURNS(0, pthread_attr_setschedparam(&attr, &zero));
    RETURNS(0, pthread_attr_setscope(&attr, PTHREAD_SCOPE_SYSTEM));
    make(&attr);
    int number = -1;
    struct sched_param param = {-1};
    pthread_attr_getschedpolicy(&reported, &number);
    EQUAL(SCHED_OTHER, number);
    pthread_attr_getschedparam(&reported, &param);
    EQUAL(0, param.sched_priority);
    pthread_attr_getinheritsched(&reported, &number);
    EQUAL(PTHREAD_EXPLICIT_SCHED, number);
    pthread_attr_getdetachstate(&reported, &number);
    EQUAL(PTHREAD_CREATE_JOINABLE, number);
    pthread_attr_destroy(&reported);
    pthread_attr_destroy(&attr);
}

static void* scheduling_of_self(void* argument) {
    int policy = -1;
    struct sched_param param = {-1};
    RETURNS(0, pthread_getschedparam(pthread_self(), &policy, &param));
    EQUAL(SCHED_OTHER, policy);
    EQUAL(0, param.sched_priority);
    const struct sched_param zero = {0};
    RETURNS(0, pthread_setschedparam(pthread_self(), SCHED_OTHER, &zero));
    const struct sched_param wrong = {99};
    RETURNS(EINVAL, pthread_setschedparam(pthread_self(), SCHED_OTHER, &wrong));
    RETURNS(EINVAL, pthread_setschedparam(pthread_self(), 99, &zero));
    RETURNS(0, pthread_setschedprio(pthread_self(), 0));
    return argument;
}

CASE(scheduling_of_a_thread) {
    scheduling_of_self(NULL);
    finish(start(scheduling_of_self, NULL));
}

static void* affinity_of_self(void* argument) {
    cpu_set_t wanted = *(cpu_set_t*)argument, got;
    CPU_ZERO(&got);
    RETURNS(0, pthread_getaffinity_np(pthread_self(), sizeof got, &got));
    CHECK(CPU_EQUAL(&wanted, &got));
    RETURNS(0, pthread_setaffinity_np(pthread_self(), sizeof wanted, &wanted));
    RETURNS(EINVAL, pthread_getaffinity_np(pthread_self(), 1, &got)); // the kernel's mask is longer
    CPU_ZERO(&got);
    RETURNS(EINVAL, pthread_setaffinity_np(pthread_self(), sizeof got, &got));
    return NULL;
}

CASE(affinity) {
    cpu_set_t all, one, got;
    CHECK(sched_getaffinity(0, sizeof all, &all) == 0);
    CPU_ZERO(&one);
    for (int i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; ++i)
        if (CPU_ISSET(i, &all)) CPU_SET(i, &one);
    finish(start(affinity_of_self, &all));
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    RETURNS(0, pthread_attr_getaffinity_np(&attr, sizeof got, &got));
    RETURNS(0, pthread_attr_setaffinity_np(&attr, sizeof one, &one));
    RETURNS(0, pthread_attr_getaffinity_np(&attr, sizeof got, &got));
    CHECK(CPU_EQUAL(&one, &got));
    pthread_t thread;
    RETURNS(0, pthread_create(&thread, &attr, affinity_of_self, &one));
    finish(thread);
    make(&attr);
    CPU_ZERO(&got);
    RETURNS(0, pthread_attr_getaffinity_np(&reported, sizeof got, &got));
    CHECK(CPU_EQUAL(&one, &got));
    pthread_attr_destroy(&reported);
    pthread_attr_destroy(&attr);
    CHECK(sched_getaffinity(0, sizeof got, &got) == 0 && CPU_EQUAL(&all, &got)); // a thread's affinity is its own
}

static void* mask_of_self(void* argument) {
    sigset_t now;
    RETURNS(0, pthread_sigmask(SIG_BLOCK, NULL, &now));
    EQUAL(1, sigismember(&now, SIGUSR2));
    EQUAL(0, sigismember(&now, SIGUSR1));
    return argument;
}

CASE(signal_mask) {
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    sigset_t mask;
    EQUAL(PTHREAD_ATTR_NO_SIGMASK_NP, pthread_attr_getsigmask_np(&attr, &mask));
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR2);
    RETURNS(0, pthread_attr_setsigmask_np(&attr, &mask));
    pthread_t thread;
    RETURNS(0, pthread_create(&thread, &attr, mask_of_self, NULL));
    finish(thread);
    pthread_attr_destroy(&attr);
}

static sem_t leave;

static void* stays(void* argument) {
    sem_wait(&leave);
    return argument;
}

CASE(process_default) {
    sem_init(&leave, 0, 0);
    pthread_attr_t attr, before;
    RETURNS(0, pthread_getattr_default_np(&before));
    pthread_attr_init(&attr);
    RETURNS(0, pthread_attr_setstacksize(&attr, 256 * 1024));
    RETURNS(0, pthread_setattr_default_np(&attr));
    make(NULL);
    size_t size = 0;
    pthread_attr_getstacksize(&reported, &size);
    EQUAL(256 * 1024, size);
    pthread_attr_destroy(&reported);
    RETURNS(0, pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED));
    RETURNS(0, pthread_setattr_default_np(&attr));
    pthread_t thread;
    pthread_attr_t made;
    RETURNS(0, pthread_create(&thread, NULL, stays, NULL));
    RETURNS(0, pthread_getattr_np(thread, &made));
    RETURNS(0, pthread_setattr_default_np(&before));
    int state = -1;
    pthread_attr_getdetachstate(&made, &state);
    EQUAL(PTHREAD_CREATE_DETACHED, state);
    pthread_attr_destroy(&made);
    sem_post(&leave);
    pthread_attr_setstack(&attr, (void*)0x100000, 1 << 20);
    RETURNS(EINVAL, pthread_setattr_default_np(&attr)); // a place is not for all
    pthread_attr_destroy(&attr);
    pthread_attr_destroy(&before);
}

static void guard_is(size_t wanted, pthread_attr_t* attr) {
    make(attr);
    size_t guard = 1;
    RETURNS(0, pthread_attr_getguardsize(&reported, &guard));
    EQUAL(wanted, guard);
    pthread_attr_destroy(&reported);
}

/// A guard consists of whole pages; a stack of the program's own has none. (Late: bare, who comes after it may get its stack.)
CASE(guards) {
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    RETURNS(0, pthread_attr_setstacksize(&attr, 1 << 20));
    RETURNS(0, pthread_attr_setguardsize(&attr, 12345));
    guard_is(16384, &attr);
    RETURNS(0, pthread_attr_setguardsize(&attr, 0));
    guard_is(0, &attr);
    RETURNS(0, pthread_attr_setguardsize(&attr, 4096));
    void* const memory = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    RETURNS(0, pthread_attr_setstack(&attr, memory, 1 << 20));
    guard_is(0, &attr);
    pthread_attr_destroy(&attr);
    munmap(memory, 1 << 20);
}

CASE(concurrency) {
    EQUAL(0, pthread_getconcurrency());
    RETURNS(0, pthread_setconcurrency(7));
    EQUAL(7, pthread_getconcurrency());
    RETURNS(EINVAL, pthread_setconcurrency(-1));
    EQUAL(7, pthread_getconcurrency());
}
