// SPDX-License-Identifier: Apache-2.0
// What a thread is told of its scheduling, as it set it: processors, policy, nice value, disk. Each thread has its own.
#include "conform.h"

#include <sys/syscall.h>

static sem_t stop, begun;
static pid_t other_number;
static void* waits(void* argument) {
    other_number = gettid();
    sem_post(&begun);
    sem_wait(&stop);
    return argument;
}

static int processors(void) {
    cpu_set_t set;
    CPU_ZERO(&set);
    WORKS(sched_getaffinity(0, sizeof set, &set));
    cpu_set_t by_thread;
    RETURNS(0, pthread_getaffinity_np(pthread_self(), sizeof by_thread, &by_thread));
    CHECK(CPU_EQUAL(&set, &by_thread));
    return CPU_COUNT(&set);
}

static int first_processor(void) {
    cpu_set_t set;
    sched_getaffinity(0, sizeof set, &set);
    for (int i = 0; i < CPU_SETSIZE; ++i)
        if (CPU_ISSET(i, &set)) return i;
    return -1;
}

static void* has_one(void* argument) {
    EQUAL(1, processors());
    return argument;
}

static void* pins_itself(void* argument) {
    const int all = processors();
    cpu_set_t set, one;
    CPU_ZERO(&one);
    FAILS(EINVAL, sched_setaffinity(0, sizeof one, &one));
    FAILS(EFAULT, sched_setaffinity(0, sizeof one, (cpu_set_t*)8));
    CPU_SET(first_processor(), &one);
    WORKS(sched_setaffinity(0, sizeof one, &one));
    EQUAL(1, processors());
    WORKS(sched_getaffinity(0, sizeof set, &set));
    CHECK(CPU_EQUAL(&set, &one));
    CHECK(sched_getcpu() >= 0);
    finish(start(has_one, NULL)); // inherited
    FAILS(EINVAL, sched_getaffinity(0, 3, &set));
    CHECK(syscall(SYS_sched_getaffinity, 0, sizeof set, &set) > 0);
    CPU_SET(CPU_SETSIZE - 1, &one); // one that is not there
    RETURNS(0, pthread_setaffinity_np(pthread_self(), sizeof one, &one));
    EQUAL(1, processors());
    memset(&set, -1, sizeof set);
    RETURNS(0, pthread_setaffinity_np(pthread_self(), sizeof set, &set));
    EQUAL(all, processors());
    return argument;
}

CASE(processors_of_a_thread) {
    const int all = processors();
    finish(start(pins_itself, NULL));
    EQUAL(all, processors());
    sem_init(&stop, 0, 0);
    sem_init(&begun, 0, 0);
    const pthread_t other = start(waits, NULL);
    sem_wait(&begun);
    cpu_set_t one, its;
    CPU_ZERO(&one);
    CPU_SET(first_processor(), &one);
    RETURNS(0, pthread_setaffinity_np(other, sizeof one, &one));
    RETURNS(0, pthread_getaffinity_np(other, sizeof its, &its));
    CHECK(CPU_EQUAL(&one, &its));
    WORKS(sched_getaffinity(other_number, sizeof its, &its));
    CHECK(CPU_EQUAL(&one, &its));
    EQUAL(all, processors());
    sem_post(&stop);
    finish(other);
}

static void* reports_attributes(void* argument) {
    pthread_attr_t attr;
    cpu_set_t set;
    RETURNS(0, pthread_getattr_np(pthread_self(), &attr));
    RETURNS(0, pthread_attr_getaffinity_np(&attr, sizeof set, &set));
    EQUAL(*(int*)argument, CPU_COUNT(&set));
    int policy = -1;
    struct sched_param p = {-1};
    RETURNS(0, pthread_attr_getschedpolicy(&attr, &policy));
    RETURNS(0, pthread_attr_getschedparam(&attr, &p));
    EQUAL(SCHED_OTHER, policy);
    EQUAL(0, p.sched_priority);
    pthread_attr_destroy(&attr);
    EQUAL(*(int*)argument, processors());
    return NULL;
}

