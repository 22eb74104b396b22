// SPDX-License-Identifier: Apache-2.0
// sendfile, splice, tee, vmsplice, copy_file_range, and reads and writes at an offset.
#include "probe.h"

#include <pty.h>
#include <sys/eventfd.h>
#include <sys/sendfile.h>

static char buf[1 << 20];
enum { file_size = 700000 };

/// A file whose bytes tell their place.
static int numbered_file(void) {
    char path[] = "/tmp/probe-numbers-XXXXXX";
    const int fd = must(mkstemp(path), "mkstemp");
    unlink(path);
    for (long i = 0; i < file_size; ++i) buf[i] = (char)(i * 7 + i / 251);
    if (raw(SYS_pwrite64, fd, buf, file_size, 0) != file_size) must(-1, "pwrite");
    return fd;
}

static int empty_file(void) {
    char path[] = "/tmp/probe-empty-XXXXXX";
    const int fd = must(mkstemp(path), "mkstemp");
    unlink(path);
    return fd;
}

/// In a peer: reads all there is and says by its exit status whether it was the file's bytes from `start` on.
static void check_and_exit(int fd, long start, long size) {
    long got = 0;
    static char in[65536];
    for (;;) {
        const long n = raw(SYS_read, fd, in, sizeof in);
        if (n <= 0) break;
        for (long i = 0; i < n; ++i, ++got)
            if (in[i] != (char)((start + got) * 7 + (start + got) / 251)) _exit(2);
    }
    _exit(got == size ? 0 : 1);
}

static void reap_checked(void) {
    int status = -1;
    raw(SYS_wait4, -1, &status, 0, NULL);
    fact("checked", status);
    reap();
}

