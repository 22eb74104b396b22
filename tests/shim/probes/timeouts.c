// SPDX-License-Identifier: Apache-2.0
// SO_RCVTIMEO and SO_SNDTIMEO on every call they bound.
#include "probe.h"

static char buf[4096];
static char data[1 << 20];

static void set_timeout(int fd, int option, long ms) {
    const struct timeval limit = {ms / 1000, ms % 1000 * 1000};
    must(setsockopt(fd, SOL_SOCKET, option, &limit, sizeof limit), "setsockopt");
}

static ssize_t receive(int how, int fd) {
    struct iovec part = {buf, 100};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    switch (how) {
    case 0: return read(fd, buf, 100);
    case 1: return readv(fd, &part, 1);
    case 2: return recv(fd, buf, 100, 0);
    case 3: return recvfrom(fd, buf, 100, 0, NULL, NULL);
    default: return recvmsg(fd, &message, 0);
    }
}
static const char* const receive_name[] = {"read", "readv", "recv", "recvfrom", "recvmsg"};

static ssize_t transmit(int how, int fd, size_t n) {
    struct iovec part = {data, n};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    switch (how) {
    case 0: return write(fd, data, n);
    case 1: return writev(fd, &part, 1);
    case 2: return send(fd, data, n, 0);
    case 3: return sendto(fd, data, n, 0, NULL, 0);
    default: return sendmsg(fd, &message, 0);
    }
}
static const char* const transmit_name[] = {"write", "writev", "send", "sendto", "sendmsg"};

PROBE(receive_timeout) {
    for (int kind = on_unix; kind < media; ++kind)
        for (int how = 0; how < 5; ++how) {
            int p[2];
            open_pair((enum medium)kind, p);
            set_timeout(p[0], SO_RCVTIMEO, 80);
            label("%s/%s/timeout", receive_name[how], medium_name[kind]);
            begin();
            done(receive(how, p[0]), buf, flags_of(p[0]));
            PEER { delay(40); put(p[1], "in time"); }
            begin();
            done(receive(how, p[0]), buf, -1);
            reap();
            close_pair(p);
        }
}

PROBE(send_timeout) {
    for (int kind = on_unix; kind < media; ++kind)
        for (int how = 0; how < 5; ++how) {
            int p[2];
            open_pair((enum medium)kind, p);
            fill(p[0], (enum medium)kind);
            set_timeout(p[0], SO_SNDTIMEO, 80);
            label("%s/%s/timeout", transmit_name[how], medium_name[kind]);
            begin();
            done(transmit(how, p[0], 100000), NULL, flags_of(p[0]));
            close_pair(p);
        }
}

// Some of it went out before the time was up: the count, not an error.
PROBE(send_timeout_midway) {
    int p[2];
    open_pair(on_unix, p);
    set_timeout(p[0], SO_SNDTIMEO, 80);
    for (int how = 0; how < 5; ++how) {
        label("%s/timeout_midway", transmit_name[how]);
        while (raw(SYS_recvfrom, p[1], buf, sizeof buf, MSG_DONTWAIT, NULL, NULL) > 0) {}
        begin();
        const ssize_t n = transmit(how, p[0], sizeof data);
        done(n > 0 && n < (ssize_t)sizeof data, NULL, -1);
    }
    close_pair(p);
}

PROBE(datagram_timeout) {
    const int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    must(bind(fd, (struct sockaddr*)&any, sizeof any), "bind");
    set_timeout(fd, SO_RCVTIMEO, 80);
    begin();
    done(recv(fd, buf, 100, 0), buf, -1);
    close(fd);
}

PROBE(accept_timeout) {
    struct sockaddr_in where;
    const int listener = listen_tcp(5, &where);
    set_timeout(listener, SO_RCVTIMEO, 80);
    begin();
    done(accept(listener, NULL, NULL), NULL, flags_of(listener));
    begin();
    done(accept4(listener, NULL, NULL, SOCK_CLOEXEC), NULL, flags_of(listener));
    close(listener);
}

// A full backlog leaves the handshake unanswered.
PROBE(connect_timeout) {
    struct sockaddr_in where;
    const int listener = listen_tcp(0, &where);
    int fillers[16];
    for (int i = 0; i < 16; ++i) {
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        raw(SYS_connect, fillers[i], &where, sizeof where);
    }
    delay(20);
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    set_timeout(fd, SO_SNDTIMEO, 80);
    begin();
    done(connect(fd, (struct sockaddr*)&where, sizeof where), NULL, flags_of(fd));
    begin();
    done(connect(fd, (struct sockaddr*)&where, sizeof where), NULL, flags_of(fd));
    close(fd);
    for (int i = 0; i < 16; ++i) close(fillers[i]);
    close(listener);
}

PROBE(connect_timeout_unix) {
    struct sockaddr_un where = {.sun_family = AF_UNIX};
    snprintf(where.sun_path + 1, sizeof where.sun_path - 1, "probe-%d", (int)getpid());
    const int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    must(bind(listener, (struct sockaddr*)&where, sizeof where), "bind");
    must(listen(listener, 0), "listen");
    const int first = socket(AF_UNIX, SOCK_STREAM, 0), second = socket(AF_UNIX, SOCK_STREAM, 0);
    set_timeout(second, SO_SNDTIMEO, 80);
    begin();
    done(connect(first, (struct sockaddr*)&where, sizeof where), NULL, -1);
    begin();
    done(connect(second, (struct sockaddr*)&where, sizeof where), NULL, flags_of(second));
    close(first);
    close(second);
    close(listener);
}

// A timed receive is interrupted in spite of SA_RESTART.
PROBE(timeout_and_signal) {
    int p[2];
    open_pair(on_unix, p);
    handle(SIGUSR1, SA_RESTART);
    set_timeout(p[0], SO_RCVTIMEO, 1000);
    PEER { delay(60); poke(SIGUSR1); }
    begin();
    done(recv(p[0], buf, 10, 0), NULL, -1);
    fact("caught", caught);
    close_pair(p);
}

// The option belongs to the socket, not to the number or the process it was set through.
PROBE(timeout_set_elsewhere) {
    int p[2];
    open_pair(on_unix, p);
    const int other = dup(p[0]);
    set_timeout(other, SO_RCVTIMEO, 60);
    label("timeout_set_elsewhere/dup");
    begin();
    done(recv(p[0], buf, 10, 0), NULL, -1);
    label("timeout_set_elsewhere/child");
    PEER { set_timeout(p[0], SO_RCVTIMEO, 120); }
    reap();
    begin();
    done(recv(other, buf, 10, 0), NULL, -1);
    label("timeout_set_elsewhere/cleared");
    set_timeout(p[0], SO_RCVTIMEO, 0);
    PEER { delay(200); put(p[1], "x"); }
    begin();
    done(recv(other, buf, 10, 0), buf, -1);
    close(other);
    close_pair(p);
}

// It does not bound poll, nor a pipe's or another socket's read.
PROBE(timeout_is_no_poll_timeout) {
    int p[2];
    open_pair(on_unix, p);
    set_timeout(p[0], SO_RCVTIMEO, 30);
    PEER { delay(100); put(p[1], "x"); }
    struct pollfd one = {p[0], POLLIN, 0};
    begin();
    done(poll(&one, 1, -1), NULL, one.revents);
    close_pair(p);
}
