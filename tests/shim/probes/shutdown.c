// SPDX-License-Identifier: Apache-2.0
// shutdown and close, also from another process while the call waits.
#include "probe.h"

static char buf[4096];

PROBE(wakes_reader) {
    for (int kind = on_unix; kind < media; ++kind)
        for (int how = SHUT_RD; how <= SHUT_RDWR; ++how) {
            int p[2];
            open_pair((enum medium)kind, p);
            label("wakes_reader/%s/%d", medium_name[kind], how);
            PEER { delay(60); shutdown(p[0], how); delay(60); put(p[1], "x"); }
            begin();
            done(read(p[0], buf, 10), buf, -1);
            reap();
            close_pair(p);
        }
}

PROBE(wakes_writer) {
    signal(SIGPIPE, SIG_IGN);
    for (int kind = on_unix; kind < media; ++kind)
        for (int side = 0; side < 2; ++side) {
            int p[2];
            open_pair((enum medium)kind, p);
            label("wakes_writer/%s/%s", medium_name[kind], side ? "own" : "peer_reads_no_more");
            if (kind == on_tcp && side == 0) continue;  // a TCP peer that reads no more goes on acknowledging
            fill(p[1], (enum medium)kind);
            PEER { delay(60); shutdown(p[side], side ? SHUT_WR : SHUT_RD); }
            begin();
            done(write(p[1], buf, 4096), NULL, -1);
            reap();
            close_pair(p);
        }
}

PROBE(wakes_poll) {
    int p[2];
    open_pair(on_tcp, p);
    PEER { delay(60); shutdown(p[0], SHUT_RDWR); }
    struct pollfd one = {p[0], POLLIN | POLLRDHUP, 0};
    begin();
    done(poll(&one, 1, 2000), NULL, one.revents);
    close_pair(p);
}

PROBE(half_closed) {
    int p[2];
    open_pair(on_tcp, p);
    PEER {
        const long n = drain(p[1], 1L << 20);
        put(p[1], n == 7 ? "seven" : "other");
    }
    begin();
    done(write(p[0], "request", 7), NULL, -1);
    begin();
    done(shutdown(p[0], SHUT_WR), NULL, -1);
    begin();
    done(read(p[0], buf, 100), buf, -1);
    close_pair(p);
}

PROBE(data_before_the_end) {
    int p[2];
    open_pair(on_unix, p);
    put(p[1], "left over");
    shutdown(p[0], SHUT_RD);
    begin();
    done(read(p[0], buf, 4), buf, -1);
    begin();
    done(read(p[0], buf, 100), buf, -1);
    begin();
    done(read(p[0], buf, 100), buf, -1);
    close_pair(p);
}

PROBE(wrong_shutdown) {
    int p[2];
    begin();
    done(shutdown(-1, SHUT_RD), NULL, -1);
    must(pipe(p), "pipe");
    begin();
    done(shutdown(p[0], SHUT_RD), NULL, -1);
    close_pair(p);
    open_pair(on_unix, p);
    begin();
    done(shutdown(p[0], 7), NULL, -1);
    close_pair(p);
    const int fresh = socket(AF_INET, SOCK_STREAM, 0);
    begin();
    done(shutdown(fresh, SHUT_RDWR), NULL, -1);
    close(fresh);
}

PROBE(closes) {
    int p[2];
    open_pair(on_tcp, p);
    begin();
    done(close(p[0]), NULL, -1);
    begin();
    done(close(p[0]), NULL, -1);
    begin();
    done(close(-1), NULL, -1);
    begin();
    done(read(p[1], buf, 10), NULL, -1);
    close(p[1]);
}

// Closing one of two descriptors of a description ends nothing.
PROBE(closes_one_of_two) {
    int p[2];
    open_pair(on_unix, p);
    const int other = dup(p[0]);
    close(p[0]);
    PEER { delay(60); put(p[1], "alive"); }
    begin();
    done(read(other, buf, 10), buf, -1);
    reap();
    close(other);
    begin();
    signal(SIGPIPE, SIG_IGN);
    done(write(p[1], "x", 1), NULL, -1);
    close(p[1]);
}

// A number that is used again has nothing left of its predecessor.
PROBE(number_used_again) {
    int first[2], second[2];
    open_pair(on_unix, first);
    fcntl(first[0], F_SETFL, O_NONBLOCK);
    begin();
    done(read(first[0], buf, 10), NULL, -1);
    const int number = first[0];
    close(first[0]);
    open_pair(on_pipe, second);
    fact("same_number", second[0] == number);
    PEER { delay(60); put(second[1], "new"); }
    begin();
    done(read(second[0], buf, 10), buf, flags_of(second[0]));
    reap();
    label("number_used_again/dup2");
    int third[2];
    open_pair(on_tcp, third);
    begin();
    done(dup2(third[0], second[0]) == second[0], NULL, -1);
    PEER { delay(60); put(third[1], "newest"); }
    begin();
    done(recv(second[0], buf, 10, 0), buf, flags_of(second[0]));
    close_pair(second);
    close_pair(third);
    close(first[1]);
}

// Unread data turns a close into a reset.
PROBE(close_with_unread_data) {
    int p[2];
    open_pair(on_tcp, p);
    put(p[0], "never read");
    delay(5);
    PEER { close(p[0]); delay(60); }
    close(p[1]);
    begin();
    done(read(p[0], buf, 10), NULL, -1);
    close(p[0]);
}
