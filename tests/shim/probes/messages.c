// SPDX-License-Identifier: Apache-2.0
// recvmmsg and sendmmsg: several messages by one call.
#include "probe.h"

enum { most = 8 };
static char texts[most][32];
static struct iovec parts[most];
static struct mmsghdr all[most];

static struct mmsghdr* fresh(size_t size) {
    memset(all, 0, sizeof all);
    for (int i = 0; i < most; ++i) {
        parts[i].iov_base = texts[i];
        parts[i].iov_len = size;
        all[i].msg_hdr.msg_iov = &parts[i];
        all[i].msg_hdr.msg_iovlen = 1;
    }
    return all;
}

static void print_lengths(void) {
    long digits = 0;
    for (int i = 0; i < most; ++i) digits = digits * 10 + (all[i].msg_len > 9 ? 9 : (long)all[i].msg_len);
    fact("lengths", digits);
    fact("first", texts[0][0]);
    fact("last", texts[most - 1][0]);
}

static void open_datagrams(int kind, int p[2]) {
    if (kind == 0) {
        must(socketpair(AF_UNIX, SOCK_DGRAM, 0, p), "socketpair");
        return;
    }
    if (kind == 2) {
        must(socketpair(AF_UNIX, SOCK_STREAM, 0, p), "socketpair");
        return;
    }
    struct sockaddr_in where[2];
    for (int i = 0; i < 2; ++i) {
        socklen_t size = sizeof where[i];
        p[i] = must(socket(AF_INET, SOCK_DGRAM, 0), "socket");
        memset(&where[i], 0, size);
        where[i].sin_family = AF_INET;
        where[i].sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        must(bind(p[i], (struct sockaddr*)&where[i], size), "bind");
        must(getsockname(p[i], (struct sockaddr*)&where[i], &size), "getsockname");
    }
    for (int i = 0; i < 2; ++i) must((int)raw(SYS_connect, p[i], &where[1 - i], sizeof where[0]), "connect");
}
static const char* const names[] = {"unix", "udp", "stream"};