CASE(processors_by_attribute) {
    pthread_attr_t attr;
    cpu_set_t one;
    pthread_t thread;
    int wanted = 1;
    CPU_ZERO(&one);
    CPU_SET(first_processor(), &one);
    pthread_attr_init(&attr);
    RETURNS(0, pthread_attr_setaffinity_np(&attr, sizeof one, &one));
    RETURNS(0, pthread_create(&thread, &attr, reports_attributes, &wanted));
    finish(thread);
    CPU_ZERO(&one);
    CPU_SET(CPU_SETSIZE - 1, &one);
    RETURNS(0, pthread_attr_setaffinity_np(&attr, sizeof one, &one));
    RETURNS(EINVAL, pthread_create(&thread, &attr, reports_attributes, &wanted));
    pthread_attr_destroy(&attr);
    wanted = processors();
    finish(start(reports_attributes, &wanted));
}

static void* is_batch(void* argument) {
    EQUAL(SCHED_BATCH, sched_getscheduler(0));
    return argument;
}

static void* changes_policy(void* argument) {
    struct sched_param p = {0};
    int policy = -1;
    EQUAL(SCHED_OTHER, sched_getscheduler(0));
    RETURNS(0, pthread_getschedparam(pthread_self(), &policy, &p));
    EQUAL(SCHED_OTHER, policy);
    EQUAL(0, p.sched_priority);
    RETURNS(0, pthread_setschedparam(pthread_self(), SCHED_OTHER, &p));
    RETURNS(0, pthread_setschedprio(pthread_self(), 0));
    RETURNS(EINVAL, pthread_setschedprio(pthread_self(), 5));
    RETURNS(EINVAL, pthread_setschedparam(pthread_self(), 77, &p));
    p.sched_priority = 3;
    RETURNS(EINVAL, pthread_setschedparam(pthread_self(), SCHED_OTHER, &p));
    p.sched_priority = 0;
    RETURNS(0, pthread_setschedparam(pthread_self(), SCHED_BATCH, &p));
    EQUAL(SCHED_BATCH, sched_getscheduler(gettid()));
    finish(start(is_batch, NULL));
    WORKS(sched_setscheduler(0, SCHED_OTHER, &p));
    EQUAL(SCHED_OTHER, sched_getscheduler(0));
    WORKS(sched_setparam(0, &p));
    WORKS(sched_getparam(0, &p));
    EQUAL(0, p.sched_priority);
    FAILS(EINVAL, sched_setscheduler(0, SCHED_FIFO, &p)); // its lowest priority is 1
    struct timespec t = {-1, -1};
    WORKS(sched_rr_get_interval(0, &t));
    CHECK(t.tv_sec >= 0 && t.tv_nsec >= 0);
    return argument;
}

CASE(policy_of_a_thread) {
    finish(start(changes_policy, NULL));
    EQUAL(SCHED_OTHER, sched_getscheduler(0));
}

static int try_fifo(void) {
    struct sched_param p = {1};
    const int error = pthread_setschedparam(pthread_self(), SCHED_FIFO, &p);
    if (error == 0) {
        int policy = -1;
        EQUAL(0, pthread_getschedparam(pthread_self(), &policy, &p));
        EQUAL(SCHED_FIFO, policy);
        EQUAL(1, p.sched_priority);
        p.sched_priority = 0;
        RETURNS(0, pthread_setschedparam(pthread_self(), SCHED_OTHER, &p));
    }
    return error;
}

static void* tries_fifo(void* argument) {
    *(int*)argument = try_fifo();
    return NULL;
}

/// What it may is the kernel's to say, and the same for every thread.
CASE(real_time) {
    int its = -1;
    const int mine = try_fifo();
    finish(start(tries_fifo, &its));
    EQUAL(mine, its);
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    struct sched_param p = {1};
    pthread_attr_setinheritsched(&attr, PTHREAD_EXPLICIT_SCHED);
    pthread_attr_setschedpolicy(&attr, SCHED_RR);
    pthread_attr_setschedparam(&attr, &p);
    pthread_t thread;
    const int error = pthread_create(&thread, &attr, tries_fifo, &its);
    RETURNS(mine, error);
    if (error == 0) finish(thread);
    pthread_attr_destroy(&attr);
}

