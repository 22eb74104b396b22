// SPDX-License-Identifier: Apache-2.0
// How garbage collectors stop a world: each thread is sent a signal, and waits in its handler until it is sent another one. And what a main thread
// does that handles signals while its threads wait.
#include "conform.h"

#include <poll.h>
#include <spawn.h>
#include <sys/select.h>
#include <sys/time.h>

enum { threads = 12 };

static sem_t stopped, resumed, ready, go;
static atomic_int running, in_handler;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static bool over;

static void on_resume(int number) { (void)number; }

static void on_stop(int number) {
    (void)number;
    const int kept = errno;
    sigset_t but_one;
    sigfillset(&but_one);
    sigdelset(&but_one, SIGUSR2);
    atomic_fetch_add(&in_handler, 1);
    sem_post(&stopped);
    sigsuspend(&but_one);
    atomic_fetch_sub(&in_handler, 1);
    sem_post(&resumed);
    errno = kept;
}

static int pipes[2];

static void* works(void* argument) {
    atomic_fetch_add(&running, 1);
    sem_post(&ready);
    switch ((long)argument % 4) {
    case 0:
        pthread_mutex_lock(&mutex);
        while (!over) pthread_cond_wait(&condition, &mutex);
        pthread_mutex_unlock(&mutex);
        break;
    case 1:
        while (sem_wait(&go) != 0) CHECK(errno == EINTR);
        break;
    case 2: {
        char byte;
        while (read(pipes[0], &byte, 1) != 1) CHECK(errno == EINTR);
        break;
    }
    default:
        for (bool end = false; !end;) {
            sched_yield();
            pthread_mutex_lock(&mutex);
            end = over;
            pthread_mutex_unlock(&mutex);
        }
    }
    return argument;
}

CASE(the_world_is_stopped) {
    struct sigaction stop = {.sa_handler = on_stop, .sa_flags = SA_RESTART}, resume = {.sa_handler = on_resume, .sa_flags = SA_RESTART};
    sigfillset(&stop.sa_mask);
    sigdelset(&stop.sa_mask, SIGTERM);
    sigaction(SIGUSR1, &stop, NULL);
    sigaction(SIGUSR2, &resume, NULL);
    CHECK(pipe(pipes) == 0);
    sem_init(&stopped, 0, 0);
    sem_init(&resumed, 0, 0);
    sem_init(&ready, 0, 0);
    sem_init(&go, 0, 0);
    pthread_t all[threads];
    for (long i = 0; i < threads; ++i) all[i] = start(works, (void*)i);
    for (int i = 0; i < threads; ++i) sem_wait(&ready);
    for (int round = 0; round < 5; ++round) {
        for (int i = 0; i < threads; ++i) RETURNS(0, pthread_kill(all[i], SIGUSR1));
        for (int i = 0; i < threads; ++i) sem_wait(&stopped);
        EQUAL(threads, atomic_load(&in_handler));
        for (int i = 0; i < threads; ++i) RETURNS(0, pthread_kill(all[i], SIGUSR2));
        for (int i = 0; i < threads; ++i) sem_wait(&resumed);
        EQUAL(0, atomic_load(&in_handler));
    }
    pthread_mutex_lock(&mutex);
    over = true;
    pthread_cond_broadcast(&condition);
    pthread_mutex_unlock(&mutex);
    for (int i = 0; i < threads; ++i) {
        sem_post(&go);
        CHECK(write(pipes[1], "x", 1) == 1);
    }
    for (int i = 0; i < threads; ++i) finish(all[i]);
    close(pipes[0]);
    close(pipes[1]);
}

static atomic_int handled;
static pthread_t handled_by;

static void on_signal(int number) {
    (void)number;
    handled_by = pthread_self();
    atomic_fetch_add(&handled, 1);
}

static void* waits(void* argument) {
    sem_post(&ready);
    CHECK(sem_wait(&go) == 0); // signals are main's
    return argument;
}

