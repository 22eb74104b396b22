// SPDX-License-Identifier: Apache-2.0
// close of a socket with SO_LINGER waits until what was sent is acknowledged, or for the time given.
#include "probe.h"

static void lingering_pair(int p[2], int seconds) {
    const struct linger wanted = {1, seconds};
    tcp_pair(p);
    setsockopt(p[0], SOL_SOCKET, SO_LINGER, &wanted, sizeof wanted);
}

/// A peer that has given up its copy of the socket by the time we go on, so that ours is the last.
#define LATER_PEER(p)                                                                                        \
    int told[2];                                                                                             \
    char told_byte;                                                                                          \
    must(pipe(told), "pipe");                                                                                \
    for (int child = probe_fork(), once = 1; once; once = 0)                                                 \
        if (!child) {                                                                                        \
            while (raw(SYS_read, told[0], &told_byte, 1) < 0) {}                                             \
            close_pair(told);                                                                                \
        } else                                                                                               \
            for (raw(SYS_close, (p)[0]), put(told[1], "x");; _exit(0))

PROBE(close_linger_ready) {
    int p[2];
    lingering_pair(p, 5);
    put(p[0], "little");
    begin();
    done(close(p[0]), NULL, -1);
    close(p[1]);
}

PROBE(close_linger_blocks) {
    int p[2];
    lingering_pair(p, 5);
    const long filled = fill(p[0], on_tcp);
    LATER_PEER(p) { delay(80); drain(p[1], filled); delay(100); }
    begin();
    done(close(p[0]), NULL, -1);
    fact("gone", close(p[0]) == -1 && errno == EBADF);
    close(p[1]);
}

PROBE(close_linger_timeout) {
    int p[2];
    lingering_pair(p, 1);
    fill(p[0], on_tcp);
    begin();
    done(close(p[0]), NULL, -1);
    close(p[1]);
}

PROBE(close_linger_eintr) {
    int p[2];
    lingering_pair(p, 5);
    fill(p[0], on_tcp);
    handle(SIGUSR1, 0);
    LATER_PEER(p) { delay(80); poke(SIGUSR1); delay(50); }
    begin();
    done(close(p[0]), NULL, -1);
    fact("caught", caught);
    close(p[1]);
}

// dup2 closes it too.
PROBE(dup2_linger_timeout) {
    int p[2], q[2];
    lingering_pair(p, 1);
    fill(p[0], on_tcp);
    must(pipe(q), "pipe");
    begin();
    done(dup2(q[0], p[0]) == p[0], NULL, -1);
    close(p[0]);
    close(p[1]);
    close_pair(q);
}
