// SPDX-License-Identifier: Apache-2.0
// fork by a thread that is not the first: the child has one thread, which is the caller, and is its process's first.
#include "conform.h"

#include <spawn.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

static pthread_t forker;
static __thread int own = 7;

struct work {
    void (*run)(void);
};
static void* in_thread(void* argument) {
    void (*run)(void) = ((struct work*)argument)->run;
    forker = pthread_self();
    own = 11;
    run();
    return NULL;
}

static void by_a_thread(void (*run)(void)) {
    struct work work = {run};
    finish(start(in_thread, &work));
}

static void* adds_one(void* count) {
    atomic_fetch_add((atomic_int*)count, 1);
    return count;
}

static void same_self(void) {
    int status = -1;
    const pid_t parent = getpid();
    CHECK(gettid() != parent);
    CHILD(status) {
        CHECK(pthread_equal(pthread_self(), forker));
        CHECK(getppid() == parent);
        CHECK(getpid() != parent);
        CHECK(gettid() == getpid());
        CHECK(syscall(SYS_gettid) == getpid());
        EQUAL(11, own);
        errno = 0;
        FAILS(EBADF, close(-1));
    }
    EQUAL(0, ending(status));
    CHECK(gettid() != getpid());
}
CASE(the_child_is_the_caller) { by_a_thread(same_self); }

static void makes_threads(void) {
    int status = -1;
    CHILD(status) {
        atomic_int count = 0;
        pthread_t threads[10];
        for (int i = 0; i < 10; ++i) threads[i] = start(adds_one, &count);
        for (int i = 0; i < 10; ++i) CHECK(finish(threads[i]) == &count);
        EQUAL(10, count);
        CHECK(gettid() == getpid());
    }
    EQUAL(0, ending(status));
}
CASE(the_child_makes_threads) { by_a_thread(makes_threads); }

static void keeps_mutex(void) {
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    int status = -1;
    pthread_mutex_t checking;
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ERRORCHECK);
    pthread_mutex_init(&checking, &attr);
    RETURNS(0, pthread_mutex_lock(&checking));
    CHILD(status) {
        pthread_mutex_t fresh;
        pthread_mutex_init(&fresh, &attr);
        RETURNS(0, pthread_mutex_lock(&fresh));
        RETURNS(EDEADLK, pthread_mutex_lock(&fresh));
        RETURNS(0, pthread_mutex_unlock(&fresh));
    }
    EQUAL(0, ending(status));
    RETURNS(0, pthread_mutex_unlock(&checking));
}
CASE(mutexes_of_the_caller) { by_a_thread(keeps_mutex); }

static atomic_int prepared, of_parent, of_child;
static pthread_t handler_thread;
static void before(void) {
    handler_thread = pthread_self();
    atomic_fetch_add(&prepared, 1);
}
static void in_parent(void) { atomic_fetch_add(&of_parent, pthread_equal(handler_thread, pthread_self()) ? 1 : 100); }
static void in_child(void) { atomic_fetch_add(&of_child, pthread_equal(handler_thread, pthread_self()) ? 1 : 100); }

static void runs_handlers(void) {
    RETURNS(0, pthread_atfork(before, in_parent, in_child));
    int status = -1;
    CHILD(status) {
        EQUAL(1, prepared);
        EQUAL(0, of_parent);
        EQUAL(1, of_child);
    }
    EQUAL(0, ending(status));
    EQUAL(1, prepared);
    EQUAL(1, of_parent);
    EQUAL(0, of_child);
    CHECK(pthread_equal(handler_thread, pthread_self()));
}
CASE(handlers_run_in_the_caller) { by_a_thread(runs_handlers); }

static sem_t stop;
static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;
static sem_t holds;
static void* holder(void* argument) {
    pthread_mutex_lock(&held);
    sem_post(&holds);
    sem_wait(&stop);
    pthread_mutex_unlock(&held);
    return argument;
}

static void others_hold(void) {
    sem_init(&stop, 0, 0);
    sem_init(&holds, 0, 0);
    const pthread_t other = start(holder, NULL);
    sem_wait(&holds);
    int status = -1;
    CHILD(status) {
        RETURNS(EBUSY, pthread_mutex_trylock(&held));
        const struct timespec soon = in_ms(CLOCK_REALTIME, 20);
        RETURNS(ETIMEDOUT, pthread_mutex_timedlock(&held, &soon));
        char* memory = malloc(100000);
        CHECK(memory != NULL);
        free(memory);
        pause_ms(1);
    }
    EQUAL(0, ending(status));
    sem_post(&stop);
    finish(other);
}
CASE(locks_of_others_stay_locked) { by_a_thread(others_hold); }

static void* ends_process(void* argument) {
    exit(*(int*)argument);
}

static void ends_in_ways(void) {
    int status = -1;
    CHILD(status) { exit(5); }
    EQUAL(5, ending(status));
    CHILD(status) { _exit(6); }
    EQUAL(6, ending(status));
    CHILD(status) { abort(); }
    EQUAL(1000 + SIGABRT, ending(status));
    CHILD(status) {
        int code = 9;
        pthread_t thread = start(ends_process, &code);
        finish(thread);
        for (;;) pause();
    }
    EQUAL(9, ending(status));
}
CASE(how_the_child_ends) { by_a_thread(ends_in_ways); }

