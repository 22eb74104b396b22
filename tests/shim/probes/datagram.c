// SPDX-License-Identifier: Apache-2.0
// Messages with borders: UDP, unix datagram and seqpacket sockets.
#include "probe.h"

static char buf[4096];
static char big[70000];

static int udp(struct sockaddr_in* where) {
    const int fd = must(socket(AF_INET, SOCK_DGRAM, 0), "socket");
    socklen_t size = sizeof *where;
    memset(where, 0, sizeof *where);
    where->sin_family = AF_INET;
    where->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    must(bind(fd, (struct sockaddr*)where, size), "bind");
    must(getsockname(fd, (struct sockaddr*)where, &size), "getsockname");
    return fd;
}

__attribute__((noinline)) static ssize_t take(int fd, size_t n, int flags) { return recv(fd, buf, n, flags); }

static ssize_t take_message(int fd, size_t n, int flags, int* message_flags) {
    struct iovec part = {buf, n};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    const ssize_t got = recvmsg(fd, &message, flags);
    *message_flags = got < 0 ? -1 : message.msg_flags;
    return got;
}

PROBE(udp_blocks) {
    struct sockaddr_in here, there, from;
    const int mine = udp(&here), theirs = udp(&there);
    socklen_t size = sizeof from;
    memset(&from, 0, sizeof from);
    PEER { delay(60); raw(SYS_sendto, theirs, "datagram", 8, 0, &here, sizeof here); }
    begin();
    done(recvfrom(mine, buf, sizeof buf, 0, (struct sockaddr*)&from, &size), buf, flags_of(mine));
    fact("size", size);
    fact("from_peer", from.sin_port == there.sin_port && from.sin_family == AF_INET);
    close(mine);
    close(theirs);
}

// read(2) of an empty datagram is 0 and not an end of file.
PROBE(udp_empty) {
    struct sockaddr_in here, there;
    const int mine = udp(&here), theirs = udp(&there);
    begin();
    done(sendto(theirs, big, 0, 0, (struct sockaddr*)&here, sizeof here), NULL, -1);
    begin();
    done(read(mine, buf, sizeof buf), buf, -1);
    PEER { delay(60); raw(SYS_sendto, theirs, "after", 5, 0, &here, sizeof here); }
    begin();
    done(read(mine, buf, sizeof buf), buf, -1);
    close(mine);
    close(theirs);
}

PROBE(udp_truncated) {
    struct sockaddr_in here, there;
    const int mine = udp(&here), theirs = udp(&there);
    int flags;
    for (int i = 0; i < 4; ++i) raw(SYS_sendto, theirs, "0123456789", 10, 0, &here, sizeof here);
    begin();
    done(take(mine, 4, 0), buf, -1);
    begin();
    done(take(mine, 4, MSG_TRUNC) == 10 ? 4 : -2, buf, -1);
    begin();
    done(take_message(mine, 4, MSG_PEEK, &flags), buf, flags);
    begin();
    done(take_message(mine, 40, 0, &flags), buf, flags);
    begin();
    done(take(mine, 4, MSG_DONTWAIT), buf, -1);
    begin();
    done(take(mine, 4, MSG_DONTWAIT), buf, -1);
    close(mine);
    close(theirs);
}

PROBE(udp_refused) {
    struct sockaddr_in here, there;
    const int mine = udp(&here), theirs = udp(&there);
    close(theirs);
    must(connect(mine, (struct sockaddr*)&there, sizeof there), "connect");
    begin();
    done(send(mine, "x", 1, 0), NULL, -1);
    begin();
    done(recv(mine, buf, 10, 0), NULL, -1);
    begin();
    done(send(mine, "x", 1, 0), NULL, -1);
    begin();
    done(send(mine, "x", 1, 0), NULL, -1);
    close(mine);
}

PROBE(udp_wrong) {
    struct sockaddr_in here;
    const int mine = udp(&here);
    begin();
    done(send(mine, "x", 1, 0), NULL, -1);
    begin();
    done(sendto(mine, big, sizeof big, 0, (struct sockaddr*)&here, sizeof here), NULL, -1);
    begin();
    done(sendto(mine, "x", 1, 0, (struct sockaddr*)&here, 3), NULL, -1);
    begin();
    done(shutdown(mine, SHUT_RD), NULL, -1);
    close(mine);
}

PROBE(udp_shut_down_while_waiting) {
    struct sockaddr_in here;
    const int mine = udp(&here);
    must(connect(mine, (struct sockaddr*)&here, sizeof here), "connect");
    PEER { delay(60); shutdown(mine, SHUT_RD); }
    begin();
    done(recv(mine, buf, 10, 0), NULL, -1);
    close(mine);
}

static void pairs(int type) {
    const char* const kind = type == SOCK_DGRAM ? "dgram" : "seqpacket";
    int p[2], flags;
    must(socketpair(AF_UNIX, type, 0, p), "socketpair");
    label("unix_%s/blocks", kind);
    PEER { delay(60); put(p[1], "message one"); put(p[1], "two"); }
    begin();
    done(recv(p[0], buf, 7, 0), buf, flags_of(p[0]));
    begin();
    done(take_message(p[0], 100, 0, &flags), buf, flags);
    reap();
    label("unix_%s/full", kind);
    // The queue of a unix datagram socket holds so many messages, that of a seqpacket socket so many bytes.
    const int small = 8192;
    setsockopt(p[1], SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    int count = 0;
    while (raw(SYS_sendto, p[1], big, 1000, MSG_DONTWAIT, NULL, 0) > 0) ++count;
    fact("some_fit", count > 0);
    begin();
    done(send(p[1], "no", 2, MSG_DONTWAIT), NULL, -1);
    begin();
    done(sendmsg(p[1], &(struct msghdr){.msg_iov = &(struct iovec){big, 1000}, .msg_iovlen = 1}, MSG_DONTWAIT), NULL, -1);
    PEER { delay(60); for (int i = 0; i <= count; ++i) raw(SYS_recvfrom, p[0], buf, sizeof buf, 0, NULL, NULL); }
    begin();
    done(write(p[1], big, 1000), NULL, flags_of(p[1]));
    reap();
    label("unix_%s/closed", kind);
    PEER { delay(60); }
    close(p[1]);
    if (type == SOCK_SEQPACKET) {
        begin();
        done(read(p[0], buf, 100), NULL, -1);
    }
    reap();
    signal(SIGPIPE, SIG_IGN);
    begin();
    done(write(p[0], "x", 1), NULL, -1);
    close(p[0]);
}
PROBE(unix_dgram) { pairs(SOCK_DGRAM); }
PROBE(unix_seqpacket) { pairs(SOCK_SEQPACKET); }

PROBE(control_truncated) {
    int p[2];
    must(socketpair(AF_UNIX, SOCK_DGRAM, 0, p), "socketpair");
    char control[CMSG_SPACE(sizeof(int))];
    memset(control, 0, sizeof control);
    struct iovec part = {"x", 1}, into = {buf, 10};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr* head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(head), &p[0], sizeof(int));
    begin();
    done(sendmsg(p[1], &message, 0), NULL, -1);
    struct msghdr got = {.msg_iov = &into, .msg_iovlen = 1};
    begin();
    done(recvmsg(p[0], &got, 0), buf, got.msg_flags);
    close_pair(p);
}
