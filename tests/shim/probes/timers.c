// SPDX-License-Identifier: Apache-2.0
// Timers that send signals or call functions while the program waits: alarm, setitimer, ualarm, timer_create.
#include "probe.h"

#include <pthread.h>

static char buf[16];

static void arm(timer_t id, long first_ms, long every_ms) {
    const struct itimerspec when = {{0, every_ms * 1000000}, {0, first_ms * 1000000}};
    must(timer_settime(id, 0, &when, NULL), "timer_settime");
}

static siginfo_t seen;
static void on_info(int number, siginfo_t* info, void* context) {
    (void)number;
    ++caught;
    seen = *info;
    if (!context) caught = -100;
}
static void handle_info(int number, int flags) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_info;
    action.sa_flags = SA_SIGINFO | flags;
    sigaction(number, &action, NULL);
    caught = 0;
    memset(&seen, 0, sizeof seen);
}

// The timer's signal ends a read, and tells whose it is.
static void reads(int flags, const char* name) {
    int p[2];
    must(pipe(p), "pipe");
    handle_info(SIGRTMIN + 1, flags);
    timer_t id;
    struct sigevent how = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 1, .sigev_value.sival_int = 1234};
    must(timer_create(CLOCK_MONOTONIC, &how, &id), "timer_create");
    arm(id, 50, 0);
    label("read.%s/timer", name);
    if (flags) PEER { delay(100); put(p[1], "x"); }
    begin();
    done(read(p[0], buf, 1), buf, -1);
    fact("caught", caught);
    fact("code", seen.si_code);
    fact("value", seen.si_value.sival_int);
    fact("overrun", timer_getoverrun(id));
    timer_delete(id);
    reap();
    close_pair(p);
}
PROBE(timer_signal) {
    reads(0, "eintr");
    reads(SA_RESTART, "restart");
}

// Every expiry is counted: handlers that ran and those that one stands for.
PROBE(timer_periodic) {
    handle_info(SIGRTMIN + 1, SA_RESTART);
    timer_t id;
    struct sigevent how = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 1};
    must(timer_create(CLOCK_REALTIME, &how, &id), "timer_create");
    arm(id, 40, 40);
    label("pause.eintr/periodic");
    begin();
    for (int i = 0; i < 4; ++i) pause();
    done(0, NULL, -1);
    fact("caught", caught);
    timer_delete(id);
}

static int woken[2];
static void by_thread(union sigval value) {
    if (write(woken[1], "0123456789" + value.sival_int, 1)) {}
}

// The function runs in a thread of libc's, which blocks every signal.
PROBE(timer_thread) {
    must(pipe(woken), "pipe");
    timer_t id;
    struct sigevent how = {.sigev_notify = SIGEV_THREAD, .sigev_value.sival_int = 7, .sigev_notify_function = by_thread};
    must(timer_create(CLOCK_MONOTONIC, &how, &id), "timer_create");
    arm(id, 60, 60);
    label("read.blocks/timer_thread");
    begin();
    done(read(woken[0], buf, 1), buf, -1);
    begin();
    done(read(woken[0], buf, 1), buf, -1);
    timer_delete(id);
    close_pair(woken);
}

PROBE(timer_none) {
    timer_t id;
    struct sigevent how = {.sigev_notify = SIGEV_NONE};
    must(timer_create(CLOCK_MONOTONIC, &how, &id), "timer_create");
    arm(id, 500, 0);
    struct itimerspec left;
    usleep(60000);
    label("usleep.blocks/timer_none");
    fact("gettime", timer_gettime(id, &left));
    fact("left", (left.it_value.tv_nsec / 1000000 + 25) / 50 * 50);
    timer_delete(id);
}

PROBE(timer_own_thread) {
    handle_info(SIGUSR2, 0);
    timer_t id;
    struct sigevent how = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR2};
    how._sigev_un._tid = (int)raw(SYS_gettid);
    must(timer_create(CLOCK_MONOTONIC, &how, &id), "timer_create");
    arm(id, 60, 0);
    label("pause.eintr/thread_id");
    begin();
    done(pause(), NULL, -1);
    fact("caught", caught);
    fact("code", seen.si_code);
    timer_delete(id);
}

PROBE(alarms) {
    handle(SIGALRM, SA_RESTART);
    label("sleep.eintr/ualarm");
    fact("before", ualarm(80000, 0));
    begin();
    done(sleep(3), NULL, -1);
    fact("caught", caught);
    const struct itimerval once = {{0, 0}, {0, 80000}};
    struct itimerval left;
    setitimer(ITIMER_REAL, &once, NULL);
    label("pause.eintr/setitimer");
    begin();
    done(pause(), NULL, -1);
    getitimer(ITIMER_REAL, &left);
    fact("left", left.it_value.tv_sec + left.it_value.tv_usec);
    alarm(5);
    fact("alarm", alarm(0));
}

// Signals a program sends itself.
PROBE(to_itself) {
    handle_info(SIGUSR1, 0);
    label("nanosleep.ready/raise");
    raise(SIGUSR1);
    fact("caught", caught);
    fact("code", seen.si_code);
    kill(getpid(), SIGUSR1);
    fact("by_kill", caught);
    fact("kill_code", seen.si_code);
    pthread_kill(pthread_self(), SIGUSR1);
    fact("by_pthread_kill", caught);
    const union sigval value = {.sival_int = 77};
    sigqueue(getpid(), SIGUSR1, value);
    fact("by_sigqueue", caught);
    fact("queue_code", seen.si_code);
    fact("value", seen.si_value.sival_int);
    const struct timespec some = {0, 60000000};
    begin();
    done(nanosleep(&some, NULL), NULL, -1);
}

// Queued ones that come while the program waits are all handled, in their order, with their values.
static int order[64];
static void in_order(int number, siginfo_t* info, void* context) {
    (void)number, (void)context;
    if (caught < 64) order[caught] = info->si_value.sival_int;
    ++caught;
}
PROBE(queued) {
    int p[2];
    must(pipe(p), "pipe");
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = in_order;
    action.sa_flags = SA_SIGINFO | SA_RESTART;
    sigaction(SIGRTMIN + 4, &action, NULL);
    caught = 0;
    label("read.restart/queued");
    PEER {
        delay(40);
        siginfo_t info;
        for (int i = 0; i < 60; ++i) {
            memset(&info, 0, sizeof info);
            info.si_signo = SIGRTMIN + 4;
            info.si_code = SI_QUEUE;
            info.si_value.sival_int = i;
            raw(SYS_rt_sigqueueinfo, probe_parent, SIGRTMIN + 4, &info);
        }
        delay(40);
        put(p[1], "x");
    }
    begin();
    done(read(p[0], buf, 1), buf, -1);
    fact("caught", caught);
    int in_place = 0;
    for (int i = 0; i < 60; ++i) in_place += order[i] == i;
    fact("in_order", in_place);
    reap();
    close_pair(p);
    signal(SIGRTMIN + 4, SIG_DFL);
}

// The last signal number is the program's as any other.
PROBE(last_number) {
    struct sigaction old;
    label("pause.eintr/last_number");
    sigaction(SIGRTMAX, NULL, &old);
    fact("default", old.sa_handler == SIG_DFL);
    handle_info(SIGRTMAX, 0);
    PEER { delay(60); poke(SIGRTMAX); }
    begin();
    done(pause(), NULL, -1);
    fact("caught", caught);
    fact("code", seen.si_code);
    sigaction(SIGRTMAX, NULL, &old);
    fact("mine", old.sa_sigaction == on_info);
    signal(SIGRTMAX, SIG_DFL);
}
