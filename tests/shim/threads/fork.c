// SPDX-License-Identifier: Apache-2.0
// fork and exec in programs with threads: only the forking thread is in the child, handlers run in their order.
#include "conform.h"

static char order[64];
static void prepare_1(void) { strcat(order, "1"); }
static void parent_1(void) { strcat(order, "p"); }
static void child_1(void) { strcat(order, "c"); }
static void prepare_2(void) { strcat(order, "2"); }
static void parent_2(void) { strcat(order, "q"); }
static void child_2(void) { strcat(order, "d"); }

static void* forks(void* argument) {
    const pthread_t self = pthread_self();
    int status;
    order[0] = 0;
    CHILD(status) {
        CHECK(strcmp(order, argument) == 0);
        CHECK(pthread_equal(self, pthread_self()));
    }
    EQUAL(0, ending(status));
    return NULL;
}

PROCESS(handlers) {
    RETURNS(0, pthread_atfork(prepare_1, parent_1, child_1));
    RETURNS(0, pthread_atfork(prepare_2, parent_2, child_2));
    RETURNS(0, pthread_atfork(NULL, NULL, NULL));
    forks("21cd");
    CHECK(strcmp(order, "21pq") == 0);
    finish(start(forks, "21cd"));
    CHECK(strcmp(order, "21pq") == 0);
}

CASE(atfork) { EQUAL(0, ending(run_process("handlers"))); }

static sem_t ready, go;
static atomic_int beats;

static void* beats_for_ever(void* argument) {
    sem_post(&ready);
    for (;;) {
        atomic_fetch_add(&beats, 1);
        pause_ms(1);
    }
    return argument;
}

static void* add(void* argument) { return (char*)argument + 1; }

static void grandchild(void) {
    int status;
    CHILD(status) EQUAL(2, (long)finish(start(add, (void*)1)));
    EQUAL(0, ending(status));
}

static void* forks_alone(void* argument) {
    int local = 5;
    int status;
    CHILD(status) {
        const int before = atomic_load(&beats);
        pause_ms(5);
        EQUAL(before, atomic_load(&beats)); // the other is not here
        EQUAL(5, local);
        for (long i = 0; i < 20; ++i) EQUAL(i + 1, (long)finish(start(add, (void*)i))); // new threads can be made
        grandchild();
    }
    EQUAL(0, ending(status));
    return argument;
}

CASE(only_the_forking_thread) {
    sem_init(&ready, 0, 0);
    const pthread_t other = start(beats_for_ever, NULL);
    sem_wait(&ready);
    forks_alone(NULL);
    finish(start(forks_alone, NULL));
    const int before = atomic_load(&beats);
    for (int i = 0; i < 5000 && atomic_load(&beats) == before; ++i) pause_ms(1);
    CHECK(atomic_load(&beats) > before); // here it runs on
    pthread_cancel(other);
    CHECK(finish(other) == PTHREAD_CANCELED);
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t mine = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

static void* holds(void* argument) {
    pthread_mutex_lock(&mutex);
    sem_post(&ready);
    sem_wait(&go);
    pthread_mutex_unlock(&mutex);
    return argument;
}

static void* forks_beside_a_lock(void* argument) {
    int status;
    CHILD(status) {
        RETURNS(EBUSY, pthread_mutex_trylock(&mutex));
        const struct timespec at = in_ms(CLOCK_REALTIME, 10);
        RETURNS(ETIMEDOUT, pthread_mutex_timedlock(&mutex, &at));
        RETURNS(0, pthread_mutex_lock(&mine));
        RETURNS(0, pthread_mutex_unlock(&mine));
    }
    EQUAL(0, ending(status));
    return argument;
}

CASE(locks_of_others) {
    sem_init(&go, 0, 0);
    const pthread_t holder = start(holds, NULL);
    sem_wait(&ready);
    forks_beside_a_lock(NULL);
    finish(start(forks_beside_a_lock, NULL));
    sem_post(&go);
    finish(holder);
}

static void* allocates(void* argument) {
    while (atomic_load((atomic_int*)argument) == 0) {
        void* some[20];
        for (int i = 0; i < 20; ++i) some[i] = malloc((size_t)(i + 1) * 700);
        for (int i = 0; i < 20; ++i) free(some[i]);
        sched_yield();
    }
    return NULL;
}

CASE(memory_in_the_child) {
    // libc's own locks are free in the child, whoever held them.
    static atomic_int end;
    pthread_t threads[3];
    for (int i = 0; i < 3; ++i) threads[i] = start(allocates, &end);
    for (int i = 0; i < 20; ++i) {
        int status;
        CHILD(status) {
            for (int k = 0; k < 50; ++k) free(malloc(1000));
            FILE* f = fopen("/dev/null", "w");
            fprintf(f, "%d", i);
            fclose(f);
            EQUAL(2, (long)finish(start(add, (void*)1)));
        }
        EQUAL(0, ending(status));
    }
    atomic_store(&end, 1);
    for (int i = 0; i < 3; ++i) finish(threads[i]);
}

static pthread_key_t key;
static __thread int counter = 7;

static void* forks_with_values(void* argument) {
    counter = 8;
    pthread_setspecific(key, argument);
    int status;
    CHILD(status) {
        EQUAL(8, counter);
        CHECK(pthread_getspecific(key) == argument);
        errno = 0;
    }
    EQUAL(0, ending(status));
    EQUAL(8, counter);
    return NULL;
}

CASE(values_are_copied) {
    pthread_key_create(&key, NULL);
    finish(start(forks_with_values, &key));
    EQUAL(7, counter);
    pthread_key_delete(key);
}

static void* child_of_thread_exits(void* argument) {
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) pthread_exit(argument); // the last thread of its process: exit(0)
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child);
    EQUAL(0, ending(status));
    return NULL;
}

