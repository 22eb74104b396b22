// SPDX-License-Identifier: Apache-2.0
// read, readv, recv, recvfrom, recvmsg on pipes, unix and TCP sockets: ready, blocked, end of file, reset, non-blocking.
#include "probe.h"

static char buf[4096];

#define NOINLINE __attribute__((noinline))
// `n` is unknown to the compiler, so a fortified build calls __read_chk and its kin.
NOINLINE static ssize_t by_read(int fd, size_t n) { return read(fd, buf, n); }
NOINLINE static ssize_t by_recv(int fd, size_t n) { return recv(fd, buf, n, 0); }
NOINLINE static ssize_t by_recvfrom(int fd, size_t n) { return recvfrom(fd, buf, n, 0, NULL, NULL); }
NOINLINE static ssize_t by_readv(int fd, size_t n) {
    struct iovec parts[3] = {{buf, n > 2 ? 2 : n}, {buf + 2, 0}, {buf + 2, n > 2 ? n - 2 : 0}};
    return readv(fd, parts, 3);
}
static int message_flags;
NOINLINE static ssize_t by_recvmsg(int fd, size_t n) {
    struct iovec parts[2] = {{buf, n > 2 ? 2 : n}, {buf + 2, n > 2 ? n - 2 : 0}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2, .msg_flags = 0x55};
    const ssize_t got = recvmsg(fd, &message, 0);
    message_flags = got < 0 ? -1 : message.msg_flags;
    return got;
}

static const struct { const char* name; ssize_t (*take)(int, size_t); int on_pipes; } receivers[] = {
    {"read", by_read, 1}, {"readv", by_readv, 1}, {"recv", by_recv, 0}, {"recvfrom", by_recvfrom, 0},
    {"recvmsg", by_recvmsg, 0}};
enum { receiver_count = sizeof receivers / sizeof *receivers };