/// The child's first thread is the caller: where its function returns, the child ends with it, and with 0.
static int child_of_return;
static void* returns_in_child(void* argument) {
    fflush(stdout);
    child_of_return = fork();
    return argument;
}
CASE(returning_ends_the_child) {
    int ends[2];
    CHECK(pipe(ends) == 0);
    finish(start(returns_in_child, NULL));
    const int child = child_of_return;
    if (child == 0) _exit(99);
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child);
    EQUAL(0, ending(status));
}

static void* forks_often(void* argument) {
    for (int i = 0; i < 10; ++i) {
        const pid_t child = fork();
        if (child == 0) {
            void* memory = malloc(1000);
            free(memory);
            _exit(gettid() == getpid() && memory ? 3 : 4);
        }
        int status = -1;
        CHECK(child > 0 && waitpid(child, &status, 0) == child);
        EQUAL(3, ending(status));
        sched_yield();
    }
    return argument;
}
CASE(many_forks_by_many_threads) {
    pthread_t threads[20];
    fflush(stdout);
    for (int i = 0; i < 20; ++i) threads[i] = start(forks_often, NULL);
    for (int i = 0; i < 20; ++i) finish(threads[i]);
}

static void grandchild(void) {
    int status = -1;
    CHILD(status) {
        CHECK(gettid() == getpid());
        by_a_thread(makes_threads);
    }
    EQUAL(0, ending(status));
}

static void grandchildren(void) {
    int status = -1;
    CHILD(status) {
        CHECK(gettid() == getpid());
        by_a_thread(same_self);
        grandchild();
    }
    EQUAL(0, ending(status));
}
CASE(children_of_children) { by_a_thread(grandchildren); }

extern char** environ;
static void other_ways(void) {
    char* const arguments[] = {(char*)"sh", (char*)"-c", (char*)"exit 7", NULL};
    pid_t child = 0;
    int status = -1;
    RETURNS(0, posix_spawn(&child, "/bin/sh", NULL, NULL, arguments, environ));
    CHECK(waitpid(child, &status, 0) == child);
    EQUAL(7, ending(status));
    EQUAL(3, ending(system("exit 3")));
    FILE* f = popen("echo popen", "r");
    char line[20] = "";
    CHECK(f && fgets(line, sizeof line, f));
    CHECK(strcmp(line, "popen\n") == 0);
    EQUAL(0, pclose(f));
    child = vfork();
    if (child == 0) {
        execv("/bin/sh", arguments);
        _exit(126);
    }
    CHECK(waitpid(child, &status, 0) == child);
    EQUAL(7, ending(status));
    CHILD(status) {
        execv("/bin/sh", arguments);
    }
    EQUAL(7, ending(status));
    CHILD(status) { // exec by a thread of the child: the process stays
        char text[64];
        snprintf(text, sizeof text, "test $$ = %d", getpid());
        execl("/bin/sh", "sh", "-c", text, (char*)NULL);
    }
    EQUAL(0, ending(status));
}
CASE(spawn_system_popen_vfork_exec) { by_a_thread(other_ways); }

static void* execs(void* argument) {
    char text[64];
    snprintf(text, sizeof text, "test $$ = %d && exit 8", getpid());
    execl("/bin/sh", "sh", "-c", text, (char*)NULL);
    return argument;
}
PROCESS(exec_by_a_thread) {
    finish(start(execs, NULL));
}
CASE(the_process_stays_over_exec) { EQUAL(8, ending(run_process("exec_by_a_thread"))); }

static void names_stay(void) {
    RETURNS(0, pthread_setname_np(pthread_self(), "forker"));
    int status = -1;
    CHILD(status) {
        char name[16] = "";
        CHECK(prctl(PR_GET_NAME, name) == 0);
        CHECK(strcmp(name, "forker") == 0);
        RETURNS(0, pthread_getname_np(pthread_self(), name, sizeof name));
        CHECK(strcmp(name, "forker") == 0);
    }
    EQUAL(0, ending(status));
}
CASE(the_name_is_inherited) { by_a_thread(names_stay); }

static void daemonises(void) {
    int ends[2];
    CHECK(pipe(ends) == 0);
    int status = -1;
    CHILD(status) {
        close(ends[0]);
        CHECK(daemon(1, 1) == 0);
        CHECK(gettid() == getpid());
        atomic_int count = 0;
        finish(start(adds_one, &count));
        if (write(ends[1], count == 1 && gettid() == getpid() ? "y" : "n", 1) < 0) {}
    }
    EQUAL(0, ending(status));
    close(ends[1]);
    char answer = 0;
    CHECK(read(ends[0], &answer, 1) == 1);
    CHECK(answer == 'y');
    close(ends[0]);
}
CASE(daemon_by_a_thread) { by_a_thread(daemonises); }