static void* is_nice(void* argument) {
    EQUAL(7, getpriority(PRIO_PROCESS, 0));
    return argument;
}

static void* gets_nice(void* argument) {
    EQUAL(0, getpriority(PRIO_PROCESS, 0));
    EQUAL(4, nice(4));
    EQUAL(4, getpriority(PRIO_PROCESS, (id_t)gettid()));
    WORKS(setpriority(PRIO_PROCESS, 0, 7));
    finish(start(is_nice, NULL));
    EQUAL(0, getpriority(PRIO_PROCESS, (id_t)getpid()));
    WORKS(setpriority(PRIO_PROCESS, (id_t)gettid(), 100));
    EQUAL(19, getpriority(PRIO_PROCESS, 0));
    EQUAL(2 << 13 | 6, (syscall(SYS_ioprio_set, 1, 0, 2 << 13 | 6), syscall(SYS_ioprio_get, 1, 0)));
    return argument;
}

CASE(nice_is_a_threads) {
    finish(start(gets_nice, NULL));
    EQUAL(0, getpriority(PRIO_PROCESS, 0));
}

CASE(concurrency) {
    EQUAL(0, pthread_getconcurrency());
    RETURNS(0, pthread_setconcurrency(5));
    EQUAL(5, pthread_getconcurrency());
    RETURNS(EINVAL, pthread_setconcurrency(-1));
}

static void* computes(void* argument) {
    clockid_t clock;
    RETURNS(0, pthread_getcpuclockid(pthread_self(), &clock));
    struct timespec a, b, c;
    WORKS(clock_gettime(clock, &a));
    volatile long sum = 0;
    do {
        for (int i = 0; i < 10000; ++i) sum += i;
        WORKS(clock_gettime(clock, &b));
    } while (b.tv_sec == a.tv_sec && b.tv_nsec - a.tv_nsec < 2000000);
    WORKS(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &c));
    CHECK(c.tv_sec > 0 || c.tv_nsec >= 2000000);
    struct rusage usage;
    WORKS(getrusage(RUSAGE_THREAD, &usage));
    return argument;
}
CASE(a_clock_of_its_processor_time) {
    finish(start(computes, NULL));
    atomic_store(&conform_checks, 0); // how many it made is a matter of speed
}

struct attributes {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
};

static long timeslice_ms(void) {
    char text[24] = "";
    const int fd = open("/proc/sys/kernel/sched_rr_timeslice_ms", O_RDONLY);
    const ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    return n > 0 ? atol(text) : -1;
}

/// Where that is allowed.
static void* has_real_time(void* argument) {
    struct sched_param p = {5};
    struct timespec t = {-1, -1};
    struct attributes a = {0};
    if (sched_setscheduler(0, SCHED_RR, &p) == 0) {
        WORKS(sched_rr_get_interval(gettid(), &t));
        EQUAL(timeslice_ms(), t.tv_sec * 1000 + t.tv_nsec / 1000000);
        WORKS(syscall(SYS_sched_getattr, gettid(), &a, sizeof a, 0));
        CHECK(a.policy == SCHED_RR && a.priority == 5 && a.nice == 0 && a.runtime == 0);
        WORKS(sched_setscheduler(0, SCHED_FIFO, &p));
        WORKS(sched_rr_get_interval(0, &t));
        EQUAL(0, t.tv_sec + t.tv_nsec);
        FAILS(EFAULT, syscall(SYS_sched_rr_get_interval, 0, 8));
    }
    const struct attributes wanted = {sizeof a, 6, 0, 0, 0, 1000000, 100000000, 100000000};
    if (syscall(SYS_sched_setattr, 0, &wanted, 0) == 0) {
        WORKS(syscall(SYS_sched_getattr, 0, &a, sizeof a, 0));
        EQUAL(6, sched_getscheduler(0));
        CHECK(a.runtime == wanted.runtime && a.deadline == wanted.deadline && a.period == wanted.period);
    }
    return argument;
}

CASE(real_time_is_told) { finish(start(has_real_time, NULL)); }