// A case that runs for every call on every medium the call works on: `take` is the call, `kind` the medium.
#define FOR_EACH_RECEIVER(case_name)                                                                \
    static void one_##case_name(ssize_t (*take)(int, size_t), enum medium kind);                    \
    PROBE(case_name) {                                                                              \
        for (int i = 0; i < receiver_count; ++i)                                                    \
            for (int kind = receivers[i].on_pipes ? on_pipe : on_unix; kind < media; ++kind) {      \
                label("%s/%s/%s", receivers[i].name, medium_name[kind], #case_name);                \
                one_##case_name(receivers[i].take, (enum medium)kind);                              \
                reap();                                                                             \
            }                                                                                       \
    }                                                                                               \
    static void one_##case_name(ssize_t (*take)(int, size_t), enum medium kind)

FOR_EACH_RECEIVER(ready) {
    int p[2];
    open_pair(kind, p);
    put(p[1], "hello, world");
    begin();
    done(take(p[0], 5), buf, -1);
    begin();
    done(take(p[0], 4096), buf, flags_of(p[0]));
    close_pair(p);
}

FOR_EACH_RECEIVER(blocks) {
    int p[2];
    open_pair(kind, p);
    PEER { delay(60); put(p[1], "late"); }
    begin();
    done(take(p[0], 100), buf, flags_of(p[0]));
    close_pair(p);
}

// The second call must wait although the first one found data.
FOR_EACH_RECEIVER(twice) {
    int p[2];
    open_pair(kind, p);
    PEER { put(p[1], "one"); delay(60); put(p[1], "two"); }
    begin();
    done(take(p[0], 3), buf, -1);
    begin();
    done(take(p[0], 100), buf, -1);
    close_pair(p);
}

FOR_EACH_RECEIVER(end_of_file) {
    int p[2];
    open_pair(kind, p);
    PEER { delay(60); }
    close(p[1]);
    begin();
    done(take(p[0], 100), buf, -1);
    begin();
    done(take(p[0], 100), buf, -1);
    close(p[0]);
}

FOR_EACH_RECEIVER(reset) {
    if (kind == on_pipe) return;
    int p[2];
    open_pair(kind, p);
    // A unix socket is reset by closing it with unread data, a TCP socket by closing it with no linger time.
    if (kind == on_unix) put(p[0], "unread");
    const struct linger at_once = {1, 0};
    if (kind == on_tcp) setsockopt(p[1], SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    PEER { close(p[0]); delay(60); }
    close(p[1]);
    begin();
    done(take(p[0], 100), buf, -1);
    begin();
    done(take(p[0], 100), buf, -1);
    close(p[0]);
}

FOR_EACH_RECEIVER(nonblocking) {
    int p[2];
    open_pair(kind, p);
    fcntl(p[0], F_SETFL, fcntl(p[0], F_GETFL) | O_NONBLOCK);
    begin();
    done(take(p[0], 100), buf, flags_of(p[0]));
    put(p[1], "now");
    begin();
    done(take(p[0], 100), buf, flags_of(p[0]));
    close(p[1]);
    begin();
    done(take(p[0], 100), buf, flags_of(p[0]));
    close(p[0]);
}

FOR_EACH_RECEIVER(zero_length) {
    int p[2];
    open_pair(kind, p);
    if (take == by_read || take == by_readv || kind == on_pipe) {
        begin();
        done(take(p[0], 0), buf, -1);
    }
    put(p[1], "x");
    begin();
    done(take(p[0], 0), buf, -1);
    close_pair(p);
}

FOR_EACH_RECEIVER(bad_descriptor) {
    begin();
    done(take(-1, 10), buf, -1);
    begin();
    done(take(987, 10), buf, -1);
    int p[2];
    open_pair(kind, p);
    close_pair(p);
    begin();
    done(take(p[0], 10), buf, -1);
}

PROBE(wrong_kind) {
    int p[2];
    must(pipe(p), "pipe");
    for (int i = 0; i < receiver_count; ++i) {
        label("%s/wrong_kind", receivers[i].name);
        begin();
        done(receivers[i].take(receivers[i].on_pipes ? p[1] : p[0], 10), buf, -1);
    }
    close_pair(p);
    label("read/directory");
    const int directory = open("/", O_RDONLY);
    begin();
    done(by_read(directory, 10), buf, -1);
    close(directory);
}

PROBE(bad_memory) {
    int p[2];
    open_pair(on_unix, p);
    put(p[1], "data");
    char* volatile nowhere = (char*)16;
    volatile size_t size = 10;
    volatile int few = -1, many = 1025;
    begin();
    done(read(p[0], nowhere, size), NULL, -1);
    begin();
    done(recv(p[0], nowhere, size, 0), NULL, -1);
    begin();
    done(readv(p[0], (struct iovec*)nowhere, 1), NULL, -1);
    struct iovec part = {buf, 10};
    begin();
    done(readv(p[0], &part, few), NULL, -1);
    begin();
    done(readv(p[0], &part, many), NULL, -1);
    struct iovec huge[2] = {{buf, SIZE_MAX / 2}, {buf, SIZE_MAX / 2}};
    begin();
    done(readv(p[0], huge, 2), NULL, -1);
    begin();
    done(recvmsg(p[0], (struct msghdr*)nowhere, 0), NULL, -1);
    begin();
    done(by_read(p[0], 10), buf, -1);
    close_pair(p);
}

PROBE(large_iovec) {
    int p[2];
    open_pair(on_unix, p);
    struct iovec parts[1024];
    for (int i = 0; i < 1024; ++i) parts[i] = (struct iovec){buf + i, 1};
    PEER { delay(60); put(p[1], "one byte in each of many parts"); }
    begin();
    done(readv(p[0], parts, 1024), buf, -1);
    close_pair(p);
}

PROBE(recvmsg_flags) {
    int p[2];
    open_pair(on_tcp, p);
    PEER { delay(60); put(p[1], "m"); }
    begin();
    done(by_recvmsg(p[0], 10), buf, message_flags);
    fact("message_flags", message_flags);
    close_pair(p);
}
