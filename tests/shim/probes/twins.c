// SPDX-License-Identifier: Apache-2.0
// Second names of common calls, and calls that wait in rare cases only.
#include "probe.h"

#include <pty.h>
#include <sys/klog.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <termios.h>

ssize_t __read(int, void*, size_t);
ssize_t __write(int, const void*, size_t);
ssize_t __send(int, const void*, size_t, int);
int __connect(int, const struct sockaddr*, socklen_t);
ssize_t __pread64(int, void*, size_t, off64_t);
ssize_t __pwrite64(int, const void*, size_t, off64_t);
ssize_t __pread_chk(int, void*, size_t, off_t, size_t);
ssize_t __pread64_chk(int, void*, size_t, off64_t, size_t);
int __open(const char*, int, ...);
int __open64(const char*, int, ...);
int __open_2(const char*, int);
int __open64_2(const char*, int);
int __openat_2(int, const char*, int);
int __openat64_2(int, const char*, int);
int __close(int);
int __dup2(int, int);
int __pipe(int[2]);
int __fcntl(int, int, ...);
int __poll(struct pollfd*, nfds_t, int);
int __select(int, fd_set*, fd_set*, fd_set*, struct timeval*);
int __sched_yield(void);

static char buf[100];

PROBE(twins) {
    int p[2];
    must(__pipe(p), "pipe");
    label("__read.blocks");
    PEER { delay(40); put(p[1], "late"); }
    begin();
    done(__read(p[0], buf, sizeof buf), buf, -1);
    reap();
    label("__write.blocks");
    fill(p[1], on_pipe);
    PEER { delay(40); drain(p[0], 65536); }
    begin();
    done(__write(p[1], "there", 5), NULL, -1);
    reap();
    label("__poll.blocks");
    drain(p[0], 5);
    struct pollfd one = {p[0], POLLIN, 0};
    begin();
    done(__poll(&one, 1, 40), NULL, -1);
    PEER { delay(40); put(p[1], "x"); }
    begin();
    done(__poll(&one, 1, 1000), NULL, one.revents);
    reap();
    drain(p[0], 1);
    label("__select.blocks");
    struct timeval limit = {1, 0};
    fd_set in;
    FD_ZERO(&in);
    FD_SET(p[0], &in);
    PEER { delay(40); put(p[1], "x"); }
    begin();
    done(__select(p[0] + 1, &in, NULL, NULL, &limit), NULL, -1);
    reap();
    label("__sched_yield.ready");
    begin();
    done(__sched_yield(), NULL, -1);
    label("__fcntl.ready");
    begin();
    done(__fcntl(p[0], F_GETFD), NULL, -1);
    label("__dup2.ready");
    begin();
    done(__dup2(p[0], 170), NULL, -1);
    label("__close.ready");
    begin();
    done(__close(170), NULL, -1);
    begin();
    done(__close(170), NULL, -1);
    close_pair(p);
    label("__pipe.badfd");
    int* volatile nowhere = NULL;
    begin();
    done(__pipe(nowhere), NULL, -1);
    open_pair(on_unix, p);
    label("__send.blocks");
    const long filled = fill(p[0], on_unix);
    PEER { delay(40); drain(p[1], filled); }
    begin();
    done(__send(p[0], "sent", 4, 0), NULL, -1);
    reap();
    close_pair(p);
    label("__connect.ready");
    struct sockaddr_in where;
    const int listener = listen_tcp(1, &where), client = must(socket(AF_INET, SOCK_STREAM, 0), "socket");
    begin();
    done(__connect(client, (struct sockaddr*)&where, sizeof where), NULL, flags_of(client));
    close(client);
    close(listener);
}

