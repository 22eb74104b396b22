// SPDX-License-Identifier: Apache-2.0
// MSG_DONTWAIT, MSG_WAITALL, MSG_PEEK, MSG_TRUNC, MSG_ERRQUEUE, passed descriptors, SO_RCVLOWAT.
#include "probe.h"

static char buf[4096];

typedef ssize_t (*taker)(int, size_t, int);
__attribute__((noinline)) static ssize_t by_recv(int fd, size_t n, int flags) { return recv(fd, buf, n, flags); }
__attribute__((noinline)) static ssize_t by_recvfrom(int fd, size_t n, int flags) {
    return recvfrom(fd, buf, n, flags, NULL, NULL);
}
__attribute__((noinline)) static ssize_t by_recvmsg(int fd, size_t n, int flags) {
    struct iovec parts[2] = {{buf, n / 2}, {buf + n / 2, n - n / 2}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    return recvmsg(fd, &message, flags);
}
static const struct { const char* name; taker take; } takers[] = {
    {"recv", by_recv}, {"recvfrom", by_recvfrom}, {"recvmsg", by_recvmsg}};

#define FOR_EACH_TAKER(case_name)                                                            \
    static void one_##case_name(taker take, int p[2]);                                       \
    PROBE(case_name) {                                                                       \
        for (int i = 0; i < 3; ++i)                                                          \
            for (int kind = on_unix; kind < media; ++kind) {                                 \
                int p[2];                                                                    \
                open_pair((enum medium)kind, p);                                             \
                label("%s/%s/%s", takers[i].name, medium_name[kind], #case_name);            \
                one_##case_name(takers[i].take, p);                                          \
                reap();                                                                      \
                close_pair(p);                                                               \
            }                                                                                \
    }                                                                                        \
    static void one_##case_name(taker take, int p[2])

FOR_EACH_TAKER(dont_wait) {
    begin();
    done(take(p[0], 10, MSG_DONTWAIT), buf, flags_of(p[0]));
    put(p[1], "abc");
    begin();
    done(take(p[0], 10, MSG_DONTWAIT), buf, flags_of(p[0]));
}

FOR_EACH_TAKER(peek_blocks) {
    PEER { delay(60); put(p[1], "peeked"); }
    begin();
    done(take(p[0], 4, MSG_PEEK), buf, -1);
    begin();
    done(take(p[0], 10, MSG_PEEK), buf, -1);
    begin();
    done(take(p[0], 10, 0), buf, -1);
    begin();
    done(take(p[0], 10, MSG_PEEK | MSG_DONTWAIT), buf, -1);
}

FOR_EACH_TAKER(waitall_in_pieces) {
    PEER {
        put(p[1], "aaa");
        delay(40);
        put(p[1], "bbb");
        delay(40);
        put(p[1], "cccc");
    }
    begin();
    done(take(p[0], 8, MSG_WAITALL), buf, -1);
    begin();
    done(take(p[0], 8, 0), buf, -1);
}

FOR_EACH_TAKER(waitall_end_of_file) {
    PEER { put(p[1], "aaa"); delay(60); shutdown(p[1], SHUT_WR); }
    begin();
    done(take(p[0], 8, MSG_WAITALL), buf, -1);
    begin();
    done(take(p[0], 8, MSG_WAITALL), buf, -1);
}

FOR_EACH_TAKER(waitall_dont_wait) {
    put(p[1], "aaa");
    begin();
    done(take(p[0], 8, MSG_WAITALL | MSG_DONTWAIT), buf, -1);
}

FOR_EACH_TAKER(waitall_timed) {
    const struct timeval limit = {0, 80000};
    setsockopt(p[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    put(p[1], "aaa");
    begin();
    done(take(p[0], 8, MSG_WAITALL), buf, -1);
    begin();
    done(take(p[0], 8, MSG_WAITALL), buf, -1);
}

FOR_EACH_TAKER(waitall_signal) {
    handle(SIGUSR1, SA_RESTART);
    PEER { put(p[1], "aaa"); delay(60); poke(SIGUSR1); delay(60); put(p[1], "bbbbbb"); }
    begin();
    done(take(p[0], 8, MSG_WAITALL), buf, -1);
    fact("caught", caught);
    reap();
    begin();
    done(take(p[0], 8, MSG_DONTWAIT), buf, -1);
}

// The error queue is never waited for.
FOR_EACH_TAKER(error_queue) {
    begin();
    done(take(p[0], 8, MSG_ERRQUEUE | MSG_DONTWAIT), NULL, -1);
}

FOR_EACH_TAKER(out_of_band) {
    begin();
    done(take(p[0], 8, MSG_OOB), NULL, -1);
}

PROBE(error_queue_does_not_block) {
    int p[2];
    tcp_pair(p);
    begin();
    done(by_recvmsg(p[0], 8, MSG_ERRQUEUE), NULL, -1);
    close_pair(p);
}

PROBE(out_of_band_data) {
    int p[2];
    tcp_pair(p);
    PEER {
        delay(60);
        put(p[1], "ab");
        raw(SYS_sendto, p[1], "!", 1, MSG_OOB, NULL, 0);
    }
    struct pollfd one = {p[0], POLLPRI, 0};
    begin();
    done(poll(&one, 1, 2000), NULL, one.revents);
    begin();
    done(by_recv(p[0], 8, MSG_OOB), buf, -1);
    begin();
    done(by_recv(p[0], 8, 0), buf, -1);
    close_pair(p);
}

// A receiver with SO_RCVLOWAT sleeps until that much has come.
PROBE(low_water_mark) {
    for (int kind = on_unix; kind < media; ++kind) {
        int p[2];
        open_pair((enum medium)kind, p);
        const int mark = 6;
        setsockopt(p[0], SOL_SOCKET, SO_RCVLOWAT, &mark, sizeof mark);
        label("low_water_mark/%s", medium_name[kind]);
        // Of TCP, what is there beforehand is taken at once, and then the kernel waits for as much again as the mark says.
        PEER { delay(100); put(p[1], "aaa"); delay(60); put(p[1], "bbbb"); }
        begin();
        done(by_recv(p[0], 100, 0), buf, -1);
        reap();
        close_pair(p);
    }
}

PROBE(descriptor_in_a_message) {
    int p[2], inner[2];
    open_pair(on_unix, p);
    PEER {
        must(pipe(inner), "pipe");
        put(inner[1], "through");
        char control[CMSG_SPACE(sizeof(int))];
        memset(control, 0, sizeof control);
        struct iovec part = {"x", 1};
        struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
        struct cmsghdr* head = CMSG_FIRSTHDR(&message);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(head), &inner[0], sizeof(int));
        delay(60);
        raw(SYS_sendmsg, p[1], &message, 0);
        delay(60);
        put(inner[1], " and later");
    }
    char control[CMSG_SPACE(sizeof(int))];
    struct iovec part = {buf, 10};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    begin();
    done(recvmsg(p[0], &message, MSG_CMSG_CLOEXEC), buf, message.msg_flags & ~MSG_CMSG_CLOEXEC);
    fact("control", (long)message.msg_controllen);
    int passed = -1;
    memcpy(&passed, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof passed);
    fact("close_on_exec", fcntl(passed, F_GETFD));
    begin();
    done(read(passed, buf, 7), buf, -1);
    begin();
    done(read(passed, buf, 20), buf, flags_of(passed));
    close(passed);
    close_pair(p);
}
