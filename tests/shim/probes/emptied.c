// SPDX-License-Identifier: Apache-2.0
// Reading on where a read before took less than it asked for, so that whoever knows streams may expect nothing more: what comes later, what was
// there all the same, and what was changed meanwhile. The other process is made first: what is opened after it belongs to this process alone.
#include "probe.h"

#include <sys/epoll.h>

static char buf[4096];
static struct sockaddr_in where;
static int listener, orders[2], talk;

/// The peer's part of a connection; it is told by a byte when to go on.
static void await_order(void) {
    char c;
    if (raw(SYS_read, orders[0], &c, 1) <= 0) _exit(0);
}
static void order(void) { must((int)raw(SYS_write, orders[1], "!", 1), "order"); }

static void dial(void) {
    const int on = 1;
    talk = must((int)raw(SYS_socket, AF_INET, SOCK_STREAM, 0), "socket");
    must((int)raw(SYS_connect, talk, &where, sizeof where), "connect");
    must((int)raw(SYS_setsockopt, talk, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), "no delay");
    put(talk, "first");
}

#define TALKER                                                      \
    listener = listen_tcp(1, &where);                               \
    must(pipe(orders), "pipe");                                     \
    for (int once = probe_fork(); once; _exit(0))                   \
        for (close(orders[1]), dial(), await_order(); once; once = 0)

/// The connection, from which a read has taken all there was, but asked for more.
static int emptied(void) {
    const int fd = must(accept(listener, NULL, NULL), "accept");
    must((int)read(fd, buf, 100), "read");
    return fd;
}
static void over(int fd) {
    if (fd >= 0) close(fd);
    close(orders[0]);
    close(orders[1]);
    close(listener);
    reap();
}

static ssize_t by_readv(int fd) {
    struct iovec v[2] = {{buf, 2}, {buf + 2, 98}};
    return readv(fd, v, 2);
}
static ssize_t by_recvmsg(int fd) {
    struct iovec v[2] = {{buf, 2}, {buf + 2, 98}};
    struct msghdr m = {.msg_iov = v, .msg_iovlen = 2};
    return recvmsg(fd, &m, 0);
}
static ssize_t by_read(int fd) { return read(fd, buf, 100); }
static ssize_t by_recv(int fd) { return recv(fd, buf, 100, 0); }
static ssize_t by_recvfrom(int fd) { return recvfrom(fd, buf, 100, 0, NULL, NULL); }
static const struct {
    const char* name;
    ssize_t (*call)(int);
} readers[] = {{"read", by_read}, {"readv", by_readv}, {"recv", by_recv}, {"recvfrom", by_recvfrom}, {"recvmsg", by_recvmsg}};
enum { reader_count = sizeof readers / sizeof readers[0] };

PROBE(later) {
    for (int i = 0; i < reader_count; ++i) {
        label("%s.blocks/emptied", readers[i].name);
        TALKER { for (int k = 0; k < 3; ++k) delay(60), put(talk, "more"); delay(60); }
        const int fd = emptied();
        order();
        for (int k = 0; k < 4; ++k) {
            begin();
            done(readers[i].call(fd), buf, -1);
        }
        over(fd);
    }
}

PROBE(there_already) {
    for (int i = 0; i < reader_count; ++i) {
        label("%s.ready/emptied", readers[i].name);
        TALKER { put(talk, "more"); delay(300); }
        const int fd = emptied();
        order();
        delay(60);
        begin();
        done(readers[i].call(fd), buf, -1);
        over(fd);
    }
}

