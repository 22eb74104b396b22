// SPDX-License-Identifier: Apache-2.0
//
// A conformance program is an ordinary C program about one page of POSIX's thread family; it knows nothing of weft.
// It consists of cases, which run one after the other in one process:
//
//     CASE(recursive_counts) {
//         RETURNS(0, pthread_mutex_lock(&lock));        // a call that returns its error number
//         FAILS(EINTR, sem_wait(&sem));                 // one that returns -1 and sets errno
//         CHECK(pthread_equal(a, b));
//     }
//
// After each the program prints `name: checks made`, so that the output is the same in every run in which nothing fails; a failed
// check prints its line at once and makes the exit status 1. The runner (conform.py) runs the program bare and under weft and wants equal
// output and status. Checks may be made by several threads at once.
//
// PROCESS(name) defines a case for a process of its own: it runs when another case calls run_process("name"), which returns how it ended.
#pragma once

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define QUIET __attribute__((unused))

/// Its size is its alignment, so that the linker lays them one beside the other.
struct conform_case {
    const char* name;
    void (*run)(void);
    bool own_process;
} __attribute__((aligned(32)));

#define CONFORM_CASE(name, own_process)                                                                                      \
    static void name(void);                                                                                                  \
    static struct conform_case case_##name __attribute__((section("conform_cases"), used)) = {#name, name, own_process};     \
    static void name(void)
#define CASE(name) CONFORM_CASE(name, false)
#define PROCESS(name) CONFORM_CASE(name, true)

extern struct conform_case __start_conform_cases[] __attribute__((visibility("hidden")));
extern struct conform_case __stop_conform_cases[] __attribute__((visibility("hidden")));

// ---- checks ----------------------------------------------------------------------------------------------------------

static atomic_int conform_checks, conform_failures;

/// Counts a check; prints what differs if it failed. May be called in signal handlers' wake, so it keeps errno.
QUIET static bool conform_check(bool truth, int line, const char* what, const char* wanted, const char* got) {
    const int kept = errno;
    atomic_fetch_add(&conform_checks, 1);
    if (!truth) {
        atomic_fetch_add(&conform_failures, 1);
        char text[400];
        const int size = snprintf(text, sizeof text, "FAILED line %d: %s%s%s%s%s\n", line, what, *wanted ? ": wanted " : "", wanted,
                                  *got ? ", got " : "", got);
        if (write(STDOUT_FILENO, text, (size_t)(size < (int)sizeof text ? size : (int)sizeof text - 1)) < 0) {}
    }
    errno = kept;
    return truth;
}

QUIET static bool conform_error(int wanted, long got, int line, const char* what) {
    char other[40];
    snprintf(other, sizeof other, "%s", got > 0 && got < 4096 ? strerrorname_np((int)got) : got ? "something else" : "0");
    return conform_check(wanted == got, line, what, wanted ? strerrorname_np(wanted) : "0", other);
}

QUIET static bool conform_equal(long long wanted, long long got, int line, const char* what) {
    char texts[2][24];
    snprintf(texts[0], sizeof texts[0], "%lld", wanted);
    snprintf(texts[1], sizeof texts[1], "%lld", got);
    return conform_check(wanted == got, line, what, texts[0], texts[1]);
}

#define CHECK(truth) conform_check((truth), __LINE__, #truth, "", "")
#define EQUAL(wanted, got) conform_equal((long long)(wanted), (long long)(got), __LINE__, #got)
#define RETURNS(error, call) conform_error((error), (call), __LINE__, #call)
#define FAILS(error, call) (errno = 0, conform_check((call) == -1, __LINE__, #call, "-1", "") && conform_error((error), errno, __LINE__, #call))
/// A call that must succeed with 0, or -1 and errno.
#define WORKS(call) (errno = 0, (call) == 0 ? conform_error(0, 0, __LINE__, #call) : conform_error(0, errno, __LINE__, #call))

