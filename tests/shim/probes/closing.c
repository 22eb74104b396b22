// SPDX-License-Identifier: Apache-2.0
// Programs that close everything they do not know, and go on.
#include "probe.h"

#include <dirent.h>
#include <sys/eventfd.h>
#include <sys/resource.h>

static char buf[64];

// As done, in a child, where no other fiber counts.
static void outcome(long result, const char* bytes) {
    const int error = errno;
    probe_line(result, error, bytes, bytes && result > 0 ? result : 0, since_start() >= 35, -1);
}

// That calls still wait and end as they should, on new descriptors.
static void still_works(void) {
    for (int kind = 0; kind < media; ++kind) {
        int p[2];
        open_pair((enum medium)kind, p);
        PEER { delay(40); put(p[1], "late"); }
        begin();
        outcome(read(p[0], buf, sizeof buf), buf);
        struct pollfd one = {p[0], POLLIN, 0};
        begin();
        outcome(poll(&one, 1, 40), NULL);
        close_pair(p);
        reap();
    }
    begin();
    outcome(usleep(40000), NULL);
}

static int in_use(int fd) { return fcntl(fd, F_GETFD) >= 0; }

/// The program of a daemon closes its descriptors in a child of its own, so that the probe's are not lost.
static void in_child(void (*close_all)(void), const char* name) {
    label("%s.ready", name);
    int a[2], kept[2];
    must(pipe(a), "pipe");
    must(pipe(kept), "pipe");
    begin();
    if (read(kept[0], buf, 0)) {}  // something was done before
    done(0, NULL, -1);
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        close_all();
        label("%s.fork", name);
        fact("closed", !in_use(a[0]) && !in_use(a[1]));
        fact("standard", in_use(0) + in_use(1) + in_use(2));
        still_works();
        fflush(stdout);
        _exit(0);
    }
    int status = -1;
    raw(SYS_wait4, child, &status, 0, NULL);
    fact("status", status);
    close_pair(a);
    close_pair(kept);
}

static void by_loop(void) {
    for (int fd = 3; fd < 65536; ++fd) close(fd);
}
static void by_closefrom(void) { closefrom(3); }
static void by_range(void) { close_range(3, ~0U, 0); }
static void by_unshared_range(void) { close_range(3, ~0U, CLOSE_RANGE_UNSHARE); }
static void by_directory(void) {
    DIR* all = opendir("/proc/self/fd");
    struct dirent* one;
    while (all && (one = readdir(all)))
        if (atoi(one->d_name) > 2 && atoi(one->d_name) != dirfd(all)) close(atoi(one->d_name));
    closedir(all);
}
static void twice(void) {
    by_range();
    by_range();
    by_loop();
}

PROBE(everything) {
    in_child(by_loop, "close");
    in_child(by_closefrom, "closefrom");
    in_child(by_range, "close_range");
    in_child(by_unshared_range, "close_range.unshare");
    in_child(by_directory, "close.directory");
    in_child(twice, "close.twice");
}

// Here, among what is in use.
PROBE(here) {
    int p[2], q[2];
    must(pipe(p), "pipe");
    const int base = fcntl(p[0], F_DUPFD, 200);
    fact("base", base);
    must(fcntl(p[1], F_DUPFD, 205), "dup");
    must(fcntl(p[1], F_DUPFD, 210), "dup");
    label("close_range.ready/some");
    begin();
    done(close_range(201, 207, 0), NULL, -1);
    fact("left", in_use(200) + 2 * in_use(205) + 4 * in_use(210));
    label("close_range.flags");
    begin();
    done(close_range(200, 300, CLOSE_RANGE_CLOEXEC), NULL, -1);
    fact("marked", fcntl(200, F_GETFD) + 2 * fcntl(210, F_GETFD));
    begin();
    done(close_range(210, 200, 0), NULL, -1);
    begin();
    done(close_range(200, 210, 1 << 10), NULL, -1);
    fact("left", in_use(200) + 4 * in_use(210));
    begin();
    done(close_range(200, 210, CLOSE_RANGE_UNSHARE), NULL, -1);
    fact("left", in_use(200) + 4 * in_use(210));
    label("closefrom.ready/here");
    must(fcntl(p[1], F_DUPFD, 205), "dup");
    begin();
    closefrom(200);
    done(0, NULL, -1);
    fact("left", in_use(205));
    label("close.badfd");
    begin();
    done(close(205), NULL, -1);
    begin();
    done(close(-1), NULL, -1);
    begin();
    done(close(1 << 30), NULL, -1);
    // A number begins again as something else.
    label("close.ready/again");
    must(pipe(q), "pipe");
    PEER { delay(40); put(q[1], "x"); }
    begin();
    done(read(q[0], buf, 10), buf, -1);
    reap();
    const int number = q[0];
    close_range((unsigned)number, (unsigned)number, 0);
    const int event = eventfd(0, 0);
    fact("same", event == number);
    PEER { delay(40); const uint64_t one = 1; if (raw(SYS_write, event, &one, sizeof one)) {} }
    begin();
    done(read(event, buf, 8), NULL, buf[0]);
    reap();
    close(event);
    close(q[1]);
    close_pair(p);
}

