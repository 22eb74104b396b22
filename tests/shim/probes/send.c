// SPDX-License-Identifier: Apache-2.0
// write, writev, send, sendto, sendmsg: a blocking write delivers everything, a broken one says so.
#include "probe.h"

enum { big = 3 * 1024 * 1024 };
static char data[big];

static ssize_t by_write(int fd, size_t n, int flags) { return (void)flags, write(fd, data, n); }
static ssize_t by_send(int fd, size_t n, int flags) { return send(fd, data, n, flags); }
static ssize_t by_sendto(int fd, size_t n, int flags) { return sendto(fd, data, n, flags, NULL, 0); }
static ssize_t by_writev(int fd, size_t n, int flags) {
    struct iovec parts[3] = {{data, n / 3}, {NULL, 0}, {data + n / 3, n - n / 3}};
    return (void)flags, writev(fd, parts, 3);
}
static ssize_t by_sendmsg(int fd, size_t n, int flags) {
    struct iovec parts[2] = {{data, n / 3}, {data + n / 3, n - n / 3}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    return sendmsg(fd, &message, flags);
}

typedef ssize_t (*sender)(int, size_t, int);
static const struct { const char* name; sender give; int on_pipes; } senders[] = {
    {"write", by_write, 1}, {"writev", by_writev, 1}, {"send", by_send, 0}, {"sendto", by_sendto, 0},
    {"sendmsg", by_sendmsg, 0}};
enum { sender_count = sizeof senders / sizeof *senders };

// A case that runs for every call on every medium the call works on. p[1] is written, p[0] read.
#define FOR_EACH_SENDER(case_name)                                                               \
    static void one_##case_name(sender give, enum medium kind, int p[2]);                        \
    PROBE(case_name) {                                                                           \
        signal(SIGPIPE, SIG_IGN);                                                                \
        for (int i = 0; i < sender_count; ++i)                                                   \
            for (int kind = senders[i].on_pipes ? on_pipe : on_unix; kind < media; ++kind) {     \
                int p[2];                                                                        \
                open_pair((enum medium)kind, p);                                                 \
                label("%s/%s/%s", senders[i].name, medium_name[kind], #case_name);               \
                one_##case_name(senders[i].give, (enum medium)kind, p);                          \
                reap();                                                                          \
            }                                                                                    \
    }                                                                                            \
    static void one_##case_name(sender give, enum medium kind, int p[2])

// What the peer counted, sent back through its exit status as kibibytes modulo 251.
static void count_in_peer(int fd, long first_delay) {
    delay(first_delay);
    const long total = drain(fd, 1L << 40);
    _exit((int)(total / 1024 % 251));
}
static long peers_count(void) {
    int status = 0;
    raw(SYS_wait4, -1, &status, 0, NULL);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

FOR_EACH_SENDER(ready) {
    (void)kind;
    memcpy(data, "some words", 10);
    char got[16];
    begin();
    done(give(p[1], 10, 0), data, flags_of(p[1]));
    const long n = raw(SYS_read, p[0], got, sizeof got);
    done(n, got, -1);
    begin();
    done(give(p[1], 0, 0), NULL, -1);
    close_pair(p);
}

FOR_EACH_SENDER(all_of_it) {
    (void)kind;
    PEER { close(p[1]); count_in_peer(p[0], 60); }
    close(p[0]);
    begin();
    done(give(p[1], big, 0), NULL, flags_of(p[1]));
    close(p[1]);
    fact("peer_kib", peers_count());
}

FOR_EACH_SENDER(broken) {
    (void)kind;
    PEER { delay(60); close(p[0]); }
    close(p[0]);
    if (kind == on_tcp) {
        // The first write after the peer's close draws the reset, which the next one reports.
        reap();
        begin();
        done(give(p[1], 10, 0), NULL, -1);
        delay(5);
    } else {
        fill(p[1], kind);
    }
    begin();
    done(give(p[1], 10, 0), NULL, -1);
    begin();
    done(give(p[1], 10, 0), NULL, -1);
    close(p[1]);
}

FOR_EACH_SENDER(broken_midway) {
    PEER { close(p[1]); delay(60); close(p[0]); }
    close(p[0]);
    begin();
    const ssize_t n = give(p[1], big, 0);
    // How much fits differs for sockets; that some did is what a blocking write reports.
    done(kind == on_pipe ? n : n > 0, NULL, -1);
    close(p[1]);
}

FOR_EACH_SENDER(nonblocking) {
    fcntl(p[1], F_SETFL, fcntl(p[1], F_GETFL) | O_NONBLOCK);
    begin();
    const ssize_t n = give(p[1], big, 0);
    done(kind == on_pipe ? n : n > 0, NULL, flags_of(p[1]));
    if (kind != on_pipe) fill(p[1], kind);
    begin();
    done(give(p[1], 10, 0), NULL, flags_of(p[1]));
    close_pair(p);
}

FOR_EACH_SENDER(dont_wait) {
    if (give == by_write || give == by_writev) {
        close_pair(p);
        return;
    }
    begin();
    const ssize_t n = give(p[1], big, MSG_DONTWAIT);
    done(n > 0 && n < big, NULL, flags_of(p[1]));
    fill(p[1], kind);
    begin();
    done(give(p[1], 10, MSG_DONTWAIT), NULL, -1);
    close_pair(p);
}

FOR_EACH_SENDER(shutdown_own_side) {
    if (kind == on_pipe) {
        close_pair(p);
        return;
    }
    shutdown(p[1], SHUT_WR);
    begin();
    done(give(p[1], 10, 0), NULL, -1);
    close_pair(p);
}

FOR_EACH_SENDER(bad_descriptor) {
    (void)kind;
    close_pair(p);
    begin();
    done(give(-1, 10, 0), NULL, -1);
    begin();
    done(give(p[1], 10, 0), NULL, -1);
}

FOR_EACH_SENDER(interrupted) {
    handle(SIGUSR1, 0);
    fill(p[1], kind);
    PEER { delay(60); poke(SIGUSR1); }
    begin();
    done(give(p[1], 70000, 0), NULL, -1);
    fact("caught", caught);
    close_pair(p);
}

FOR_EACH_SENDER(restarted) {
    handle(SIGUSR1, SA_RESTART);
    fill(p[1], kind);
    PEER { close(p[1]); delay(50); poke(SIGUSR1); delay(50); drain(p[0], 1L << 30); }
    begin();
    done(give(p[1], 70000, 0), NULL, -1);
    fact("caught", caught);
    close_pair(p);
}

FOR_EACH_SENDER(interrupted_midway) {
    handle(SIGUSR1, SA_RESTART);
    PEER { delay(60); poke(SIGUSR1); }
    begin();
    const ssize_t n = give(p[1], big, 0);
    done(kind == on_pipe ? n : n > 0 && n < big, NULL, -1);
    fact("caught", caught);
    close_pair(p);
}

PROBE(sigpipe) {
    int p[2];
    handle(SIGPIPE, 0);
    for (int i = 0; i < sender_count; ++i) {
        open_pair(on_unix, p);
        close(p[0]);
        label("%s/sigpipe", senders[i].name);
        caught = 0;
        begin();
        done(senders[i].give(p[1], 10, 0), NULL, -1);
        fact("caught", caught);
        caught = 0;
        if (i > 1) {
            begin();
            done(senders[i].give(p[1], 10, MSG_NOSIGNAL), NULL, -1);
            fact("caught_nosignal", caught);
        }
        close(p[1]);
    }
    signal(SIGPIPE, SIG_DFL);
    fflush(stdout);
    for (int once = probe_fork(); once; _exit(0)) {
        open_pair(on_pipe, p);
        close(p[0]);
        by_write(p[1], 10, 0);
    }
    int status = 0;
    raw(SYS_wait4, -1, &status, 0, NULL);
    label("write/sigpipe/kills");
    fact("signal", WTERMSIG(status));
}

PROBE(wrong) {
    int p[2];
    must(pipe(p), "pipe");
    begin();
    done(by_write(p[0], 10, 0), NULL, -1);
    begin();
    done(by_send(p[1], 10, 0), NULL, -1);
    begin();
    done(by_sendmsg(p[1], 10, 0), NULL, -1);
    const char* volatile nowhere = (const char*)16;
    begin();
    done(write(p[1], nowhere, 10), NULL, -1);
    volatile int few = -1, many = 1025;
    struct iovec part = {data, 1};
    begin();
    done(writev(p[1], &part, few), NULL, -1);
    begin();
    done(writev(p[1], &part, many), NULL, -1);
    begin();
    done(writev(p[1], (const struct iovec*)nowhere, 1), NULL, -1);
    close_pair(p);
    const int fresh = socket(AF_INET, SOCK_STREAM, 0);
    begin();
    done(send(fresh, data, 10, MSG_NOSIGNAL), NULL, -1);
    close(fresh);
}