PROBE(receiving) {
    for (int kind = 0; kind < 3; ++kind) {
        int p[2];
        open_datagrams(kind, p);
        label("recvmmsg.ready/%s", names[kind]);
        for (int i = 0; i < most; ++i) put(p[1], &"abcdefgh"[i]);
        begin();
        done(recvmmsg(p[0], fresh(8), kind == 2 ? 3 : most, 0, NULL), NULL, flags_of(p[0]));
        print_lengths();
        while (raw(SYS_recvfrom, p[0], texts[0], 32, MSG_DONTWAIT, NULL, 0) > 0) {}
        label("recvmmsg.blocks/%s", names[kind]);
        PEER { delay(40); put(p[1], "one"); delay(40); put(p[1], "two"); delay(40); put(p[1], "three"); }
        begin();
        done(recvmmsg(p[0], fresh(8), 3, 0, NULL), NULL, flags_of(p[0]));
        print_lengths();
        reap();
        label("recvmmsg.flags/waitforone_%s", names[kind]);
        PEER { delay(40); put(p[1], "one"); }
        begin();
        done(recvmmsg(p[0], fresh(2), 4, MSG_WAITFORONE, NULL), NULL, -1);
        print_lengths();
        reap();
        while (raw(SYS_recvfrom, p[0], texts[0], 32, MSG_DONTWAIT, NULL, 0) > 0) {}
        label("recvmmsg.nonblock/%s", names[kind]);
        begin();
        done(recvmmsg(p[0], fresh(8), 3, MSG_DONTWAIT, NULL), NULL, -1);
        put(p[1], "x");
        begin();
        done(recvmmsg(p[0], fresh(8), 3, MSG_DONTWAIT, NULL), NULL, -1);
        fcntl(p[0], F_SETFL, O_NONBLOCK);
        begin();
        done(recvmmsg(p[0], fresh(8), 3, 0, NULL), NULL, flags_of(p[0]));
        put(p[1], "x");
        begin();
        done(recvmmsg(p[0], fresh(8), 3, 0, NULL), NULL, flags_of(p[0]));
        fcntl(p[0], F_SETFL, 0);
        label("recvmmsg.timeout/%s", names[kind]);
        struct timespec limit = {0, 100000000};
        PEER { for (int i = 0; i < 5; ++i) delay(60), put(p[1], "m"); }
        begin();
        done(recvmmsg(p[0], fresh(8), 5, 0, &limit), NULL, limit.tv_sec == 0 && limit.tv_nsec == 0);
        reap();
        while (raw(SYS_recvfrom, p[0], texts[0], 32, MSG_DONTWAIT, NULL, 0) > 0) {}
        for (int i = 0; i < 3; ++i) put(p[1], "m");
        limit.tv_sec = 5;
        begin();
        done(recvmmsg(p[0], fresh(1), 2, 0, &limit), NULL, limit.tv_sec);
        limit.tv_sec = limit.tv_nsec = 0;
        begin();
        done(recvmmsg(p[0], fresh(1), 1, 0, &limit), NULL, limit.tv_nsec);
        put(p[1], "m"), put(p[1], "m");
        begin();
        done(recvmmsg(p[0], fresh(1), 2, 0, &limit), NULL, limit.tv_nsec);
        while (raw(SYS_recvfrom, p[0], texts[0], 32, MSG_DONTWAIT, NULL, 0) > 0) {}
        const struct timeval option = {0, 60000};
        setsockopt(p[0], SOL_SOCKET, SO_RCVTIMEO, &option, sizeof option);
        begin();
        done(recvmmsg(p[0], fresh(8), 3, 0, NULL), NULL, -1);
        put(p[1], "m");
        begin();
        done(recvmmsg(p[0], fresh(8), 3, 0, NULL), NULL, -1);
        const struct timeval none = {0, 0};
        setsockopt(p[0], SOL_SOCKET, SO_RCVTIMEO, &none, sizeof none);
        label("recvmmsg.eintr/%s", names[kind]);
        handle(SIGUSR1, 0);
        PEER { delay(50); poke(SIGUSR1); }
        begin();
        done(recvmmsg(p[0], fresh(8), 3, 0, NULL), NULL, -1);
        put(p[1], "m");
        reap();
        PEER { delay(50); poke(SIGUSR1); }
        begin();
        done(recvmmsg(p[0], fresh(8), 3, 0, NULL), NULL, -1);
        reap();
        // Linux now has an error of its own making for the next call, number 512 and no POSIX one; weft has not.
        int error;
        socklen_t size = sizeof error;
        getsockopt(p[0], SOL_SOCKET, SO_ERROR, &error, &size);
        label("recvmmsg.restart/%s", names[kind]);
        handle(SIGUSR1, SA_RESTART);
        PEER { delay(40); poke(SIGUSR1); delay(30); put(p[1], "m"); }
        begin();
        done(recvmmsg(p[0], fresh(8), 1, 0, NULL), NULL, -1);
        fact("caught", caught);
        reap();
        close_pair(p);
    }
}

PROBE(ends) {
    int p[2];
    label("recvmmsg.eof");
    open_datagrams(2, p);
    put(p[1], "end");
    close(p[1]);
    begin();
    done(recvmmsg(p[0], fresh(8), 3, 0, NULL), NULL, -1);
    print_lengths();
    close(p[0]);
    label("recvmmsg.closing/shutdown");
    open_datagrams(0, p);
    PEER { delay(50); put(p[1], "m"); delay(20); raw(SYS_shutdown, p[0], SHUT_RD); }
    begin();
    done(recvmmsg(p[0], fresh(8), 3, 0, NULL), NULL, -1);
    print_lengths();
    reap();
    close_pair(p);
    label("recvmmsg.reset/udp");
    open_datagrams(1, p);
    close(p[1]);
    put(p[0], "to nobody");
    begin();
    done(recvmmsg(p[0], fresh(8), 3, 0, NULL), NULL, -1);
    label("sendmmsg.reset/udp");
    begin();
    done(sendmmsg(p[0], fresh(1), 1, 0), NULL, -1);
    begin();
    done(sendmmsg(p[0], fresh(1), 3, 0), NULL, -1);
    close(p[0]);
    label("recvmmsg.badfd");
    begin();
    done(recvmmsg(-1, fresh(8), 3, 0, NULL), NULL, -1);
    must(pipe(p), "pipe");
    begin();
    done(recvmmsg(p[0], fresh(8), 3, 0, NULL), NULL, -1);
    label("sendmmsg.badfd");
    begin();
    done(sendmmsg(p[1], fresh(8), 3, 0), NULL, -1);
    begin();
    done(sendmmsg(-1, fresh(8), 3, 0), NULL, -1);
    close_pair(p);
    open_datagrams(0, p);
    struct timespec wrong = {-1, 0};
    label("recvmmsg.flags");
    begin();
    done(recvmmsg(p[0], fresh(8), 3, 0, &wrong), NULL, -1);
    begin();
    done(recvmmsg(p[0], fresh(8), 0, 0, NULL), NULL, -1);
    put(p[1], "m");
    begin();
    done(recvmmsg(p[0], NULL, 1, 0, NULL), NULL, -1);
    close_pair(p);
}

