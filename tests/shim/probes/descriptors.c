// SPDX-License-Identifier: Apache-2.0
// Descriptors that are neither files nor sockets: events, timers, signals, watched directories, processes.
#include "probe.h"

#include <dirent.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/timerfd.h>

static char buf[4096];
static uint64_t value;

static void add(int fd, uint64_t n) {
    if (raw(SYS_write, fd, &n, sizeof n)) {}
}

/// A read that is interrupted, once for each kind of handler. `feed` makes it end.
static void interrupted_read(const char* name, int fd, size_t size, void (*feed)(int)) {
    for (int flags = 0; flags <= SA_RESTART; flags += SA_RESTART) {
        label("%s.%s", name, flags ? "restart" : "eintr");
        handle(SIGUSR1, flags);
        PEER {
            delay(40);
            poke(SIGUSR1);
            delay(40);
            if (flags) feed(fd);
        }
        begin();
        done(read(fd, buf, size), NULL, flags_of(fd));
        fact("caught", caught);
        reap();
    }
}

static void feed_event(int fd) { add(fd, 1); }

PROBE(events) {
    const int fd = eventfd(0, 0);
    label("eventfd_read.blocks");
    PEER { delay(50); add(fd, 7); }
    begin();
    done(eventfd_read(fd, &value), NULL, (long)value);
    reap();
    label("eventfd_write.ready");
    begin();
    done(eventfd_write(fd, 3), NULL, -1);
    label("eventfd_read.ready");
    begin();
    done(eventfd_read(fd, &value), NULL, (long)value);
    label("eventfd_write.blocks");
    add(fd, UINT64_MAX - 1);
    PEER { delay(50); uint64_t v; if (raw(SYS_read, fd, &v, sizeof v)) {} }
    begin();
    done(eventfd_write(fd, 2), NULL, -1);
    reap();
    eventfd_read(fd, &value);
    label("eventfd_read.badfd");
    begin();
    done(eventfd_read(-1, &value), NULL, -1);
    label("eventfd_write.badfd");
    begin();
    done(eventfd_write(-1, 1), NULL, -1);
    begin();
    done(eventfd_write(fd, UINT64_MAX), NULL, -1);
    interrupted_read("eventfd", fd, 8, feed_event);
    label("eventfd.flags");
    begin();
    done(eventfd(0, 1 << 20), NULL, -1);
    close(fd);
    const int quick = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    label("eventfd_read.nonblock");
    begin();
    done(eventfd_read(quick, &value), NULL, fcntl(quick, F_GETFD));
    close(quick);
}

static void arm(int fd, long first_ms, long every_ms) {
    const struct itimerspec when = {{0, every_ms * 1000000}, {0, first_ms * 1000000}};
    raw(SYS_timerfd_settime, fd, 0, &when, NULL);
}
static void feed_timer(int fd) { arm(fd, 1, 0); }

PROBE(timers) {
    for (int clock = 0; clock <= 1; ++clock) {
        const int fd = timerfd_create(clock ? CLOCK_MONOTONIC : CLOCK_REALTIME, 0);
        label("timerfd_create.blocks/%s", clock ? "monotonic" : "realtime");
        arm(fd, 50, 20);
        begin();
        done(read(fd, &value, sizeof value), NULL, (long)value);
        delay(50);
        begin();
        done(read(fd, &value, sizeof value), NULL, value >= 2);
        arm(fd, 0, 0);
        begin();
        struct pollfd one = {fd, POLLIN, 0};
        done(poll(&one, 1, 40), NULL, -1);
        begin();
        done(read(fd, &value, 4), NULL, -1);
        interrupted_read(clock ? "timerfd_create" : "timerfd_create.realtime", fd, 8, feed_timer);
        close(fd);
    }
    label("timerfd_create.nonblock");
    const int quick = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    begin();
    done(read(quick, &value, sizeof value), NULL, flags_of(quick));
    close(quick);
    begin();
    label("timerfd_create.flags");
    done(timerfd_create(99, 0), NULL, -1);
    // Disarmed and armed anew by another while a call waits.
    label("timerfd_create.blocks/armed_meanwhile");
    const int fd = timerfd_create(CLOCK_MONOTONIC, 0);
    PEER { delay(40); arm(fd, 20, 0); }
    begin();
    done(read(fd, &value, sizeof value), NULL, (long)value);
    reap();
    close(fd);
}

static void feed_signal(int fd) {
    (void)fd;
    poke(SIGUSR2);
}

