// SPDX-License-Identifier: Apache-2.0
// O_NONBLOCK is the program's: it sees just what it set, however it set it, and so does everybody else who holds the
// same open file description, also while a call blocks on it.
#include "probe.h"

#include <pty.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <termios.h>

static char buf[4096];
static volatile long* sightings;  // shared with the observer

// A child that looks at the flags of two descriptors as fast as it can, until told to stop.
static void observe(const int p[2], long ms) {
    sightings = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    PEER {
        struct timespec now, end;
        clock_gettime(CLOCK_MONOTONIC, &end);
        end.tv_nsec += ms * 1000000;
        end.tv_sec += end.tv_nsec / 1000000000;
        end.tv_nsec %= 1000000000;
        do {
            for (int i = 0; i < 2; ++i)
                if (p[i] >= 0 && raw(SYS_fcntl, p[i], F_GETFL) & O_NONBLOCK) ++sightings[0];
            ++sightings[1];
            clock_gettime(CLOCK_MONOTONIC, &now);
        } while (now.tv_sec < end.tv_sec || (now.tv_sec == end.tv_sec && now.tv_nsec < end.tv_nsec));
    }
}
static void observed(void) {
    reap();
    fact("looked", sightings[1] > 100);
    fact("seen_nonblocking", sightings[0]);
    munmap((void*)sightings, 4096);
}

PROBE(observed_reading) {
    for (int kind = 0; kind < media; ++kind) {
        int p[2];
        open_pair((enum medium)kind, p);
        label("observed_reading/%s", medium_name[kind]);
        observe(p, 80);
        PEER { for (int i = 0; i < 6; ++i) delay(10), put(p[1], "x"); }
        begin();
        long total = 0;
        while (total < 6) total += read(p[0], buf, 100);
        done(total, NULL, flags_of(p[0]));
        observed();
        close_pair(p);
    }
}

PROBE(observed_writing) {
    static char data[1 << 20];
    for (int kind = 0; kind < media; ++kind) {
        int p[2];
        open_pair((enum medium)kind, p);
        label("observed_writing/%s", medium_name[kind]);
        observe(p, 80);
        PEER { close(p[1]); for (int i = 0; i < 6; ++i) delay(10), drain(p[0], 100000); drain(p[0], 1L << 30); }
        begin();
        done(write(p[1], data, sizeof data), NULL, flags_of(p[1]));
        close(p[1]);
        p[1] = dup(p[0]);
        observed();
        close_pair(p);
    }
}

