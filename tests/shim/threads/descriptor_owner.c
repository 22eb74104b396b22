// SPDX-License-Identifier: Apache-2.0
// Signals of a descriptor for one thread (F_SETOWN_EX with F_OWNER_TID): that thread's wait ends, and that thread runs the handler.
#include "conform.h"

#include <sys/socket.h>

static _Thread_local atomic_int here;
static atomic_int in_all, ready, done, from;

static void counts(int number, siginfo_t* info, void* context) {
    (void)number, (void)context;
    if (info->si_code > 0 && info->si_code <= POLL_HUP) atomic_store(&from, info->si_fd);
    atomic_fetch_add(&here, 1);
    atomic_fetch_add(&in_all, 1);
}

static void handle(int number) {
    struct sigaction action = {.sa_sigaction = counts, .sa_flags = SA_SIGINFO};
    WORKS(sigaction(number, &action, NULL));
}

static void* bystander(void* argument) {
    atomic_fetch_add(&ready, 1);
    UNTIL(done, 1);
    EQUAL(0, atomic_load(&here));
    return argument;
}

static void own(int fd, int signal) {
    const struct f_owner_ex wanted = {F_OWNER_TID, gettid()};
    struct f_owner_ex got = {F_OWNER_PGRP, 0};
    WORKS(fcntl(fd, F_SETOWN_EX, &wanted));
    WORKS(fcntl(fd, F_GETOWN_EX, &got));
    EQUAL(F_OWNER_TID, got.type);
    EQUAL(gettid(), got.pid);
    EQUAL(gettid(), fcntl(fd, F_GETOWN));
    if (signal != 0) WORKS(fcntl(fd, F_SETSIG, signal));
    WORKS(fcntl(fd, F_SETFL, O_ASYNC | O_NONBLOCK));
}

static void* is_told(void* argument) {
    int pair[2];
    WORKS(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    own(pair[0], (int)(intptr_t)argument);
    // The signal may come before the wait: then there is none.
    CHECK(write(pair[1], "x", 1) == 1);
    while (atomic_load(&here) == 0) pause_ms(1);
    if (argument != NULL) EQUAL(pair[0], atomic_load(&from));
    WORKS(fcntl(pair[0], F_SETOWN, getpid()));
    EQUAL(getpid(), fcntl(pair[0], F_GETOWN));
    close(pair[0]);
    close(pair[1]);
    return NULL;
}

static void among_others(int signal) {
    handle(signal == 0 ? SIGIO : signal);
    atomic_store(&done, 0);
    atomic_store(&ready, 0);
    atomic_store(&here, 0);
    pthread_t others[3];
    for (int i = 0; i < 3; ++i) others[i] = start(bystander, NULL);
    UNTIL(ready, 3);
    finish(start(is_told, (void*)(intptr_t)signal));
    EQUAL(0, atomic_load(&here)); // nor main
    atomic_store(&done, 1);
    for (int i = 0; i < 3; ++i) finish(others[i]);
}

CASE(by_a_signal_of_its_own) { among_others(SIGRTMIN + 5); }
CASE(by_sigio) { among_others(0); }

CASE(nobody) {
    int pair[2];
    WORKS(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    struct f_owner_ex wanted = {F_OWNER_TID, 999999999};
    FAILS(ESRCH, fcntl(pair[0], F_SETOWN_EX, &wanted));
    wanted.type = 77;
    FAILS(EINVAL, fcntl(pair[0], F_SETOWN_EX, &wanted));
    close(pair[0]);
    close(pair[1]);
}