PROBE(files) {
    char path[] = "/tmp/probe-twins-XXXXXX";
    const int file = must(mkstemp(path), "mkstemp");
    label("__pwrite64.ready");
    begin();
    done(__pwrite64(file, "0123456789", 10, 5), NULL, -1);
    label("__pread64.ready");
    begin();
    done(__pread64(file, buf, 4, 7), buf, -1);
    label("__pread_chk.ready");
    begin();
    done(__pread_chk(file, buf, 4, 8, sizeof buf), buf, -1);
    label("__pread64_chk.ready");
    begin();
    done(__pread64_chk(file, buf, 4, 9, sizeof buf), buf, -1);
    close(file);
    int fds[6];
    label("__open.ready");
    begin();
    done((fds[0] = __open(path, O_RDONLY)) >= 0, NULL, -1);
    label("__open64.ready");
    begin();
    done((fds[1] = __open64(path, O_RDWR | O_CREAT, 0600)) >= 0, NULL, -1);
    label("__open_2.ready");
    begin();
    done((fds[2] = __open_2(path, O_RDONLY)) >= 0, NULL, -1);
    label("__open64_2.ready");
    begin();
    done((fds[3] = __open64_2(path, O_RDONLY)) >= 0, NULL, -1);
    label("__openat_2.ready");
    begin();
    done((fds[4] = __openat_2(AT_FDCWD, path, O_RDONLY)) >= 0, NULL, -1);
    label("__openat64_2.ready");
    begin();
    done((fds[5] = __openat64_2(AT_FDCWD, path, O_RDONLY)) >= 0, NULL, -1);
    for (int i = 0; i < 6; ++i) close(fds[i]);
    label("__open_2.badfd");
    begin();
    done(__open_2("/nowhere/at/all", O_RDONLY), NULL, -1);
    unlink(path);
    label("open.flags/mode");
    umask(027);
    const int made = open(path, O_WRONLY | O_CREAT, 0666);
    begin();
    done(access(path, R_OK), NULL, -1);
    close(made);
    unlink(path);
}

// On a pseudo-terminal nothing is ever left to be sent.
PROBE(lines) {
    int master, slave, p[2];
    struct termios settings;
    must(openpty(&master, &slave, NULL, NULL, NULL), "openpty");
    must(pipe(p), "pipe");
    put(slave, "some output");
    label("tcdrain.ready");
    begin();
    done(tcdrain(slave), NULL, -1);
    begin();
    done(tcdrain(master), NULL, -1);
    label("tcdrain.badfd");
    begin();
    done(tcdrain(p[0]), NULL, -1);
    begin();
    done(tcdrain(-1), NULL, -1);
    label("tcsendbreak.ready");
    begin();
    done(tcsendbreak(slave, 0), NULL, -1);
    label("tcsendbreak.badfd");
    begin();
    done(tcsendbreak(p[0], 0), NULL, -1);
    begin();
    done(tcsendbreak(-1, 0), NULL, -1);
    tcgetattr(slave, &settings);
    settings.c_lflag &= ~(tcflag_t)ECHO;
    label("tcsetattr.ready");
    begin();
    done(tcsetattr(slave, TCSANOW, &settings), NULL, -1);
    begin();
    done(tcsetattr(slave, TCSADRAIN, &settings), NULL, -1);
    begin();
    done(tcsetattr(slave, TCSAFLUSH, &settings), NULL, -1);
    memset(&settings, 0, sizeof settings);
    tcgetattr(slave, &settings);
    fact("echo", settings.c_lflag & ECHO);
    label("tcsetattr.badfd");
    begin();
    done(tcsetattr(p[0], TCSADRAIN, &settings), NULL, -1);
    begin();
    done(tcsetattr(slave, 77, &settings), NULL, -1);
    begin();
    done(tcsetattr(-1, TCSANOW, &settings), NULL, -1);
    label("ioctl.flags/terminal");
    begin();
    done(ioctl(slave, TCSETSW, &settings), NULL, -1);
    begin();
    done(ioctl(slave, TCSBRK, 1), NULL, -1);
    begin();
    done(ioctl(slave, TIOCMIWAIT, 1), NULL, -1);
    begin();
    done(ioctl(p[0], TCSBRK, 1), NULL, -1);
    close(master);
    close(slave);
    close_pair(p);
}

PROBE(rare) {
    label("klogctl.badfd");
    begin();
    done(klogctl(77, buf, 10), NULL, -1);
    begin();
    done(klogctl(2, NULL, -1), NULL, -1);
    label("gethostid.ready");
    begin();
    const long first = gethostid();
    fact("same", first == gethostid());
    label("msync.ready");
    void* page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    begin();
    done(msync(page, 4096, MS_SYNC), NULL, -1);
    begin();
    done(msync(page, 4096, MS_ASYNC), NULL, -1);
    begin();
    done(msync(page, 4096, 99), NULL, -1);
    munmap(page, 4096);
    begin();
    done(msync(page, 4096, MS_SYNC), NULL, -1);
    label("sync.ready");
    errno = 7;
    sync();
    fact("errno", errno);
}