PROBE(observed_others) {
    int p[2] = {eventfd(0, 0), -1};
    uint64_t value;
    label("observed_others/eventfd");
    observe(p, 80);
    PEER { const uint64_t one = 1; delay(60); if (raw(SYS_write, p[0], &one, 8)) {} }
    begin();
    done(read(p[0], &value, 8), NULL, flags_of(p[0]));
    observed();
    close(p[0]);
    label("observed_others/poll");
    open_pair(on_pipe, p);
    observe(p, 80);
    struct pollfd one = {p[0], POLLIN, 0};
    begin();
    done(poll(&one, 1, 60), NULL, flags_of(p[0]));
    observed();
    close_pair(p);
    label("observed_others/udp");
    p[0] = socket(AF_INET, SOCK_DGRAM, 0);
    p[1] = -1;
    const struct timeval limit = {0, 60000};
    setsockopt(p[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    observe(p, 80);
    begin();
    done(recv(p[0], buf, 10, 0), NULL, flags_of(p[0]));
    observed();
    close(p[0]);
}

// A child at the other end of a pipeline watches its pipe while data is moved through it in every other way.
PROBE(observed_moving) {
    static char data[1 << 21]; // more than any of them takes at once
    char path[] = "/tmp/probe-observed-XXXXXX";
    const int file = must(mkstemp(path), "mkstemp");
    unlink(path);
    must((int)write(file, data, sizeof data), "write");
    for (int kind = 0; kind < media; ++kind) {
        int p[2], q[2];
        open_pair((enum medium)kind, p);
        must(pipe(q), "pipe");
        label("sendfile.blocks/observed_%s", medium_name[kind]);
        observe(p, 100);
        PEER { close(p[1]); for (int i = 0; i < 5; ++i) delay(10), drain(p[0], 30000); drain(p[0], 1L << 30); }
        off_t at = 0;
        long total = 0;
        begin();
        for (long n; (n = sendfile(p[1], file, &at, sizeof data)) > 0;) total += n;
        done(total, NULL, flags_of(p[1]));
        close(p[1]);
        p[1] = dup(p[0]);
        observed();
        close_pair(p);
        open_pair((enum medium)kind, p);
        label("splice.blocks/observed_%s", medium_name[kind]);
        const int both[2] = {p[0], q[1]};
        observe(both, 100);
        PEER { for (int i = 0; i < 6; ++i) delay(10), put(p[1], "x"); }
        begin();
        for (total = 0; total < 6;) total += splice(p[0], NULL, q[1], NULL, 100, 0);
        done(total, NULL, flags_of(p[0]) | flags_of(q[1]));
        observed();
        struct iovec part = {buf, 10};
        label("preadv2.blocks/observed_%s", medium_name[kind]);
        observe(p, 80);
        PEER { for (int i = 0; i < 4; ++i) delay(10), put(p[1], "x"); }
        begin();
        for (total = 0; total < 4;) total += preadv2(p[0], &part, 1, -1, 0);
        done(total, NULL, flags_of(p[0]));
        observed();
        close_pair(p);
        close_pair(q);
    }
    close(file);
    int p[2];
    must(socketpair(AF_UNIX, SOCK_DGRAM, 0, p), "socketpair");
    label("recvmmsg.blocks/observed");
    struct mmsghdr all[3];
    struct iovec parts[3];
    memset(all, 0, sizeof all);
    for (int i = 0; i < 3; ++i) {
        parts[i].iov_base = buf + i * 10;
        parts[i].iov_len = 10;
        all[i].msg_hdr.msg_iov = &parts[i];
        all[i].msg_hdr.msg_iovlen = 1;
    }
    observe(p, 80);
    PEER { for (int i = 0; i < 3; ++i) delay(15), put(p[1], "x"); }
    begin();
    done(recvmmsg(p[0], all, 3, 0, NULL), NULL, flags_of(p[0]));
    observed();
    close_pair(p);
}

// A terminal that is shared with others, who must not find it non-blocking: neither while it is read nor while it is written.
PROBE(observed_terminal) {
    int p[2];
    struct termios raw_settings;
    must(openpty(&p[0], &p[1], NULL, NULL, NULL), "openpty");
    label("read.blocks/observed_terminal");
    observe(p, 100);
    PEER { for (int i = 0; i < 4; ++i) delay(15), put(p[0], "line\n"); }
    begin();
    long total = 0;
    for (int i = 0; i < 4; ++i) total += read(p[1], buf, 100);
    done(total, NULL, flags_of(p[1]));
    observed();
    drain(p[0], 24); // the echo
    label("write.blocks/observed_terminal");
    tcgetattr(p[1], &raw_settings);
    cfmakeraw(&raw_settings);
    tcsetattr(p[1], TCSANOW, &raw_settings);
    static char data[30000];
    observe(p, 100);
    PEER {
        struct pollfd more = {p[0], POLLIN, 0};
        for (int i = 0; i < 4; ++i) delay(15), drain(p[0], 1000);
        while (raw(SYS_poll, &more, 1, 50) > 0) raw(SYS_read, p[0], data, sizeof data);
    }
    begin();
    done(write(p[1], data, sizeof data), NULL, flags_of(p[1]));
    observed();
    close_pair(p);
}

static void empty_and_full(const int p[2]) {
    begin();
    done(read(p[0], buf, 10), NULL, fcntl(p[0], F_GETFL) & O_NONBLOCK);
    put(p[1], "now");
    begin();
    done(read(p[0], buf, 10), buf, fcntl(p[0], F_GETFL) & O_NONBLOCK);
}

PROBE(ways_to_set_it) {
    int p[2], on = 1, off = 0;
    for (int kind = 0; kind < media; ++kind) {
        open_pair((enum medium)kind, p);
        label("ways_to_set_it/fcntl/%s", medium_name[kind]);
        begin();
        done(fcntl(p[0], F_SETFL, fcntl(p[0], F_GETFL) | O_NONBLOCK), NULL, fcntl(p[0], F_GETFL) & O_NONBLOCK);
        empty_and_full(p);
        label("ways_to_set_it/fcntl_cleared/%s", medium_name[kind]);
        fcntl(p[0], F_SETFL, fcntl(p[0], F_GETFL) & ~O_NONBLOCK);
        PEER { delay(60); put(p[1], "late"); }
        begin();
        done(read(p[0], buf, 10), buf, fcntl(p[0], F_GETFL) & O_NONBLOCK);
        reap();
        label("ways_to_set_it/ioctl/%s", medium_name[kind]);
        begin();
        done(ioctl(p[0], FIONBIO, &on), NULL, fcntl(p[0], F_GETFL) & O_NONBLOCK);
        empty_and_full(p);
        label("ways_to_set_it/ioctl_cleared/%s", medium_name[kind]);
        ioctl(p[0], FIONBIO, &off);
        PEER { delay(60); put(p[1], "late"); }
        begin();
        done(read(p[0], buf, 10), buf, fcntl(p[0], F_GETFL) & O_NONBLOCK);
        reap();
        label("ways_to_set_it/dup/%s", medium_name[kind]);
        const int other = dup(p[0]);
        fcntl(other, F_SETFL, O_NONBLOCK);
        empty_and_full(p);
        close(other);
        label("ways_to_set_it/child/%s", medium_name[kind]);
        fcntl(p[0], F_SETFL, 0);
        PEER { raw(SYS_fcntl, p[0], F_SETFL, O_NONBLOCK); }
        reap();
        empty_and_full(p);
        close_pair(p);
    }
    label("ways_to_set_it/pipe2");
    must(pipe2(p, O_NONBLOCK), "pipe2");
    empty_and_full(p);
    close_pair(p);
    label("ways_to_set_it/socketpair");
    must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p), "socketpair");
    empty_and_full(p);
    close_pair(p);
}