CASE(main_is_interrupted) {
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigaction(SIGALRM, &action, NULL);
    atomic_store(&handled, 0);
    pthread_t all[threads];
    for (int i = 0; i < threads; ++i) all[i] = start(waits, NULL);
    for (int i = 0; i < threads; ++i) sem_wait(&ready);
    const struct itimerval soon = {.it_value = {.tv_usec = 20000}};
    for (int i = 1; i <= 4; ++i) {
        CHECK(setitimer(ITIMER_REAL, &soon, NULL) == 0);
        switch (i) {
        case 1: FAILS(EINTR, pause()); break;
        case 2: FAILS(EINTR, select(0, NULL, NULL, NULL, NULL)); break;
        case 3: FAILS(EINTR, poll(NULL, 0, -1)); break;
        default: CHECK(sleep(60) > 0);
        }
        EQUAL(i, atomic_load(&handled));
        CHECK(pthread_equal(handled_by, pthread_self()));
    }
    sigset_t alarm_only, all_but, before;
    sigemptyset(&alarm_only);
    sigaddset(&alarm_only, SIGALRM);
    RETURNS(0, pthread_sigmask(SIG_BLOCK, &alarm_only, &before));
    all_but = before;
    for (int i = 0; i < threads; ++i) sem_post(&go);
    for (int i = 0; i < threads; ++i) finish(all[i]);
    // Blocked but within the call.
    const pthread_t other = start(waits, NULL);
    sem_wait(&ready);
    atomic_store(&handled, 0);
    CHECK(setitimer(ITIMER_REAL, &soon, NULL) == 0);
    FAILS(EINTR, ppoll(NULL, 0, NULL, &all_but));
    EQUAL(1, atomic_load(&handled));
    CHECK(setitimer(ITIMER_REAL, &soon, NULL) == 0);
    FAILS(EINTR, pselect(0, NULL, NULL, NULL, NULL, &all_but));
    EQUAL(2, atomic_load(&handled));
    CHECK(setitimer(ITIMER_REAL, &soon, NULL) == 0);
    FAILS(EINTR, sigsuspend(&all_but));
    EQUAL(3, atomic_load(&handled));
    sem_post(&go);
    finish(other);
    RETURNS(0, pthread_sigmask(SIG_SETMASK, &before, NULL));
}

static bool blocked_in_status(int number) {
    FILE* const file = fopen("/proc/self/status", "r");
    char line[256];
    unsigned long long mask = 0;
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "SigBlk: %llx", &mask) == 1) break;
    if (file) fclose(file);
    return (mask >> (number - 1) & 1) != 0;
}

static void* makes_children(void* argument) {
    sigset_t two;
    sigemptyset(&two);
    sigaddset(&two, argument ? SIGUSR2 : SIGURG);
    RETURNS(0, pthread_sigmask(SIG_BLOCK, &two, NULL));
    sched_yield();
    const pid_t child = fork();
    if (child == 0) _exit(blocked_in_status(SIGUSR2) == (argument != NULL) && blocked_in_status(SIGURG) == (argument == NULL) ? 0 : 1);
    int status = -1;
    EQUAL(child, waitpid(child, &status, 0));
    EQUAL(0, status);
    const char* const arguments[] = {"grep", "-q", argument ? "^SigBlk:.*[89a-f]..$" : "^SigBlk:.*[4-7c-f]..[0-7]..$", "/proc/self/status", NULL};
    pid_t spawned = -1;
    RETURNS(0, posix_spawnp(&spawned, "grep", NULL, NULL, (char**)arguments, environ));
    EQUAL(spawned, waitpid(spawned, &status, 0));
    EQUAL(0, status);
    const pid_t forked = vfork();
    if (forked == 0) {
        execvp("grep", (char**)arguments);
        _exit(9);
    }
    EQUAL(forked, waitpid(forked, &status, 0));
    EQUAL(0, status);
    return NULL;
}

CASE(children_have_their_makers_mask) {
    pthread_t all[4];
    for (long i = 0; i < 4; ++i) all[i] = start(makes_children, (void*)(i % 2));
    for (int i = 0; i < 4; ++i) finish(all[i]);
}