static void* child_returns(void* argument) {
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) return argument; // as well
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child);
    EQUAL(0, ending(status));
    return NULL;
}

static void* child_calls_exit(void* argument) {
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) exit(9);
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child);
    EQUAL(9, ending(status));
    return argument;
}

CASE(how_the_child_ends) {
    finish(start(child_of_thread_exits, NULL));
    finish(start(child_returns, NULL));
    finish(start(child_calls_exit, NULL));
}

static void* forks_at_once(void* argument) {
    for (int i = 0; i < 5; ++i) {
        const pid_t child = fork();
        if (child == 0) {
            const long sum = (long)finish(start(add, (void*)10));
            _exit(sum == 11 ? 40 + (int)(long)argument : 1);
        }
        int status = -1;
        CHECK(waitpid(child, &status, 0) == child);
        EQUAL(40 + (long)argument, ending(status));
    }
    return NULL;
}

CASE(several_threads_fork) {
    pthread_t threads[6];
    for (long i = 0; i < 6; ++i) threads[i] = start(forks_at_once, (void*)i);
    for (int i = 0; i < 6; ++i) finish(threads[i]);
}

// In the child they have ended, as libc sees it: who waits for one there waits for nothing. (It counts their stacks as free twice, so not many.)
PROCESS(the_parents) {
    sem_init(&ready, 0, 0);
    pthread_t others[2];
    for (int i = 0; i < 2; ++i) others[i] = start(beats_for_ever, NULL);
    for (int i = 0; i < 2; ++i) sem_wait(&ready);
    int status;
    CHILD(status) {
        void* result = &status;
        clockid_t clock;
        RETURNS(EINVAL, pthread_kill(others[0], 0));
        RETURNS(ESRCH, pthread_getcpuclockid(others[0], &clock));
        CHECK(finish(others[0]) == NULL);
        RETURNS(0, pthread_tryjoin_np(others[1], &result));
        CHECK(result == NULL);
    }
    EQUAL(0, ending(status));
    for (int i = 0; i < 2; ++i) RETURNS(0, pthread_cancel(others[i]));
    for (int i = 0; i < 2; ++i) CHECK(finish(others[i]) == PTHREAD_CANCELED);
    _exit(atomic_load(&conform_failures));
}

CASE(threads_of_the_parent) { EQUAL(0, ending(run_process("the_parents"))); }

static void computes(void) {
    const long long end = now_us(CLOCK_MONOTONIC) + 40000;
    while (now_us(CLOCK_MONOTONIC) < end) {}
}

static void* forks_after_long(void* argument) {
    for (int i = 0; i < 4; ++i) {
        int status;
        CHILD(status) {
            pause_ms(1);
            for (long k = 0; k < 5; ++k) EQUAL(k + 1, (long)finish(start(add, (void*)k)));
            grandchild();
        }
        EQUAL(0, ending(status));
    }
    return argument;
}

PROCESS(handler_computes) {
    RETURNS(0, pthread_atfork(computes, NULL, NULL));
    const pthread_t other = start(beats_for_ever, NULL);
    finish(start(forks_after_long, NULL)); // meanwhile others go on, and the child is nevertheless in order
    forks_after_long(NULL);
    pthread_cancel(other);
    CHECK(finish(other) == PTHREAD_CANCELED);
    _exit(atomic_load(&conform_failures));
}

CASE(fork_takes_long) { EQUAL(0, ending(run_process("handler_computes"))); }

// ---- exec ------------------------------------------------------------------------------------------------------------

PROCESS(executed) { say("  executed\n"); }

static void* executes(void* argument) {
    execl("/proc/self/exe", "program", "executed", (char*)NULL);
    return argument;
}

PROCESS(exec_in_a_thread) {
    start(beats_for_ever, NULL);
    sem_wait(&ready);
    start(executes, NULL);
    for (;;) pause();
}

PROCESS(exec_fails) {
    start(beats_for_ever, NULL);
    sem_wait(&ready);
    FAILS(ENOENT, execl("/no/such/program", "x", (char*)NULL));
    EQUAL(4, (long)finish(start(add, (void*)3))); // as if nothing had happened
    _exit(atomic_load(&conform_failures));
}

CASE(exec) {
    EQUAL(0, ending(run_process("exec_in_a_thread")));
    EQUAL(0, ending(run_process("exec_fails")));
}