// Blocking again only for the calls made after the flag was cleared; one set while a call waits changes nothing for it.
PROBE(set_while_waiting) {
    int p[2];
    open_pair(on_unix, p);
    PEER { delay(40); raw(SYS_fcntl, p[0], F_SETFL, O_NONBLOCK); delay(40); put(p[1], "still"); }
    begin();
    done(read(p[0], buf, 10), buf, flags_of(p[0]));
    begin();
    done(read(p[0], buf, 10), buf, -1);
    close_pair(p);
}

PROBE(other_commands) {
    int p[2], count = -1;
    open_pair(on_unix, p);
    put(p[1], "12345");
    begin();
    done(ioctl(p[0], FIONREAD, &count), NULL, count);
    begin();
    done(fcntl(p[0], F_SETFD, FD_CLOEXEC), NULL, fcntl(p[0], F_GETFD));
    const int high = fcntl(p[0], F_DUPFD_CLOEXEC, 100);
    fact("dup_is_high", high >= 100 && high < 110);
    fact("dup_close_on_exec", fcntl(high, F_GETFD));
    begin();
    done(read(high, buf, 10), buf, -1);
    close(high);
    begin();
    done(fcntl(high, F_GETFL), NULL, -1);
    begin();
    done(fcntl(p[0], 9999), NULL, -1);
    begin();
    done(ioctl(p[0], 0x12345678, &count), NULL, -1);
    begin();
    done(ioctl(-1, FIONBIO, &count), NULL, -1);
    struct f_owner_ex owner = {F_OWNER_PID, getpid()}, got = {0, 0};
    begin();
    done(fcntl(p[0], F_SETOWN_EX, &owner), NULL, -1);
    begin();
    done(fcntl(p[0], F_GETOWN_EX, &got), NULL, got.pid == owner.pid);
    begin();
    done(fcntl(p[1], F_GETPIPE_SZ), NULL, -1);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    const int file = open("/tmp", O_TMPFILE | O_RDWR, 0600);
    begin();
    done(fcntl(file, F_SETLK, &lock), NULL, -1);
    begin();
    done(fcntl(file, F_SETFL, O_NONBLOCK | O_APPEND), NULL, flags_of(file));
    close(file);
    close_pair(p);
}
