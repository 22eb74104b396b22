// SPDX-License-Identifier: Apache-2.0
// read and write on what is neither a pipe nor a socket.
#include "probe.h"

#include <pty.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <termios.h>

static char buf[4096];

static void add(int fd, uint64_t n) {
    if (raw(SYS_write, fd, &n, sizeof n)) {}
}

PROBE(regular_file) {
    char path[] = "/tmp/probe-file-XXXXXX";
    const int fd = must(mkstemp(path), "mkstemp");
    unlink(path);
    begin();
    done(write(fd, "contents", 8), NULL, -1);
    begin();
    done(read(fd, buf, 100), buf, -1);
    lseek(fd, 3, SEEK_SET);
    begin();
    done(read(fd, buf, 100), buf, -1);
    fcntl(fd, F_SETFL, O_APPEND);
    begin();
    done(write(fd, "more", 4), NULL, flags_of(fd));
    begin();
    done(lseek(fd, 0, SEEK_CUR), NULL, -1);
    close(fd);
}

PROBE(devices) {
    const int zero = open("/dev/zero", O_RDWR), null = open("/dev/null", O_RDWR), full = open("/dev/full", O_RDWR);
    begin();
    done(read(zero, buf, 4), buf, -1);
    begin();
    done(read(null, buf, 4), buf, -1);
    begin();
    done(write(full, buf, 4), NULL, -1);
    close(zero);
    close(null);
    close(full);
}

PROBE(event) {
    uint64_t value = 0;
    const int fd = eventfd(0, 0);
    PEER { delay(60); add(fd, 5); }
    begin();
    done(read(fd, &value, sizeof value), NULL, flags_of(fd));
    fact("value", (long)value);
    begin();
    done(read(fd, &value, 4), NULL, -1);
    label("event/full");
    add(fd, UINT64_MAX - 1);
    PEER { delay(60); uint64_t v; if (raw(SYS_read, fd, &v, sizeof v)) {} }
    value = 1;
    begin();
    done(write(fd, &value, sizeof value), NULL, flags_of(fd));
    value = UINT64_MAX;
    begin();
    done(write(fd, &value, sizeof value), NULL, -1);
    close(fd);
    label("event/semaphore");
    const int semaphore = eventfd(2, EFD_SEMAPHORE);
    for (int i = 0; i < 2; ++i) {
        begin();
        done(read(semaphore, &value, sizeof value), NULL, (long)value);
    }
    PEER { delay(60); add(semaphore, 1); }
    begin();
    done(read(semaphore, &value, sizeof value), NULL, (long)value);
    close(semaphore);
    label("event/nonblocking");
    const int quick = eventfd(0, EFD_NONBLOCK);
    begin();
    done(read(quick, &value, sizeof value), NULL, flags_of(quick));
    close(quick);
}

PROBE(timer) {
    uint64_t value = 0;
    const int fd = timerfd_create(CLOCK_MONOTONIC, 0);
    const struct itimerspec in_a_while = {{0, 0}, {0, 70000000}};
    timerfd_settime(fd, 0, &in_a_while, NULL);
    begin();
    done(read(fd, &value, sizeof value), NULL, flags_of(fd));
    fact("value", (long)value);
    close(fd);
}

PROBE(signal_descriptor) {
    sigset_t set, before;
    struct signalfd_siginfo info;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_BLOCK, &set, &before);
    const int fd = signalfd(-1, &set, 0);
    PEER { delay(60); poke(SIGUSR2); }
    begin();
    done(read(fd, &info, sizeof info), NULL, flags_of(fd));
    fact("signal", info.ssi_signo);
    close(fd);
    sigprocmask(SIG_SETMASK, &before, NULL);
}

PROBE(watched_directory) {
    char path[] = "/tmp/probe-dir-XXXXXX", inner[64];
    if (!mkdtemp(path)) must(-1, "mkdtemp");
    snprintf(inner, sizeof inner, "%s/file", path);
    const int fd = inotify_init1(0);
    must(inotify_add_watch(fd, path, IN_CREATE), "inotify_add_watch");
    PEER { delay(60); close(open(inner, O_CREAT | O_WRONLY, 0600)); }
    begin();
    done(read(fd, buf, sizeof buf), NULL, flags_of(fd));
    fact("mask", (long)((struct inotify_event*)buf)->mask);
    reap();
    close(fd);
    unlink(inner);
    rmdir(path);
}

PROBE(fifo) {
    char path[] = "/tmp/probe-fifo-XXXXXX", inner[64];
    if (!mkdtemp(path)) must(-1, "mkdtemp");
    snprintf(inner, sizeof inner, "%s/fifo", path);
    must(mkfifo(inner, 0600), "mkfifo");
    const int both = open(inner, O_RDWR), fd = open(inner, O_RDONLY);
    PEER { delay(60); put(both, "through the fifo"); }
    begin();
    done(read(fd, buf, 100), buf, flags_of(fd));
    reap();
    fcntl(fd, F_SETFL, O_NONBLOCK);
    begin();
    done(read(fd, buf, 100), NULL, flags_of(fd));
    fcntl(fd, F_SETFL, 0);
    PEER { close(both); delay(60); }
    close(both);
    begin();
    done(read(fd, buf, 100), NULL, flags_of(fd));
    reap();
    close(fd);
    unlink(inner);
    rmdir(path);
}

PROBE(terminal) {
    int master, slave;
    must(openpty(&master, &slave, NULL, NULL, NULL), "openpty");
    PEER { delay(60); put(master, "a line\n"); }
    begin();
    done(read(slave, buf, 100), buf, flags_of(slave));
    reap();
    label("terminal/part_of_a_line");
    // Nothing is delivered before the line is complete.
    PEER { put(master, "half"); delay(60); put(master, " whole\n"); }
    begin();
    done(read(slave, buf, 100), buf, flags_of(slave));
    reap();
    label("terminal/end_of_file");
    PEER { delay(60); put(master, "\004"); }
    begin();
    done(read(slave, buf, 100), buf, -1);
    reap();
    label("terminal/raw");
    struct termios settings;
    tcgetattr(slave, &settings);
    cfmakeraw(&settings);
    settings.c_cc[VMIN] = 0;
    settings.c_cc[VTIME] = 2;
    tcsetattr(slave, TCSANOW, &settings);
    begin();
    done(read(slave, buf, 100), buf, -1);
    settings.c_cc[VMIN] = 5;
    settings.c_cc[VTIME] = 0;
    tcsetattr(slave, TCSANOW, &settings);
    PEER { put(master, "abc"); delay(60); put(master, "def"); }
    begin();
    done(read(slave, buf, 100) >= 5, NULL, flags_of(slave));
    reap();
    close(slave);
    label("terminal/hung_up");
    begin();
    long n;
    while ((n = read(master, buf, 100)) > 0) {}  // what was echoed
    done(n, NULL, -1);
    close(master);
}
