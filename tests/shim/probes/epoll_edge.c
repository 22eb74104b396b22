// SPDX-License-Identifier: Apache-2.0
// Edge-triggered, one-shot and exclusive watches, read with little room: every event is told as often as the kernel tells it.
#include "probe.h"

#include <sys/epoll.h>

static struct epoll_event got[16];

static void watch(int set, int operation, int fd, uint32_t events) {
    struct epoll_event e = {.events = events, .data.fd = fd};
    must(epoll_ctl(set, operation, fd, &e), "epoll_ctl");
}

static long first(void) { return probe_result > 0 ? (long)got[0].events : -1; }
#define outcome(call) (memset(got, 0, sizeof got), probe_result = (call), probe_errno = errno, probe_done(NULL, first()))

PROBE(edge) {
    for (int kind = 0; kind < media; ++kind) {
        label("edge/%s", medium_name[kind]);
        int p[2], more[2];
        char text[8];
        must(pipe(more), "pipe");
        open_pair((enum medium)kind, p);
        const int set = epoll_create1(0);
        watch(set, EPOLL_CTL_ADD, p[0], EPOLLIN | EPOLLET);
        PEER { delay(60); put(p[1], "ab"); drain(more[0], 1); delay(60); put(p[1], "c"); }
        begin();
        outcome(epoll_wait(set, got, 1, -1));
        begin();
        outcome(epoll_wait(set, got, 1, 40)); // not drained, and told once
        if (read(p[0], text, 1)) {}
        begin();
        outcome(epoll_wait(set, got, 1, 20)); // a partial read is no edge
        put(more[1], "m");
        begin();
        outcome(epoll_wait(set, got, 1, -1)); // more data is
        reap();
        watch(set, EPOLL_CTL_MOD, p[0], EPOLLIN | EPOLLET);
        begin();
        outcome(epoll_wait(set, got, 1, -1)); // and a new look
        close_pair(p);
        close_pair(more);
        close(set);
    }
}

PROBE(one_shot) {
    label("one_shot");
    int p[2];
    must(pipe(p), "pipe");
    const int set = epoll_create1(0);
    watch(set, EPOLL_CTL_ADD, p[0], EPOLLIN | EPOLLONESHOT);
    PEER { delay(60); put(p[1], "a"); delay(60); put(p[1], "b"); }
    begin();
    outcome(epoll_wait(set, got, 1, -1));
    begin();
    outcome(epoll_wait(set, got, 1, 120));
    watch(set, EPOLL_CTL_MOD, p[0], EPOLLIN | EPOLLONESHOT);
    begin();
    outcome(epoll_wait(set, got, 1, -1));
    begin();
    outcome(epoll_wait(set, got, 1, 60));
    reap();
    close_pair(p);
    close(set);
}

// Many at once, room for one: each is told in its turn, and level-triggered ones again and again.
PROBE(little_room) {
    enum { count = 10 };
    for (int mode = 0; mode < 3; ++mode) {
        const uint32_t how[] = {0, EPOLLET, EPOLLONESHOT};
        label("little_room/%d", mode);
        int p[count][2];
        const int set = epoll_create1(0);
        for (int i = 0; i < count; ++i) {
            must(pipe(p[i]), "pipe");
            watch(set, EPOLL_CTL_ADD, p[i][0], EPOLLIN | how[mode]);
        }
        PEER { delay(60); for (int i = 0; i < count; ++i) put(p[i][1], "x"); }
        long told[count] = {0}, rounds = 0;
        begin();
        for (; rounds < 3 * count && epoll_wait(set, got, 1, rounds ? 40 : -1) == 1; ++rounds)
            for (int i = 0; i < count; ++i) told[i] += got[0].data.fd == p[i][0];
        errno = 0;
        done(rounds, NULL, -1);
        long least = 99;
        for (int i = 0; i < count; ++i) least = told[i] < least ? told[i] : least;
        fact("each", least > 0); // how often depends on when the writes came
        reap();
        for (int i = 0; i < count; ++i) close_pair(p[i]);
        close(set);
    }
}

// A process waits again and again while events come in twos.
PROBE(steady) {
    label("steady");
    int p[2], q[2];
    must(pipe(p), "pipe");
    must(pipe(q), "pipe");
    const int set = epoll_create1(0);
    watch(set, EPOLL_CTL_ADD, p[0], EPOLLIN | EPOLLET);
    watch(set, EPOLL_CTL_ADD, q[0], EPOLLIN | EPOLLET);
    PEER {
        for (int i = 0; i < 20; ++i) {
            delay(5);
            put(p[1], "x");
            put(q[1], "x");
        }
    }
    begin();
    long read_all = 0;
    while (read_all < 40) {
        if (epoll_wait(set, got, 1, 3000) != 1) break;
        char text[64];
        const long n = read(got[0].data.fd, text, sizeof text);
        read_all += n > 0 ? n : 0;
    }
    errno = 0;
    done(read_all, NULL, -1);
    reap();
    close_pair(p), close_pair(q), close(set);
}

PROBE(exclusive) {
    label("exclusive");
    int p[2], back[2];
    must(pipe(p), "pipe");
    must(pipe(back), "pipe");
    fcntl(p[0], F_SETFL, O_NONBLOCK);
    for (int i = 0; i < 3; ++i) {
        if (!probe_fork()) continue;
        const int set = epoll_create1(0);
        watch(set, EPOLL_CTL_ADD, p[0], EPOLLIN | EPOLLEXCLUSIVE);
        for (;;) {
            const int n = epoll_wait(set, got, 1, -1);
            char c;
            if (n != 1) _exit(1);
            if (read(p[0], &c, 1) == 1) {
                put(back[1], &c);
                if (c == 'E') _exit(0);
            }
        }
    }
    PEER {
        for (int i = 0; i < 10; ++i) {
            delay(10);
            put(p[1], "x");
        }
        for (int i = 0; i < 3; ++i) {
            delay(20);
            put(p[1], "E");
        }
    }
    reap();
    close(back[1]);
    begin();
    done(drain(back[0], 100) >= 13, NULL, -1);
    close_pair(p), close(back[0]);
}
