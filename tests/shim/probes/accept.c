// SPDX-License-Identifier: Apache-2.0
// accept and accept4.
#include "probe.h"

static int accept_how(int how, int fd, struct sockaddr* address, socklen_t* size) {
    return how == 0 ? accept(fd, address, size) : accept4(fd, address, size, how == 2 ? SOCK_NONBLOCK | SOCK_CLOEXEC : 0);
}
static const char* const accept_name[] = {"accept", "accept4", "accept4_flags"};

static int client(const struct sockaddr_in* where) {
    const int fd = must((int)raw(SYS_socket, AF_INET, SOCK_STREAM, 0), "socket");
    must((int)raw(SYS_connect, fd, where, sizeof *where), "connect");
    return fd;
}

// Reports an accepted socket without its number, then closes it.
static void accepted(int fd) {
    const int error = errno;
    errno = fd < 0 ? error : 0;
    done(fd < 0 ? -1 : 1, NULL, fd < 0 ? -1 : flags_of(fd));
    if (fd < 0) return;
    fact("close_on_exec", fcntl(fd, F_GETFD));
    close(fd);
}

PROBE(ready) {
    for (int how = 0; how < 3; ++how) {
        struct sockaddr_in where, from;
        const int listener = listen_tcp(5, &where);
        const int other = client(&where);
        socklen_t size = sizeof from;
        memset(&from, 0, sizeof from);
        label("%s/ready", accept_name[how]);
        begin();
        accepted(accept_how(how, listener, (struct sockaddr*)&from, &size));
        fact("size", size);
        fact("family", from.sin_family);
        fact("loopback", from.sin_addr.s_addr == htonl(INADDR_LOOPBACK));
        fact("listener_flags", flags_of(listener));
        close(other);
        close(listener);
    }
}

PROBE(blocks) {
    for (int how = 0; how < 3; ++how) {
        struct sockaddr_in where;
        const int listener = listen_tcp(5, &where);
        char got[8];
        label("%s/blocks", accept_name[how]);
        PEER { delay(60); put(client(&where), "hi"); delay(60); }
        begin();
        const int fd = accept_how(how, listener, NULL, NULL);
        done(fd < 0 ? -1 : 1, NULL, fd < 0 ? -1 : flags_of(fd));
        fact("listener_flags", flags_of(listener));
        reap();
        begin();
        done(read(fd, got, sizeof got), got, -1);
        begin();
        done(read(fd, got, sizeof got), got, -1);
        close(fd);
        close(listener);
    }
}

PROBE(unix_socket) {
    struct sockaddr_un where = {.sun_family = AF_UNIX}, from;
    snprintf(where.sun_path + 1, sizeof where.sun_path - 1, "probe-accept-%d", (int)getpid());
    const int listener = socket(AF_UNIX, SOCK_SEQPACKET, 0);
    must(bind(listener, (struct sockaddr*)&where, sizeof where), "bind");
    must(listen(listener, 3), "listen");
    PEER {
        const int fd = (int)raw(SYS_socket, AF_UNIX, SOCK_SEQPACKET, 0);
        delay(60);
        raw(SYS_connect, fd, &where, sizeof where);
        delay(20);
    }
    socklen_t size = sizeof from;
    begin();
    accepted(accept(listener, (struct sockaddr*)&from, &size));
    fact("size", size);
    close(listener);
}

PROBE(nonblocking) {
    for (int how = 0; how < 3; ++how) {
        struct sockaddr_in where;
        const int listener = listen_tcp(5, &where);
        fcntl(listener, F_SETFL, O_NONBLOCK);
        label("%s/nonblocking", accept_name[how]);
        begin();
        accepted(accept_how(how, listener, NULL, NULL));
        const int other = client(&where);
        begin();
        accepted(accept_how(how, listener, NULL, NULL));
        fact("listener_flags", flags_of(listener));
        close(other);
        close(listener);
    }
}

PROBE(interrupted) {
    for (int how = 0; how < 3; ++how) {
        struct sockaddr_in where;
        const int listener = listen_tcp(5, &where);
        handle(SIGUSR1, 0);
        label("%s/interrupted", accept_name[how]);
        PEER { delay(60); poke(SIGUSR1); }
        begin();
        accepted(accept_how(how, listener, NULL, NULL));
        fact("caught", caught);
        reap();
        handle(SIGUSR1, SA_RESTART);
        label("%s/restarted", accept_name[how]);
        PEER { delay(60); poke(SIGUSR1); delay(60); client(&where); delay(20); }
        begin();
        accepted(accept_how(how, listener, NULL, NULL));
        fact("caught", caught);
        reap();
        close(listener);
    }
}

PROBE(shut_down_while_waiting) {
    struct sockaddr_in where;
    const int listener = listen_tcp(5, &where);
    PEER { delay(60); shutdown(listener, SHUT_RDWR); }
    begin();
    accepted(accept(listener, NULL, NULL));
    begin();
    accepted(accept(listener, NULL, NULL));
    close(listener);
}

// The client gave up before it was accepted: the connection is still handed out, then ends.
PROBE(client_gone) {
    struct sockaddr_in where;
    char got[4];
    const int listener = listen_tcp(5, &where);
    close(client(&where));
    begin();
    const int fd = accept(listener, NULL, NULL);
    done(fd < 0 ? -1 : 1, NULL, -1);
    begin();
    done(read(fd, got, sizeof got), got, -1);
    close(fd);
    close(listener);
}

// Two processes wait on one listener, one client comes: exactly one of them gets it, the other goes on waiting.
PROBE(two_processes) {
    struct sockaddr_in where;
    const int listener = listen_tcp(5, &where);
    PEER {
        const int fd = accept(listener, NULL, NULL);
        if (fd >= 0) put(fd, "c");
    }
    PEER { delay(60); drain(client(&where), 1); client(&where); delay(20); }
    begin();
    const int fd = accept(listener, NULL, NULL);
    done(fd < 0 ? -1 : 1, NULL, flags_of(listener));
    put(fd, "p");
    close(fd);
    reap();
    close(listener);
}

PROBE(wrong) {
    struct sockaddr_in where;
    int p[2];
    must(pipe(p), "pipe");
    begin();
    accepted(accept(-1, NULL, NULL));
    begin();
    accepted(accept(p[0], NULL, NULL));
    close_pair(p);
    begin();
    accepted(accept4(p[0], NULL, NULL, 0));
    const int fresh = socket(AF_INET, SOCK_STREAM, 0);
    begin();
    accepted(accept(fresh, NULL, NULL));
    close(fresh);
    const int datagram = socket(AF_INET, SOCK_DGRAM, 0);
    begin();
    accepted(accept(datagram, NULL, NULL));
    close(datagram);
    const int listener = listen_tcp(5, &where);
    begin();
    accepted(accept4(listener, NULL, NULL, 0x10));
    const int first = client(&where), second = client(&where);
    struct sockaddr_in from;
    socklen_t size = 4;
    begin();
    accepted(accept(listener, (struct sockaddr*)&from, &size));
    fact("real_size", size);
    size = sizeof from;
    begin();
    accepted(accept(listener, (struct sockaddr*)16, &size));
    close(first);
    close(second);
    close(listener);
}