PROBE(sending) {
    for (int kind = 0; kind < 3; ++kind) {
        int p[2];
        open_datagrams(kind, p);
        label("sendmmsg.ready/%s", names[kind]);
        for (int i = 0; i < most; ++i) memset(texts[i], 'a' + i, sizeof texts[i]); // not what came before, which depends on time
        begin();
        done(sendmmsg(p[0], fresh(4), most, 0), NULL, flags_of(p[0]));
        print_lengths();
        begin();
        done(recv(p[1], texts[0], 4, 0), texts[0], -1);
        begin();
        done(sendmmsg(p[0], fresh(4), 0, 0), NULL, -1);
        close_pair(p);
        if (kind == 1) continue; // never full
        static char big[100][8192];
        static struct iovec big_parts[100];
        static struct mmsghdr many[100];
        for (int i = 0; i < 100; ++i) {
            memset(&many[i], 0, sizeof many[i]);
            big_parts[i].iov_base = big[i];
            big_parts[i].iov_len = sizeof big[i];
            many[i].msg_hdr.msg_iov = &big_parts[i];
            many[i].msg_hdr.msg_iovlen = 1;
        }
        open_datagrams(kind, p);
        label("sendmmsg.nonblock/%s", names[kind]);
        begin();
        const int went = sendmmsg(p[0], many, 100, MSG_DONTWAIT);
        done(went > 0 && went < 100, NULL, -1);
        begin();
        done(sendmmsg(p[0], many, 100, MSG_DONTWAIT), NULL, -1);
        close_pair(p);
        open_datagrams(kind, p);
        label("sendmmsg.blocks/%s", names[kind]);
        PEER { close(p[0]); delay(60); drain(p[1], 100 * 8192); }
        begin();
        done(sendmmsg(p[0], many, 100, 0), NULL, flags_of(p[0]));
        fact("last", many[99].msg_len);
        reap();
        label("sendmmsg.eintr/%s", names[kind]);
        handle(SIGUSR1, 0);
        PEER { delay(50); poke(SIGUSR1); }
        begin();
        const int before = sendmmsg(p[0], many, 100, 0);
        done(before > 0 && before < 100, NULL, -1);
        reap();
        label("sendmmsg.timeout/%s", names[kind]);
        const struct timeval limit = {0, 60000};
        setsockopt(p[0], SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
        begin();
        done(sendmmsg(p[0], many, 100, 0) < 100, NULL, -1);
        close_pair(p);
    }
}

// A descriptor that came in a message is as good as any.
PROBE(passed) {
    int p[2], inner[2];
    open_datagrams(0, p);
    char control[CMSG_SPACE(sizeof(int))];
    for (int many = 0; many < 2; ++many) {
        label(many ? "recvmmsg.ready/descriptor" : "recvmsg.ready/descriptor");
        must(socketpair(AF_UNIX, SOCK_STREAM, 0, inner), "socketpair");
        struct mmsghdr* m = fresh(4);
        m->msg_hdr.msg_control = control;
        m->msg_hdr.msg_controllen = sizeof control;
        struct cmsghdr* c = CMSG_FIRSTHDR(&m->msg_hdr);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &inner[0], sizeof(int));
        begin();
        done(sendmsg(p[1], &m->msg_hdr, 0), NULL, -1);
        close(inner[0]);
        memset(control, 0, sizeof control);
        int got = -1;
        begin();
        if (many) done(recvmmsg(p[0], m, 1, 0, NULL), NULL, -1);
        else done(recvmsg(p[0], &m->msg_hdr, 0), NULL, -1);
        memcpy(&got, CMSG_DATA(CMSG_FIRSTHDR(&m->msg_hdr)), sizeof(int));
        fact("same_number", got == inner[0]);
        PEER { delay(40); put(inner[1], "through what was passed"); }
        begin();
        done(read(got, texts[0], 32), texts[0], flags_of(got));
        reap();
        close(got);
        close(inner[1]);
    }
    close_pair(p);
}