PROBE(signals) {
    sigset_t set, before;
    struct signalfd_siginfo info[2];
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_BLOCK, &set, &before);
    const int fd = signalfd(-1, &set, SFD_CLOEXEC);
    label("signalfd.blocks");
    PEER { delay(50); poke(SIGUSR2); }
    begin();
    done(read(fd, info, sizeof info), NULL, fcntl(fd, F_GETFD));
    fact("signal", info[0].ssi_signo);
    reap();
    label("signalfd.ready");
    begin();
    done(kill(getpid(), SIGUSR2), NULL, -1);
    begin();
    done(read(fd, info, sizeof info), NULL, -1);
    label("signalfd.flags");
    sigaddset(&set, SIGTERM);
    begin();
    done(signalfd(fd, &set, 0) == fd, NULL, -1);
    begin();
    done(read(fd, info, 10), NULL, -1);
    begin();
    done(signalfd(-1, &set, 1 << 20), NULL, -1);
    begin();
    done(signalfd(0, &set, 0), NULL, -1);
    interrupted_read("signalfd", fd, sizeof info, feed_signal);
    close(fd);
    label("signalfd.nonblock");
    const int quick = signalfd(-1, &set, SFD_NONBLOCK);
    begin();
    done(read(quick, info, sizeof info), NULL, flags_of(quick));
    close(quick);
    sigprocmask(SIG_SETMASK, &before, NULL);
}

static char directory[64], inner[96];
static void feed_directory(int fd) {
    (void)fd;
    raw(SYS_close, raw(SYS_openat, AT_FDCWD, inner, O_CREAT | O_WRONLY, 0600));
}

PROBE(watches) {
    strcpy(directory, "/tmp/probe-watch-XXXXXX");
    if (!mkdtemp(directory)) must(-1, "mkdtemp");
    snprintf(inner, sizeof inner, "%s/file", directory);
    for (int one = 0; one <= 1; ++one) {
        const char* name = one ? "inotify_init1" : "inotify_init";
        const int fd = one ? inotify_init1(0) : inotify_init();
        must(inotify_add_watch(fd, directory, IN_CREATE | IN_DELETE), "inotify_add_watch");
        label("%s.blocks", name);
        PEER { delay(50); feed_directory(-1); }
        begin();
        done(read(fd, buf, sizeof buf), NULL, flags_of(fd));
        fact("mask", (long)((struct inotify_event*)buf)->mask);
        reap();
        label("%s.ready", name);
        unlink(inner);
        begin();
        done(read(fd, buf, sizeof buf), NULL, -1);
        label("%s.badfd", name);
        feed_directory(-1);
        begin();
        done(read(fd, buf, 4), NULL, -1);
        begin();
        done(read(fd, buf, sizeof buf), NULL, -1);
        unlink(inner);
        if (read(fd, buf, sizeof buf)) {}
        interrupted_read(name, fd, sizeof buf, feed_directory);
        label("%s.two", name);
        unlink(inner);
        if (read(fd, buf, sizeof buf)) {}
        // Another reads what comes first.
        PEER {
            const struct timespec now = {0, 0};
            (void)now;
            delay(40);
            feed_directory(-1);
            delay(40);
            raw(SYS_unlinkat, AT_FDCWD, inner, 0);
        }
        begin();
        done(read(fd, buf, sizeof buf), NULL, -1);
        begin();
        done(read(fd, buf, sizeof buf), NULL, -1);
        reap();
        unlink(inner);
        close(fd);
    }
    label("inotify_init1.nonblock");
    const int quick = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    begin();
    done(read(quick, buf, sizeof buf), NULL, flags_of(quick));
    close(quick);
    rmdir(directory);
}

PROBE(processes) {
    label("pidfd_open.blocks");
    const pid_t child = fork();
    if (child == 0) {
        delay(50);
        _exit(7);
    }
    const int fd = pidfd_open(child, 0);
    struct pollfd one = {fd, POLLIN, 0};
    begin();
    done(poll(&one, 1, 1000), NULL, one.revents);
    begin();
    done(read(fd, buf, 8), NULL, fcntl(fd, F_GETFD));
    siginfo_t info;
    memset(&info, 0, sizeof info);
    raw(SYS_waitid, P_PIDFD, fd, &info, WEXITED, NULL);
    fact("status", info.si_status);
    close(fd);
    label("pidfd_open.badfd");
    begin();
    done(pidfd_open(-1, 0), NULL, -1);
    label("pidfd_getfd.ready");
    int p[2];
    must(socketpair(AF_UNIX, SOCK_STREAM, 0, p), "socketpair");
    const int self = pidfd_open(getpid(), 0);
    begin();
    const int other = pidfd_getfd(self, p[0], 0);
    done(other >= 0, NULL, -1);
    PEER { delay(50); put(p[1], "through the other"); }
    begin();
    done(read(other, buf, 100), buf, flags_of(other));
    reap();
    label("pidfd_getfd.badfd");
    begin();
    done(pidfd_getfd(self, -1, 0), NULL, -1);
    close(other);
    close(self);
    close_pair(p);
}

PROBE(memory) {
    label("memfd_create.ready");
    begin();
    const int fd = memfd_create("probe", MFD_CLOEXEC);
    done(fd >= 0, NULL, fcntl(fd, F_GETFD));
    begin();
    done(write(fd, "in memory", 9), NULL, -1);
    begin();
    done(pread(fd, buf, 100, 3), buf, -1);
    begin();
    done(memfd_create("probe", 1 << 20), NULL, -1);
    close(fd);
    DIR* here = opendir("/tmp");
    fact("directory", here && readdir(here) != NULL);
    closedir(here);
}
