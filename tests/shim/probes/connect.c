// SPDX-License-Identifier: Apache-2.0
// socket, socketpair, connect.
#include "probe.h"

static int fresh(int kind) { return must(socket(AF_INET, kind, 0), "socket"); }
static int try_connect(int fd, const struct sockaddr_in* where) {
    return connect(fd, (const struct sockaddr*)where, sizeof *where);
}
static int socket_error(int fd) {
    int error = -1;
    socklen_t size = sizeof error;
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
    return error;
}

// A port nobody listens on: it was ours a moment ago.
static void nobody(struct sockaddr_in* where) { close(listen_tcp(1, where)); }

PROBE(sockets) {
    const int plain = socket(AF_INET, SOCK_STREAM, 0);
    fact("plain", flags_of(plain));
    fact("plain_close_on_exec", fcntl(plain, F_GETFD));
    close(plain);
    const int flagged = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    fact("flagged", flags_of(flagged));
    fact("flagged_close_on_exec", fcntl(flagged, F_GETFD));
    close(flagged);
    begin();
    done(socket(AF_INET, 99, 0), NULL, -1);
    begin();
    done(socket(12345, SOCK_STREAM, 0), NULL, -1);
    int p[2];
    begin();
    done(socketpair(AF_INET, SOCK_STREAM, 0, p), NULL, -1);
    begin();
    done(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p), NULL, -1);
    fact("pair0", flags_of(p[0]));
    fact("pair1", flags_of(p[1]));
    close_pair(p);
    begin();
    int* volatile nowhere = (int*)16;
    done(socketpair(AF_UNIX, SOCK_STREAM, 0, nowhere), NULL, -1);
}

PROBE(success) {
    struct sockaddr_in where;
    const int listener = listen_tcp(5, &where), fd = fresh(SOCK_STREAM);
    begin();
    done(try_connect(fd, &where), NULL, flags_of(fd));
    begin();
    done(try_connect(fd, &where), NULL, -1);
    close(fd);
    close(listener);
}

PROBE(refused) {
    struct sockaddr_in where;
    nobody(&where);
    const int fd = fresh(SOCK_STREAM);
    begin();
    done(try_connect(fd, &where), NULL, flags_of(fd));
    fact("error_is_consumed", socket_error(fd));
    begin();
    done(try_connect(fd, &where), NULL, -1);
    close(fd);
}

PROBE(refused_nonblocking) {
    struct sockaddr_in where;
    nobody(&where);
    const int fd = fresh(SOCK_STREAM | SOCK_NONBLOCK);
    begin();
    done(try_connect(fd, &where), NULL, flags_of(fd));
    struct pollfd one = {fd, POLLOUT, 0};
    begin();
    done(poll(&one, 1, 1000), NULL, one.revents);
    fact("error", socket_error(fd));
    close(fd);
}

PROBE(nonblocking) {
    struct sockaddr_in where;
    const int listener = listen_tcp(5, &where), fd = fresh(SOCK_STREAM | SOCK_NONBLOCK);
    begin();
    done(try_connect(fd, &where), NULL, flags_of(fd));
    struct pollfd one = {fd, POLLOUT, 0};
    begin();
    done(poll(&one, 1, 1000), NULL, one.revents);
    fact("error", socket_error(fd));
    begin();
    done(try_connect(fd, &where), NULL, -1);
    begin();
    done(try_connect(fd, &where), NULL, -1);
    close(fd);
    close(listener);
}

// A listener whose backlog is full leaves connections half open until one is accepted.
struct full { struct sockaddr_in where; int listener, fillers[3]; };
static struct full fill_backlog(void) {
    struct full it;
    it.listener = listen_tcp(0, &it.where);
    fcntl(it.listener, F_SETFL, O_NONBLOCK);
    for (int i = 0; i < 3; ++i) {
        it.fillers[i] = fresh(SOCK_STREAM | SOCK_NONBLOCK);
        raw(SYS_connect, it.fillers[i], &it.where, sizeof it.where);
    }
    delay(20);
    return it;
}
static void empty_backlog(struct full* it) {
    for (int i = 0; i < 3; ++i) close(it->fillers[i]);
    close(it->listener);
}