// ---- time ------------------------------------------------------------------------------------------------------------

QUIET static long long now_us(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

/// The moment `ms` milliseconds from now; may lie in the past.
QUIET static struct timespec in_ms(clockid_t clock, long ms) {
    struct timespec t;
    clock_gettime(clock, &t);
    const long long ns = t.tv_nsec + ms * 1000000LL;
    t.tv_sec += ns / 1000000000;
    t.tv_nsec = ns % 1000000000;
    if (t.tv_nsec < 0) {
        t.tv_nsec += 1000000000;
        --t.tv_sec;
    }
    return t;
}

QUIET static void pause_ms(long ms) {
    struct timespec left = {ms / 1000, ms % 1000 * 1000000};
    while (nanosleep(&left, &left) != 0) {}
}

/// Lets other threads come to where they wait. No result may depend on whether they did: it only makes the interesting order likely.
QUIET static void settle(void) { pause_ms(3); }

/// Waits until another thread has made the value so; gives up after 20 s.
QUIET static bool until(atomic_int* value, int wanted) {
    for (int i = 0; i < 20000; ++i) {
        if (atomic_load(value) == wanted) return true;
        pause_ms(1);
    }
    return false;
}
#define UNTIL(value, wanted) CHECK(until(&(value), (wanted)))

// ---- threads and processes --------------------------------------------------------------------------------------------

QUIET static pthread_t start(void* (*run)(void*), void* argument) {
    pthread_t thread = 0;
    RETURNS(0, pthread_create(&thread, NULL, run, argument));
    return thread;
}

QUIET static void* finish(pthread_t thread) {
    void* result = NULL;
    RETURNS(0, pthread_join(thread, &result));
    return result;
}

static const char* conform_program;

/// Runs a PROCESS of this program in a new process; returns its wait status.
QUIET static int run_process(const char* name) {
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        execl("/proc/self/exe", conform_program, name, (char*)NULL);
        _exit(125);
    }
    int status = -1;
    while (waitpid(child, &status, 0) == -1 && errno == EINTR) {}
    return status;
}

/// The exit status of a process, or 1000 and the number of the signal that ended it.
QUIET static int ending(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status); }

/// CHILD(status) { ... } runs the block in a forked child, which ends with the number of its failed checks; the wait status goes to `status`.
#define CHILD(status)                                                                                                        \
    for (pid_t conform_child = (fflush(stdout), fork()), conform_once = 1; conform_once;                                     \
         conform_once = 0, (status) = conform_end(conform_child))                                                            \
        if (conform_child == 0 && (atomic_store(&conform_failures, 0), true))

QUIET static int conform_end(pid_t child) {
    if (child == 0) _exit(atomic_load(&conform_failures));
    int status = -1;
    while (waitpid(child, &status, 0) == -1 && errno == EINTR) {}
    return status;
}

/// Memory that children share.
QUIET static void* shared_memory(size_t size) {
    void* memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) abort();
    return memory;
}

QUIET static void say(const char* text) {
    if (write(STDOUT_FILENO, text, strlen(text)) < 0) {}
}

static void conform_run(struct conform_case* c) {
    atomic_store(&conform_checks, 0);
    const int before = atomic_load(&conform_failures);
    c->run();
    printf("%s: %d checks%s\n", c->name, atomic_load(&conform_checks), atomic_load(&conform_failures) != before ? ", FAILED" : "");
    fflush(stdout);
}

/// Without arguments every case runs, else those that are named.
int main(int argc, char** argv) {
    conform_program = argv[0];
    for (struct conform_case* c = __start_conform_cases; c < __stop_conform_cases; ++c) {
        bool wanted = argc < 2 && !c->own_process;
        for (int i = 1; i < argc; ++i) wanted = wanted || strcmp(argv[i], c->name) == 0;
        if (wanted) conform_run(c);
    }
    return atomic_load(&conform_failures) != 0;
}
