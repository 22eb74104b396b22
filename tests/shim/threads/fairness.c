// SPDX-License-Identifier: Apache-2.0
// Threads whose calls never have to wait do not keep the others from running: each case spins on calls that go through at once, until a thread
// that has to wait has been there.
#include "conform.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>

static int always[2], later[2]; // pipes: one holds a byte that nobody takes, the other gets one in a while
static atomic_bool was_there;

static void* waits(void* argument) {
    char c;
    EQUAL(1, read(later[0], &c, 1));
    atomic_store(&was_there, true);
    return argument;
}

static void* writes(void* argument) {
    pause_ms(5);
    EQUAL(1, write(later[1], "x", 1));
    return argument;
}

static void* polls(void* argument) {
    bool ready = true;
    while (!atomic_load(&was_there)) {
        struct pollfd p = {always[0], POLLIN, 0};
        ready &= poll(&p, 1, -1) == 1;
    }
    CHECK(ready);
    return argument;
}

static void* selects(void* argument) {
    bool ready = true;
    while (!atomic_load(&was_there)) {
        fd_set set;
        FD_ZERO(&set);
        FD_SET(always[0], &set);
        ready &= select(always[0] + 1, &set, NULL, NULL, NULL) == 1;
    }
    CHECK(ready);
    return argument;
}

static void* waits_for_events(void* argument) {
    struct epoll_event event = {.events = EPOLLIN};
    const int set = epoll_create1(0);
    WORKS(epoll_ctl(set, EPOLL_CTL_ADD, always[0], &event));
    bool ready = true;
    while (!atomic_load(&was_there)) ready &= epoll_wait(set, &event, 1, -1) == 1;
    CHECK(ready);
    close(set);
    return argument;
}

static void two_spin(void* (*spin)(void*)) {
    if (always[0] == 0) {
        WORKS(pipe(always));
        WORKS(pipe(later));
        EQUAL(1, write(always[1], "x", 1));
    }
    atomic_store(&was_there, false);
    const pthread_t threads[] = {start(waits, NULL), start(writes, NULL), start(spin, NULL), start(spin, NULL)};
    for (int i = 0; i < 4; ++i) finish(threads[i]);
}

CASE(poll_that_is_ready) { two_spin(polls); }
CASE(select_that_is_ready) { two_spin(selects); }
CASE(epoll_wait_that_is_ready) { two_spin(waits_for_events); }