PROBE(duplicates) {
    int p[2];
    open_pair(on_unix, p);
    label("dup2.ready");
    begin();
    done(dup2(p[0], 150), NULL, -1);
    begin();
    done(dup2(150, 150), NULL, -1);
    begin();
    done(dup3(150, 150, 0), NULL, -1);
    begin();
    done(dup2(-1, 150), NULL, -1);
    PEER { delay(40); put(p[1], "through 150"); }
    begin();
    done(read(150, buf, sizeof buf), buf, flags_of(150));
    reap();
    close(150);
    label("dup3.flags");
    begin();
    done(dup3(p[0], 150, O_CLOEXEC), NULL, fcntl(150, F_GETFD));
    begin();
    done(dup3(p[0], 151, 0x77), NULL, -1);
    close(150);
    label("fcntl.flags/dupfd");
    begin();
    done(fcntl(p[0], F_DUPFD, 160), NULL, fcntl(160, F_GETFD));
    close(160);
    begin();
    done(fcntl(p[0], F_DUPFD_CLOEXEC, 160), NULL, fcntl(160, F_GETFD));
    close(160);
    begin();
    done(fcntl(p[0], F_DUPFD, -1), NULL, -1);
    close_pair(p);
    must(pipe(p), "pipe");
    label("fcntl.flags/pipe_size");
    begin();
    done(fcntl(p[0], F_SETPIPE_SZ, 4096), NULL, fcntl(p[1], F_GETPIPE_SZ));
    begin();
    done(fcntl(p[0], F_GETPIPE_SZ), NULL, -1);
    static char data[10000];
    PEER { close(p[1]); delay(40); drain(p[0], 1 << 20); }
    begin();
    done(write(p[1], data, sizeof data), NULL, flags_of(p[1]));
    close_pair(p);
    reap();
}

// The program may have as many descriptors as its limit says, and any number below.
PROBE(limits) {
    struct rlimit before, limit;
    must(getrlimit(RLIMIT_NOFILE, &before), "getrlimit");
    int p[2];
    must(pipe(p), "pipe");
    if (read(p[0], buf, 0)) {}
    label("dup2.ready/high");
    limit = before;
    limit.rlim_cur = 1024;
    must(setrlimit(RLIMIT_NOFILE, &limit), "setrlimit");
    for (int fd = 880; fd < 1024; ++fd)
        if (dup2(p[0], fd) != fd) fact("refused", fd);
    PEER { delay(40); put(p[1], "high"); }
    begin();
    done(read(1023, buf, 10), buf, -1);
    reap();
    begin();
    done(dup2(p[0], 1024), NULL, -1);
    begin();
    done(close_range(880, ~0U, 0), NULL, -1);
    label("dup.flags/limit");
    limit.rlim_cur = 100;
    must(setrlimit(RLIMIT_NOFILE, &limit), "setrlimit");
    int all[100], count = 0;
    while (count < 100 && (all[count] = dup(p[0])) >= 0) ++count;
    fact("errno", errno);
    fact("last", all[count - 1]);
    struct pollfd one = {all[count - 1], POLLIN, 0};
    begin();
    done(poll(&one, 1, 40), NULL, -1);
    PEER { delay(40); put(p[1], "full"); }
    begin();
    done(read(all[count - 1], buf, 10), buf, -1);
    reap();
    must(getrlimit(RLIMIT_NOFILE, &limit), "getrlimit");
    fact("limit", (long)limit.rlim_cur);
    while (count > 0) close(all[--count]);
    must(setrlimit(RLIMIT_NOFILE, &before), "setrlimit");
    close_pair(p);
}
