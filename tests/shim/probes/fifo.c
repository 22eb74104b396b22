// SPDX-License-Identifier: Apache-2.0
// Opening a FIFO waits for its other end.
#include "probe.h"

#include <sys/stat.h>

static char directory[32], path[64];
static char buf[64];

static void make(void) {
    strcpy(directory, "/tmp/probe-fifo-XXXXXX");
    if (!mkdtemp(directory)) must(-1, "mkdtemp");
    snprintf(path, sizeof path, "%s/fifo", directory);
    must(mkfifo(path, 0600), "mkfifo");
}

static void gone(void) {
    unlink(path);
    rmdir(directory);
}

static int other_end(int flags) { return (int)raw(SYS_openat, AT_FDCWD, path, flags, 0); }

// The ways to open, each of which makes a new descriptor.
static int by_open(int flags) { return open(path, flags); }
static int by_open64(int flags) { return open64(path, flags); }
static int by_openat(int flags) { return openat(AT_FDCWD, path, flags); }
static int by_openat64(int flags) { return openat64(AT_FDCWD, path, flags); }
static int by_creat(int flags) { return flags == O_WRONLY ? creat(path, 0600) : open(path, flags); }
static int by_creat64(int flags) { return flags == O_WRONLY ? creat64(path, 0600) : open(path, flags); }
static const struct {
    const char* name;
    int (*open)(int);
} ways[] = {{"open", by_open}, {"open64", by_open64}, {"openat", by_openat}, {"openat64", by_openat64},
            {"creat", by_creat}, {"creat64", by_creat64}};

// Descriptor numbers differ from run to run only if something leaks: they are printed.
PROBE(waits) {
    make();
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; ++i) {
        label("%s.blocks", ways[i].name);
        PEER { delay(60); const int w = other_end(O_WRONLY); put(w, "from the writer"); }
        begin();
        int fd = ways[i].open(O_RDONLY);
        done(fd >= 0, NULL, flags_of(fd));
        begin();
        done(read(fd, buf, sizeof buf), buf, -1);
        reap();
        begin();
        done(read(fd, buf, sizeof buf), buf, -1);
        close(fd);
        PEER { delay(60); const int r = other_end(O_RDONLY); drain(r, 100); }
        begin();
        fd = ways[i].open(O_WRONLY);
        done(fd >= 0, NULL, flags_of(fd));
        begin();
        done(write(fd, "from here", 9), NULL, -1);
        close(fd);
        reap();
    }
    gone();
}

PROBE(at_once) {
    make();
    label("open.ready/both");
    begin();
    int fd = open(path, O_RDWR);
    done(fd >= 0, NULL, flags_of(fd));
    label("open.ready/other_is_there");
    begin();
    int other = open(path, O_WRONLY);
    done(other >= 0, NULL, flags_of(other));
    close(other);
    close(fd);
    label("open.nonblock");
    begin();
    fd = open(path, O_RDONLY | O_NONBLOCK);
    done(fd >= 0, NULL, flags_of(fd));
    close(fd);
    begin();
    done(open(path, O_WRONLY | O_NONBLOCK), NULL, -1);
    label("open.flags");
    begin();
    fd = open(path, O_PATH);
    done(fd >= 0, NULL, -1);
    close(fd);
    begin();
    done(open(path, O_RDONLY | O_DIRECTORY), NULL, -1);
    begin();
    done(open(path, O_RDONLY | O_CREAT | O_EXCL, 0600), NULL, -1);
    begin();
    done(open("/nowhere/at/all", O_RDONLY), NULL, -1);
    const char* volatile nowhere = NULL;
    begin();
    done(open(nowhere, O_RDONLY), NULL, -1);
    begin();
    done(openat(-5, "name", O_RDONLY), NULL, -1);
    char link[80];
    snprintf(link, sizeof link, "%s/link", directory);
    must(symlink(path, link), "symlink");
    begin();
    done(open(link, O_RDONLY | O_NOFOLLOW), NULL, -1);
    PEER { delay(60); close(other_end(O_WRONLY)); }
    label("open.blocks/link");
    begin();
    fd = open(link, O_RDONLY | O_CLOEXEC);
    done(fd >= 0, NULL, fcntl(fd, F_GETFD));
    close(fd);
    reap();
    unlink(link);
    gone();
}

PROBE(interrupted) {
    make();
    for (int flags = 0; flags <= 1; ++flags) {
        label("open.eintr/%s", flags ? "write" : "read");
        handle(SIGUSR1, 0);
        PEER { delay(60); poke(SIGUSR1); }
        begin();
        done(open(path, flags ? O_WRONLY : O_RDONLY), NULL, -1);
        fact("caught", caught);
        reap();
        label("open.restart/%s", flags ? "write" : "read");
        handle(SIGUSR1, SA_RESTART);
        PEER { delay(40); poke(SIGUSR1); delay(40); close(other_end(flags ? O_RDONLY : O_WRONLY)); }
        begin();
        const int fd = open(path, flags ? O_WRONLY : O_RDONLY);
        done(fd >= 0, NULL, -1);
        fact("caught", caught);
        close(fd);
        reap();
    }
    gone();
}

PROBE(in_a_child) {
    make();
    label("open.fork");
    const pid_t child = fork();
    if (child == 0) {
        const int fd = open(path, O_WRONLY);
        _exit(fd >= 0 && write(fd, "child", 5) == 5 ? 0 : 1);
    }
    delay(50);
    begin();
    const int fd = open(path, O_RDONLY);
    done(fd >= 0, NULL, -1);
    begin();
    done(read(fd, buf, sizeof buf), buf, -1);
    int status = -1;
    raw(SYS_wait4, child, &status, 0, NULL);
    fact("status", status);
    close(fd);
    gone();
}