PROBE(sendfile_) {
    const int file = numbered_file();
    for (int kind = 0; kind < media; ++kind) {
        const char* name = medium_name[kind];
        int p[2];
        off_t at = 1000;
        lseek(file, 0, SEEK_SET);
        open_pair((enum medium)kind, p);
        label("sendfile.ready/%s", name);
        begin();
        done(sendfile(p[1], file, &at, 20), NULL, flags_of(p[1]));
        fact("offset", at);
        fact("position", lseek(file, 0, SEEK_CUR));
        begin();
        done(read(p[0], buf, 100), buf, -1);
        begin();
        done(sendfile(p[1], file, NULL, 20), NULL, -1);
        fact("position", lseek(file, 0, SEEK_CUR));
        begin();
        done(read(p[0], buf, 100), buf, -1);
        label("sendfile.eof/%s", name);
        at = file_size - 5;
        begin();
        done(sendfile64(p[1], file, &at, 100), NULL, -1);
        fact("offset", at);
        begin();
        done(sendfile64(p[1], file, &at, 100), NULL, -1);
        at = file_size + 100;
        begin();
        done(sendfile64(p[1], file, &at, 100), NULL, -1);
        fact("offset", at);
        if (read(p[0], buf, 100)) {}
        label("sendfile.badfd/%s", name);
        at = -1;
        begin();
        done(sendfile(p[1], file, &at, 100), NULL, -1);
        begin();
        done(sendfile(p[1], file, NULL, 0), NULL, -1);
        begin();
        done(sendfile(p[1], -1, NULL, 10), NULL, -1);
        begin();
        done(sendfile(-1, file, NULL, 10), NULL, -1);
        if (kind != on_pipe) {
            begin();
            done(sendfile(p[1], p[0], NULL, 10), NULL, -1);
        }
        close_pair(p);

        // To a slow reader: all of it, in as many calls as it takes.
        open_pair((enum medium)kind, p);
        label("sendfile.blocks/%s", name);
        PEER { close(p[1]); delay(60); check_and_exit(p[0], 0, file_size); }
        close(p[0]);
        lseek(file, 0, SEEK_SET);
        begin();
        long total = 0, n;
        while ((n = sendfile(p[1], file, NULL, 1 << 20)) > 0) total += n;
        done(total, NULL, flags_of(p[1]));
        fact("position", lseek(file, 0, SEEK_CUR));
        close(p[1]);
        reap_checked();

        open_pair((enum medium)kind, p);
        label("sendfile.nonblock/%s", name);
        fcntl(p[1], F_SETFL, O_NONBLOCK);
        at = 0;
        begin();
        n = sendfile(p[1], file, &at, file_size);
        done(n > 0 && n < file_size, NULL, flags_of(p[1]));
        fact("exact", at == n);
        while (sendfile(p[1], file, &at, file_size) > 0) {}
        begin();
        done(sendfile(p[1], file, &at, file_size), NULL, -1);
        close_pair(p);

        for (int flags = 0; flags <= SA_RESTART; flags += SA_RESTART) {
            open_pair((enum medium)kind, p);
            label("sendfile.%s/%s", flags ? "restart" : "eintr", name);
            fill(p[1], (enum medium)kind);
            handle(SIGUSR1, flags);
            PEER { close(p[1]); delay(50); poke(SIGUSR1); delay(50); drain(p[0], 1 << 20); }
            at = 0;
            begin();
            n = sendfile(p[1], file, &at, 100);
            done(n, NULL, -1);
            fact("caught", caught);
            fact("exact", at == (n > 0 ? n : 0));
            close_pair(p);
            reap();
        }

        open_pair((enum medium)kind, p);
        label("sendfile.reset/%s", name);
        handle(SIGPIPE, 0);
        close(p[0]);
        if (kind == on_tcp) delay(20), put(p[1], "x"), delay(20);
        begin();
        done(sendfile(p[1], file, NULL, 100), NULL, -1);
        fact("sigpipe", caught);
        signal(SIGPIPE, SIG_IGN);
        begin();
        done(sendfile(p[1], file, NULL, 100), NULL, -1);
        signal(SIGPIPE, SIG_DFL);
        close(p[1]);
        if (kind == on_pipe) continue;

        open_pair((enum medium)kind, p);
        label("sendfile.timeout/%s", name);
        const struct timeval limit = {0, 60000};
        setsockopt(p[1], SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
        fill(p[1], (enum medium)kind);
        begin();
        done(sendfile(p[1], file, NULL, 100), NULL, -1);
        close_pair(p);
    }
    label("sendfile.ready/file");
    const int other = empty_file();
    off_t at = 0;
    begin();
    done(sendfile(other, file, &at, 300000), NULL, -1);
    begin();
    done(sendfile(other, file, &at, 10), NULL, -1);
    fact("position", lseek(other, 0, SEEK_CUR));
    int p[2], master, slave;
    must(socketpair(AF_UNIX, SOCK_DGRAM, 0, p), "socketpair");
    label("sendfile.ready/datagram");
    at = 0;
    begin();
    done(sendfile(p[1], file, &at, 100), NULL, -1);
    begin();
    done(recv(p[0], buf, 1000, 0), NULL, -1);
    close_pair(p);
    must(openpty(&master, &slave, NULL, NULL, NULL), "openpty");
    label("sendfile.ready/terminal");
    lseek(other, 0, SEEK_SET);
    if (raw(SYS_pwrite64, other, "to the terminal", 15, 0)) {}
    at = 0;
    begin();
    done(sendfile(slave, other, &at, 15), NULL, -1);
    begin();
    done(read(master, buf, 100), buf, -1);
    close(master);
    close(slave);
    close(other);
    close(file);
}

PROBE(splice_) {
    const int file = numbered_file();
    for (int kind = 0; kind < media; ++kind) {
        const char* name = medium_name[kind];
        int from[2], pipe_[2];
        open_pair((enum medium)kind, from);
        must(pipe(pipe_), "pipe");
        // Into a pipe.
        label("splice.ready/from_%s", name);
        put(from[1], "some bytes");
        begin();
        done(splice(from[0], NULL, pipe_[1], NULL, 100, 0), NULL, flags_of(from[0]) | flags_of(pipe_[1]));
        begin();
        done(read(pipe_[0], buf, 100), buf, -1);
        label("splice.blocks/from_%s", name);
        PEER { delay(60); put(from[1], "late bytes"); }
        begin();
        done(splice(from[0], NULL, pipe_[1], NULL, 100, 0), NULL, -1);
        reap();
        begin();
        done(read(pipe_[0], buf, 100), buf, -1);
        label("splice.blocks/full_%s", name);
        fill(pipe_[1], on_pipe);
        put(from[1], "more");
        PEER { delay(60); drain(pipe_[0], 65536); }
        begin();
        done(splice(from[0], NULL, pipe_[1], NULL, 100, 0), NULL, -1);
        reap();
        begin();
        done(read(pipe_[0], buf, 100), buf, -1);
        label("splice.nonblock/from_%s", name);
        if (kind == on_pipe) {
            begin();
            done(splice(from[0], NULL, pipe_[1], NULL, 100, SPLICE_F_NONBLOCK), NULL, -1);
        }
        fcntl(from[0], F_SETFL, O_NONBLOCK);
        begin();
        done(splice(from[0], NULL, pipe_[1], NULL, 100, 0), NULL, -1);
        fcntl(from[0], F_SETFL, 0);
        for (int flags = 0; flags <= SA_RESTART; flags += SA_RESTART) {
            label("splice.%s/from_%s", flags ? "restart" : "eintr", name);
            handle(SIGUSR1, flags);
            PEER { delay(50); poke(SIGUSR1); delay(50); put(from[1], "x"); }
            begin();
            done(splice(from[0], NULL, pipe_[1], NULL, 100, 0), NULL, -1);
            reap();
            if (!flags) splice(from[0], NULL, pipe_[1], NULL, 100, 0);
            if (read(pipe_[0], buf, 100)) {}
        }
        if (kind != on_pipe) {
            const struct timeval limit = {0, 60000}, none = {0, 0};
            label("splice.timeout/from_%s", name);
            setsockopt(from[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
            begin();
            done(splice(from[0], NULL, pipe_[1], NULL, 100, 0), NULL, -1);
            setsockopt(from[0], SOL_SOCKET, SO_RCVTIMEO, &none, sizeof none);
        }
        label("splice.eof/from_%s", name);
        close(from[1]);
        begin();
        done(splice(from[0], NULL, pipe_[1], NULL, 100, 0), NULL, -1);
        close(from[0]);
        close_pair(pipe_);

        // Out of a pipe.
        open_pair((enum medium)kind, from);
        must(pipe(pipe_), "pipe");
        label("splice.blocks/to_%s", name);
        PEER { delay(60); put(pipe_[1], "through it"); }
        begin();
        done(splice(pipe_[0], NULL, from[1], NULL, 100, 0), NULL, flags_of(from[1]) | flags_of(pipe_[0]));
        reap();
        begin();
        done(read(from[0], buf, 100), buf, -1);
        label("splice.nonblock/to_%s", name);
        begin();
        done(splice(pipe_[0], NULL, from[1], NULL, 100, SPLICE_F_NONBLOCK), NULL, -1);
        label("splice.blocks/to_full_%s", name);
        const long filled = fill(from[1], (enum medium)kind);
        put(pipe_[1], "pushed");
        PEER { delay(60); drain(from[0], filled); }
        begin();
        done(splice(pipe_[0], NULL, from[1], NULL, 100, 0), NULL, -1);
        reap();
        begin();
        done(read(from[0], buf, 100), buf, -1);
        label("splice.reset/to_%s", name);
        close(from[0]);
        if (kind == on_tcp) delay(20), put(from[1], "x"), delay(20);
        put(pipe_[1], "to nobody");
        handle(SIGPIPE, 0);
        begin();
        done(splice(pipe_[0], NULL, from[1], NULL, 100, 0), NULL, -1);
        fact("sigpipe", caught);
        signal(SIGPIPE, SIG_DFL);
        label("splice.eof/to_%s", name);
        close_pair(pipe_);
        close(from[1]);
        open_pair((enum medium)kind, from);
        must(pipe(pipe_), "pipe");
        close(pipe_[1]);
        begin();
        done(splice(pipe_[0], NULL, from[1], NULL, 100, 0), NULL, -1);
        close(pipe_[0]);
        close_pair(from);
    }
    int p[2];
    loff_t at = 100, to = 5;
    must(pipe(p), "pipe");
    label("splice.ready/file");
    begin();
    done(splice(file, &at, p[1], NULL, 30, 0), NULL, at);
    const int other = empty_file();
    begin();
    done(splice(p[0], NULL, other, &to, 100, 0), NULL, to);
    begin();
    done(splice(file, NULL, p[1], NULL, file_size, 0), NULL, lseek(file, 0, SEEK_CUR));
    begin();
    done(splice(file, NULL, p[1], NULL, 10, SPLICE_F_NONBLOCK), NULL, -1);
    PEER { delay(60); drain(p[0], 65536); }
    label("splice.blocks/file");
    begin();
    done(splice(file, NULL, p[1], NULL, 10, 0), NULL, -1);
    reap();
    label("splice.badfd");
    begin();
    done(splice(file, NULL, other, NULL, 10, 0), NULL, -1);
    begin();
    done(splice(-1, NULL, p[1], NULL, 10, 0), NULL, -1);
    begin();
    done(splice(p[0], &at, p[1], NULL, 10, 0), NULL, -1);
    begin();
    done(splice(p[0], NULL, p[1], NULL, 10, 0), NULL, -1);
    begin();
    done(splice(p[0], NULL, other, NULL, 10, 1 << 20), NULL, -1);
    label("splice.nonblock/pipes");
    int q[2];
    must(pipe2(q, O_NONBLOCK), "pipe2");
    drain(p[0], 10);
    begin();
    done(splice(p[0], NULL, q[1], NULL, 10, 0), NULL, -1);
    begin();
    done(splice(q[0], NULL, p[1], NULL, 10, 0), NULL, -1);
    begin();
    done(splice(q[0], NULL, other, NULL, 10, 0), NULL, -1);
    while (splice(file, NULL, q[1], NULL, 65536, 0) > 0) {}
    begin();
    done(splice(file, NULL, q[1], NULL, 65536, 0), NULL, -1);
    close_pair(q);
    close_pair(p);
    close(other);
    close(file);
}

PROBE(pipes) {
    int p[2], q[2];
    must(pipe(p), "pipe");
    must(pipe(q), "pipe");
    label("tee.blocks");
    PEER { delay(60); put(p[1], "both see it"); }
    begin();
    done(tee(p[0], q[1], 100, 0), NULL, flags_of(p[0]));
    reap();
    begin();
    done(read(p[0], buf, 100), buf, -1);
    begin();
    done(read(q[0], buf, 100), buf, -1);
    label("tee.nonblock");
    begin();
    done(tee(p[0], q[1], 100, SPLICE_F_NONBLOCK), NULL, -1);
    label("tee.blocks/full");
    fill(q[1], on_pipe);
    put(p[1], "x");
    PEER { delay(60); drain(q[0], 65536); }
    begin();
    done(tee(p[0], q[1], 100, 0), NULL, -1);
    reap();
    drain(p[0], 1);
    drain(q[0], 1);
    label("tee.eintr");
    handle(SIGUSR1, 0);
    PEER { delay(50); poke(SIGUSR1); }
    begin();
    done(tee(p[0], q[1], 100, 0), NULL, -1);
    reap();
    label("tee.restart");
    handle(SIGUSR1, SA_RESTART);
    PEER { delay(40); poke(SIGUSR1); delay(30); put(p[1], "x"); }
    begin();
    done(tee(p[0], q[1], 100, 0), NULL, -1);
    reap();
    drain(p[0], 1);
    label("tee.badfd");
    begin();
    done(tee(p[0], p[1], 100, 0), NULL, -1);
    begin();
    done(tee(-1, p[1], 100, 0), NULL, -1);
    label("tee.eof");
    close(p[1]);
    begin();
    done(tee(p[0], q[1], 100, 0), NULL, -1);
    close(p[0]);
    close_pair(q);

    must(pipe(p), "pipe");
    struct iovec parts[2] = {{"first ", 6}, {"second", 6}};
    label("vmsplice.ready");
    begin();
    done(vmsplice(p[1], parts, 2, 0), NULL, flags_of(p[1]));
    begin();
    done(read(p[0], buf, 100), buf, -1);
    label("vmsplice.blocks");
    fill(p[1], on_pipe);
    PEER { delay(60); drain(p[0], 65536); }
    begin();
    done(vmsplice(p[1], parts, 2, 0), NULL, -1);
    reap();
    drain(p[0], 12);
    label("vmsplice.blocks/reading");
    struct iovec into = {buf, 100};
    PEER { delay(60); put(p[1], "to memory"); }
    begin();
    done(vmsplice(p[0], &into, 1, 0), buf, -1);
    reap();
    label("vmsplice.nonblock");
    begin();
    done(vmsplice(p[0], &into, 1, SPLICE_F_NONBLOCK), NULL, -1);
    fill(p[1], on_pipe);
    begin();
    done(vmsplice(p[1], parts, 2, SPLICE_F_NONBLOCK), NULL, -1);
    fcntl(p[1], F_SETFL, O_NONBLOCK); // it knows its own flag only
    PEER { delay(60); drain(p[0], 65536); }
    begin();
    done(vmsplice(p[1], parts, 2, 0), NULL, -1);
    reap();
    label("vmsplice.reset");
    close(p[0]);
    handle(SIGPIPE, 0);
    begin();
    done(vmsplice(p[1], parts, 2, 0), NULL, -1);
    fact("sigpipe", caught);
    signal(SIGPIPE, SIG_DFL);
    label("vmsplice.badfd");
    begin();
    done(vmsplice(-1, parts, 2, 0), NULL, -1);
    close(p[1]);
}

PROBE(copies) {
    const int file = numbered_file(), other = empty_file();
    int p[2];
    loff_t from = 10, to = 0;
    label("copy_file_range.ready");
    begin();
    done(copy_file_range(file, &from, other, &to, 300000, 0), NULL, from);
    begin();
    done(copy_file_range(file, &from, other, NULL, 100, 0), NULL, lseek(other, 0, SEEK_CUR));
    label("copy_file_range.eof");
    from = file_size;
    begin();
    done(copy_file_range(file, &from, other, NULL, 100, 0), NULL, -1);
    label("copy_file_range.badfd");
    must(pipe(p), "pipe");
    begin();
    done(copy_file_range(file, NULL, p[1], NULL, 100, 0), NULL, -1);
    begin();
    done(copy_file_range(file, NULL, -1, NULL, 100, 0), NULL, -1);
    begin();
    done(copy_file_range(file, NULL, other, NULL, 100, 5), NULL, -1);
    close_pair(p);
    close(file);
    close(other);
}

PROBE(at_offsets) {
    const int file = empty_file();
    struct iovec out[2] = {{"0123", 4}, {"456789", 6}}, in[2] = {{buf, 3}, {buf + 3, 4}};
    label("pwrite.ready");
    begin();
    done(pwrite(file, "abcdef", 6, 100), NULL, lseek(file, 0, SEEK_CUR));
    label("pwrite64.ready");
    begin();
    done(pwrite64(file, "abcdef", 6, 106), NULL, -1);
    label("pread.ready");
    begin();
    done(pread(file, buf, 8, 102), buf, lseek(file, 0, SEEK_CUR));
    label("pread64.ready");
    begin();
    done(pread64(file, buf, 80, 110), buf, -1);
    label("pwritev.ready");
    begin();
    done(pwritev(file, out, 2, 0), NULL, -1);
    label("pwritev64.ready");
    begin();
    done(pwritev64(file, out, 2, 0), NULL, -1);
    label("preadv.ready");
    begin();
    done(preadv(file, in, 2, 2), buf, -1);
    label("preadv64.ready");
    begin();
    done(preadv64(file, in, 2, 3), buf, -1);
    label("pwritev2.ready");
    begin();
    done(pwritev2(file, out, 2, -1, 0), NULL, lseek(file, 0, SEEK_CUR));
    begin();
    done(pwritev2(file, out, 2, 0, RWF_APPEND), NULL, lseek(file, 0, SEEK_END));
    label("preadv2.ready");
    begin();
    done(preadv2(file, in, 2, 1, 0), buf, -1);
    label("preadv.badfd");
    begin();
    done(preadv(file, in, 2, -1), NULL, -1);
    begin();
    done(preadv(-1, in, 2, 0), NULL, -1);
    begin();
    done(preadv2(file, in, 2, 0, 1 << 20), NULL, -1);
    close(file);
    for (int kind = 0; kind < media; ++kind) {
        const char* name = medium_name[kind];
        int p[2];
        open_pair((enum medium)kind, p);
        label("pread.badfd/%s", name);
        put(p[1], "here");
        begin();
        done(pread(p[0], buf, 8, 0), NULL, -1);
        begin();
        done(pread(p[0], buf, 8, -1), NULL, -1);
        begin();
        done(pread(p[0], buf, 0, 0), NULL, -1);
        label("pwrite.badfd/%s", name);
        begin();
        done(pwrite(p[1], buf, 8, 0), NULL, -1);
        label("preadv2.ready/%s", name);
        begin();
        done(preadv2(p[0], in, 2, -1, 0), buf, -1);
        begin();
        done(preadv2(p[0], in, 2, 5, 0), NULL, -1);
        label("preadv2.blocks/%s", name);
        PEER { delay(60); put(p[1], "late"); }
        begin();
        done(preadv2(p[0], in, 2, -1, 0), buf, flags_of(p[0]));
        reap();
        PEER { delay(60); put(p[1], "hi"); }
        begin();
        done(preadv2(p[0], in, 2, -1, RWF_HIPRI), buf, -1);
        reap();
        label("preadv2.nonblock/%s", name);
        begin();
        done(preadv2(p[0], in, 2, -1, RWF_NOWAIT), NULL, -1);
        label("pwritev2.blocks/%s", name);
        const long filled = fill(p[1], (enum medium)kind);
        PEER { delay(60); drain(p[0], filled); }
        begin();
        done(pwritev2(p[1], out, 2, -1, 0), NULL, flags_of(p[1]));
        reap();
        begin();
        done(read(p[0], buf, 100), buf, -1);
        close_pair(p);
    }
    // Some descriptors take an offset and ignore it.
    uint64_t value = 0;
    label("pread.blocks/eventfd");
    const int event = eventfd(0, 0);
    PEER { delay(60); const uint64_t three = 3; if (raw(SYS_write, event, &three, 8)) {} }
    begin();
    done(pread(event, &value, sizeof value, 0), NULL, (long)value);
    close(event);
}