PROBE(end_with_the_data) {
    for (int how = 0; how < 3; ++how)
        for (int waits = 0; waits < 2; ++waits) {
            label("read.eof/emptied/%s/%s", how == 0 ? "close" : how == 1 ? "shutdown" : "reset", waits ? "waited" : "there");
            TALKER {
                const struct linger at_once = {1, 0};
                if (waits) delay(60);
                put(talk, "last");
                if (how == 1) raw(SYS_shutdown, talk, SHUT_WR);
                if (how == 2) raw(SYS_setsockopt, talk, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
                if (how == 2) delay(60);
                if (how != 1) raw(SYS_close, talk);
                if (how == 1) await_order();
            }
            const int fd = emptied();
            order();
            if (!waits) delay(120);
            for (int k = 0; k < 3; ++k) {
                begin();
                done(read(fd, buf, 100), buf, -1);
            }
            if (how == 1) order();
            over(fd);
        }
}

PROBE(ends_again_and_again) {
    label("read.eof/emptied/many");
    long ends = 0;
    for (int i = 0; i < 50; ++i) {
        TALKER { put(talk, "last"); raw(SYS_close, talk); }
        const int fd = emptied();
        order();
        long total = 0;
        ssize_t n;
        while ((n = read(fd, buf, 100)) > 0) total += n;
        ends += n == 0 && total == 4;
        over(fd);
    }
    begin();
    done(ends, NULL, -1);
}

PROBE(urgent) {
    for (int in_line = 0; in_line < 2; ++in_line)
        for (int waits = 0; waits < 2; ++waits) {
            label("recv.flags/emptied/urgent/%s/%s", in_line ? "in_line" : "aside", waits ? "waited" : "there");
            TALKER {
                if (waits) delay(60);
                put(talk, "ab");
                raw(SYS_sendto, talk, "c", 1, MSG_OOB, NULL, 0);
                put(talk, "de");
                delay(300);
                put(talk, "end");
                delay(100);
            }
            const int fd = emptied();
            setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &in_line, sizeof in_line);
            order();
            if (!waits) delay(60);
            else must((int)recv(fd, buf, 1, 0), "recv"), delay(60);
            for (int k = 0; k < 3; ++k) {
                begin();
                done(recv(fd, buf, 100, 0), buf, -1);
                if (k == 0) fact("mark", raw(SYS_ioctl, fd, SIOCATMARK, &caught) == 0);
            }
            over(fd);
        }
}

PROBE(urgent_is_taken) {
    label("recv.flags/emptied/urgent/taken");
    TALKER {
        put(talk, "ab");
        raw(SYS_sendto, talk, "c", 1, MSG_OOB, NULL, 0);
        put(talk, "de");
        delay(300);
        put(talk, "end");
        delay(100);
    }
    const int fd = emptied();
    order();
    delay(60);
    begin();
    done(recv(fd, buf, 100, MSG_OOB), buf, -1);
    for (int k = 0; k < 3; ++k) {
        begin();
        done(recv(fd, buf, 100, 0), buf, -1);
    }
    over(fd);
}

PROBE(peeked) {
    label("recv.flags/emptied/peek");
    TALKER { put(talk, "more"); delay(300); put(talk, "end"); delay(100); }
    const int fd = emptied();
    order();
    begin();
    done(recv(fd, buf, 100, MSG_PEEK), buf, -1);
    begin();
    done(recv(fd, buf, 100, 0), buf, -1);
    begin();
    done(recv(fd, buf, 100, MSG_PEEK), buf, -1);
    begin();
    done(recv(fd, buf, 2, 0), buf, -1);
    begin();
    done(recv(fd, buf, 2, MSG_TRUNC), NULL, -1);
    over(fd);
}

PROBE(some_of_it) {
    label("recv.nonblock/emptied/some");
    TALKER { put(talk, "more"); delay(400); put(talk, "end"); delay(100); }
    const int fd = emptied();
    order();
    delay(60);
    begin();
    done(recv(fd, buf, 1, MSG_DONTWAIT), buf, -1);
    begin();
    done(recv(fd, buf, 100, 0), buf, -1);
    begin();
    done(recv(fd, buf, 100, MSG_DONTWAIT), buf, -1);
    begin();
    done(recv(fd, buf, 100, 0), buf, -1);
    over(fd);
}

PROBE(polled) {
    for (int how = 0; how < 2; ++how) {
        label("%s.blocks/emptied", how ? "epoll_wait" : "poll");
        TALKER { delay(60); put(talk, "more"); delay(400); put(talk, "end"); delay(100); }
        const int fd = emptied();
        order();
        begin();
        if (how == 0) {
            struct pollfd one = {fd, POLLIN, 0};
            done(poll(&one, 1, 2000), NULL, one.revents);
        } else {
            struct epoll_event e = {.events = EPOLLIN};
            const int set = epoll_create1(0);
            epoll_ctl(set, EPOLL_CTL_ADD, fd, &e);
            done(epoll_wait(set, &e, 1, 2000), NULL, e.events);
            close(set);
        }
        for (int k = 0; k < 2; ++k) {
            begin();
            done(read(fd, buf, 100), buf, -1);
        }
        over(fd);
    }
}