PROBE(already) {
    struct full it = fill_backlog();
    const int fd = fresh(SOCK_STREAM | SOCK_NONBLOCK);
    begin();
    done(try_connect(fd, &it.where), NULL, -1);
    begin();
    done(try_connect(fd, &it.where), NULL, -1);
    close(fd);
    empty_backlog(&it);
}

PROBE(interrupted) {
    for (int restart = 0; restart < 2; ++restart) {
        struct full it = fill_backlog();
        handle(SIGUSR1, restart ? SA_RESTART : 0);
        const int fd = fresh(SOCK_STREAM);
        label("interrupted/%s", restart ? "restart" : "plain");
        // The handshake is tried again a second after the first attempt; by then there is room.
        PEER {
            delay(60);
            poke(SIGUSR1);
            delay(200);
            for (int i = 0; i < 120; ++i, delay(10))
                while (raw(SYS_accept4, it.listener, NULL, NULL, 0) >= 0) {}
        }
        begin();
        done(try_connect(fd, &it.where), NULL, flags_of(fd));
        fact("caught", caught);
        if (!restart) {
            begin();
            done(try_connect(fd, &it.where), NULL, -1);
        }
        struct pollfd one = {fd, POLLOUT, 0};
        begin();
        done(poll(&one, 1, 1000), NULL, one.revents);
        close(fd);
        reap();
        empty_backlog(&it);
    }
}

PROBE(unix_sockets) {
    struct sockaddr_un where = {.sun_family = AF_UNIX};
    snprintf(where.sun_path, sizeof where.sun_path, "/nonexistent/socket");
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    begin();
    done(connect(fd, (struct sockaddr*)&where, sizeof where), NULL, -1);
    memset(where.sun_path, 0, sizeof where.sun_path);
    snprintf(where.sun_path + 1, sizeof where.sun_path - 1, "probe-connect-%d", (int)getpid());
    begin();
    done(connect(fd, (struct sockaddr*)&where, sizeof where), NULL, -1);
    const int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    must(bind(listener, (struct sockaddr*)&where, sizeof where), "bind");
    must(listen(listener, 0), "listen");
    begin();
    done(connect(fd, (struct sockaddr*)&where, sizeof where), NULL, flags_of(fd));
    const int second = socket(AF_UNIX, SOCK_STREAM, 0);
    label("unix_sockets/full");
    fcntl(second, F_SETFL, O_NONBLOCK);
    begin();
    done(connect(second, (struct sockaddr*)&where, sizeof where), NULL, flags_of(second));
    fcntl(second, F_SETFL, 0);
    PEER { delay(60); raw(SYS_accept4, listener, NULL, NULL, 0); delay(20); }
    begin();
    done(connect(second, (struct sockaddr*)&where, sizeof where), NULL, flags_of(second));
    close(second);
    close(fd);
    close(listener);
}

PROBE(datagram) {
    struct sockaddr_in where;
    nobody(&where);
    const int fd = fresh(SOCK_DGRAM);
    begin();
    done(try_connect(fd, &where), NULL, -1);
    begin();
    done(try_connect(fd, &where), NULL, -1);
    const struct sockaddr none = {.sa_family = AF_UNSPEC};
    begin();
    done(connect(fd, &none, sizeof none), NULL, -1);
    close(fd);
}

PROBE(wrong) {
    struct sockaddr_in where;
    int p[2];
    nobody(&where);
    must(pipe(p), "pipe");
    begin();
    done(try_connect(-1, &where), NULL, -1);
    begin();
    done(try_connect(p[0], &where), NULL, -1);
    close_pair(p);
    begin();
    done(try_connect(p[0], &where), NULL, -1);
    const int fd = fresh(SOCK_STREAM);
    begin();
    done(connect(fd, (struct sockaddr*)&where, 3), NULL, -1);
    begin();
    done(connect(fd, (struct sockaddr*)16, sizeof where), NULL, -1);
    where.sin_family = 77;
    begin();
    done(try_connect(fd, &where), NULL, -1);
    close(fd);
}