PROBE(made_nonblocking) {
    static const char* const ways[] = {"fcntl", "ioctl", "syscall", "dup", "child"};
    for (int way = 0; way < 5; ++way) {
        label("read.nonblock/emptied/%s", ways[way]);
        TALKER { await_order(); delay(60); put(talk, "more"); delay(100); }
        const int fd = emptied();
        order();
        int other = -1;
        for (int on = 1; on >= 0; --on) {
            const int flags = O_RDWR | (on ? O_NONBLOCK : 0);
            switch (way) {
            case 0: fcntl(fd, F_SETFL, flags); break;
            case 1: ioctl(fd, FIONBIO, &on); break;
            case 2: syscall(SYS_fcntl, fd, F_SETFL, flags); break;
            case 3: other = other < 0 ? dup(fd) : other; fcntl(other, F_SETFL, flags); break;
            default:
                PEER { raw(SYS_fcntl, fd, F_SETFL, flags); }
                delay(60);
            }
            if (!on) order();
            begin();
            done(read(fd, buf, 100), buf, flags_of(fd));
        }
        if (other >= 0) close(other);
        over(fd);
    }
}

PROBE(made_nonblocking_by_who_received_it) {
    label("sendmsg.flags/emptied/passed_on");
    int path[2];
    must(socketpair(AF_UNIX, SOCK_STREAM, 0, path), "socketpair");
    TALKER {
        char room[CMSG_SPACE(sizeof(int))], c;
        struct iovec v = {&c, 1};
        struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
        must((int)raw(SYS_recvmsg, path[1], &m, 0), "recvmsg");
        int got;
        memcpy(&got, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof got);
        raw(SYS_fcntl, got, F_SETFL, O_RDWR | O_NONBLOCK);
        put(path[1], "!");
        await_order();
    }
    const int fd = emptied();
    order();
    struct timeval soon = {0, 60000};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof soon);
    begin();
    done(read(fd, buf, 100), NULL, flags_of(fd)); // it blocks, and asks for what it may remember
    char room[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec v = {"x", 1};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
    struct cmsghdr* const c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(c), &fd, sizeof fd);
    begin();
    done(sendmsg(path[0], &m, 0), NULL, -1);
    must((int)read(path[0], buf, 1), "read");
    begin();
    done(read(fd, buf, 100), NULL, flags_of(fd));
    order();
    close_pair(path);
    over(fd);
}

PROBE(given_a_time_limit) {
    label("read.timeout/emptied");
    TALKER { delay(120); put(talk, "more"); delay(200); put(talk, "end"); delay(100); }
    const int fd = emptied();
    order();
    struct timeval limit = {0, 60000};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    begin();
    done(read(fd, buf, 100), buf, -1);
    begin();
    limit.tv_usec = 0;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    done(read(fd, buf, 100), buf, -1);
    begin();
    done(read(fd, buf, 100), buf, -1);
    over(fd);
}

PROBE(given_a_mark) {
    label("recv.flags/emptied/mark");
    TALKER { delay(60); put(talk, "ab"); delay(120); put(talk, "cd"); await_order(); put(talk, "ef"); delay(300); put(talk, "end"); delay(100); }
    const int fd = emptied();
    int mark = 4;
    setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &mark, sizeof mark);
    order();
    begin();
    done(recv(fd, buf, 100, 0), buf, -1);
    order();
    delay(60);
    mark = 1; // "ef" has come meanwhile, and was not worth a word
    setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &mark, sizeof mark);
    begin();
    done(recv(fd, buf, 100, 0), buf, -1);
    begin();
    done(recv(fd, buf, 100, 0), buf, -1);
    over(fd);
}

PROBE(a_number_again) {
    label("accept.again/emptied");
    TALKER { raw(SYS_close, talk); dial(); await_order(); }
    int fd = emptied();
    order();
    delay(60);
    close(fd);
    fd = must(accept(listener, NULL, NULL), "accept");
    begin();
    done(read(fd, buf, 100), buf, -1);
    order();
    over(fd);
}

PROBE(interrupted) {
    for (int restart = 0; restart < 2; ++restart) {
        label("read.%s/emptied", restart ? "restart" : "eintr");
        TALKER { delay(60); poke(SIGUSR1); delay(60); put(talk, "more"); delay(100); }
        handle(SIGUSR1, restart ? SA_RESTART : 0);
        const int fd = emptied();
        order();
        begin();
        done(read(fd, buf, 100), buf, -1);
        fact("caught", caught);
        over(fd);
    }
    signal(SIGUSR1, SIG_DFL);
}

PROBE(shut_down_here) {
    label("shutdown.closing/emptied");
    TALKER { await_order(); }
    const int fd = emptied();
    order();
    begin();
    done(shutdown(fd, SHUT_RD), NULL, -1);
    begin();
    done(read(fd, buf, 100), buf, -1);
    order();
    over(fd);
}
