/* SPDX-License-Identifier: Apache-2.0 */
/* An ordinary program that does a bit of everything, and takes an error for an answer: it says which, and tries again. Whatever fails
   beneath it, its bytes arrive whole and in order and it loses no descriptor. Any disagreement is a line that begins with BAD. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

__attribute__((weak)) void weft_fault_begin(void);
__attribute__((weak)) void weft_fault_end(void);

enum { tries = 6 };

/* Lines go out by instruction, past every library: the telling must not fail. */
static void say(const char* a, const char* b) {
    char line[200];
    int n = 0;
    while (*a && n < 150) line[n++] = *a++;
    line[n++] = ' ';
    while (*b && n < 190) line[n++] = *b++;
    line[n++] = '\n';
    long r = 1; /* write */
    __asm__ volatile("syscall" : "+a"(r) : "D"(1L), "S"(line), "d"((long)n) : "rcx", "r11", "memory");
}

static void bad(const char* what) { say("BAD", what); }

#define TRY(name, result, expression)                                                                                  \
    do {                                                                                                               \
        for (int i_ = 0; i_ < tries; ++i_) {                                                                           \
            errno = 0;                                                                                                 \
            (result) = (expression);                                                                                   \
            if ((result) >= 0) break;                                                                                  \
            say(name, strerrorname_np(errno) ? strerrorname_np(errno) : "0");                                          \
        }                                                                                                              \
    } while (0)

static int open_descriptors(void) {
    int n = 0;
    for (int fd = 0; fd < 100; ++fd) { /* by instruction as well */
        long r = 72; /* fcntl F_GETFD */
        __asm__ volatile("syscall" : "+a"(r) : "D"((long)fd), "S"(1L), "d"(0L) : "rcx", "r11", "memory");
        n += r >= 0;
    }
    return n;
}

/* A close that fails has closed all the same, on Linux; one that was never made is made again. */
static void close_it(int fd) {
    if (fd < 0) return;
    errno = 0;
    if (close(fd) == 0) return;
    say("close", strerrorname_np(errno));
    long r = 72;
    __asm__ volatile("syscall" : "+a"(r) : "D"((long)fd), "S"(1L), "d"(0L) : "rcx", "r11", "memory");
    if (r >= 0) close(fd);
}

static void pause_a_while(void) {
    const struct timespec t = {0, 3 * 1000 * 1000};
    nanosleep(&t, NULL);
}

/* The peer: gives back what it gets, late, so that its partner must wait. Not part of what may fail. */
static void echo(int in, int out) {
    char text[64];
    for (;;) {
        const ssize_t n = read(in, text, sizeof text);
        if (n <= 0) _exit(0);
        pause_a_while();
        for (ssize_t done = 0; done < n;) {
            const ssize_t w = write(out, text + done, (size_t)(n - done));
            if (w <= 0) _exit(0);
            done += w;
        }
    }
}

static pid_t start_echo(int in, int out, int other) {
    pid_t child;
    TRY("fork", child, fork());
    if (child == 0) {
        if (weft_fault_end) weft_fault_end();
        close(other);
        echo(in, out);
    }
    return child;
}

static void end_child(pid_t child) {
    int status = 0;
    pid_t r = -1;
    TRY("waitpid", r, waitpid(child, &status, 0));
    if (r != child || !WIFEXITED(status) || WEXITSTATUS(status) != 0) bad("child");
}

static ssize_t send_by(int k, int fd, char* text, size_t size) {
    struct iovec parts[2] = {{text, size / 2}, {text + size / 2, size - size / 2}};
    struct msghdr m = {.msg_iov = parts, .msg_iovlen = 2};
    ssize_t n = -1;
    switch (k) {
    case 0: TRY("write", n, write(fd, text, size)); break;
    case 1: TRY("writev", n, writev(fd, parts, 2)); break;
    case 2: TRY("send", n, send(fd, text, size, 0)); break;
    case 3: TRY("sendto", n, sendto(fd, text, size, 0, NULL, 0)); break;
    default: TRY("sendmsg", n, sendmsg(fd, &m, 0)); break;
    }
    return n;
}

static ssize_t receive_by(int k, int fd, char* text, size_t size) {
    struct iovec parts[2] = {{text, size / 2}, {text + size / 2, size - size / 2}};
    struct msghdr m = {.msg_iov = parts, .msg_iovlen = 2};
    struct sockaddr_storage from;
    socklen_t length = sizeof from;
    ssize_t n = -1;
    switch (k) {
    case 0: TRY("read", n, read(fd, text, size)); break;
    case 1: TRY("readv", n, readv(fd, parts, 2)); break;
    case 2: TRY("recv", n, recv(fd, text, size, 0)); break;
    case 3: TRY("recvfrom", n, recvfrom(fd, text, size, 0, (struct sockaddr*)&from, &length)); break;
    default: TRY("recvmsg", n, recvmsg(fd, &m, 0)); break;
    }
    return n;
}

/* Through the peer and back, by every call: what comes is what went. */
static void round_trips(const char* what, int out, int in, int kinds) {
    for (int k = 0; k < kinds; ++k) {
        char sent[32];
        char got[32];
        memset(got, 0, sizeof got);
        for (size_t i = 0; i < sizeof sent; ++i) sent[i] = (char)('a' + (k * 7 + (int)i) % 26);
        size_t done = 0;
        while (done < sizeof sent) {
            const ssize_t n = send_by(k, out, sent + done, sizeof sent - done);
            if (n <= 0) {
                bad(what);
                return;
            }
            done += (size_t)n;
        }
        done = 0;
        while (done < sizeof got) {
            const ssize_t n = receive_by(k, in, got + done, sizeof got - done);
            if (n <= 0) {
                bad(what);
                return;
            }
            done += (size_t)n;
        }
        if (memcmp(sent, got, sizeof sent) != 0) bad(what);
    }
}

static void local_socket(void) {
    int fds[2], r;
    TRY("socketpair", r, socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
    if (r != 0) {
        bad("socketpair");
        return;
    }
    const pid_t child = start_echo(fds[1], fds[1], fds[0]);
    close_it(fds[1]);
    if (child > 0) round_trips("local socket", fds[0], fds[0], 5);
    TRY("shutdown", r, shutdown(fds[0], SHUT_WR));
    close_it(fds[0]);
    if (child > 0) end_child(child);
}

static void pipes(void) {
    int there[2], back[2], r;
    TRY("pipe", r, pipe(there));
    TRY("pipe2", r, pipe2(back, 0));
    if (r != 0) {
        bad("pipe2");
        return;
    }
    pid_t child;
    TRY("fork", child, fork());
    if (child == 0) {
        if (weft_fault_end) weft_fault_end();
        close(there[1]);
        close(back[0]);
        echo(there[0], back[1]);
    }
    close_it(there[0]);
    close_it(back[1]);
    if (child > 0) round_trips("pipe", there[1], back[0], 2);
    close_it(there[1]);
    close_it(back[0]);
    if (child > 0) end_child(child);
}

static void tcp(void) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof a;
    int listener, r, fd;
    TRY("socket", listener, socket(AF_INET, SOCK_STREAM, 0));
    if (listener < 0 || bind(listener, (struct sockaddr*)&a, size) != 0 || listen(listener, 5) != 0 ||
        getsockname(listener, (struct sockaddr*)&a, &size) != 0) {
        bad("listen");
        return;
    }
    /* The child connects twice: once its partner accepts, once its partner has been accepted. */
    pid_t child;
    TRY("fork", child, fork());
    if (child == 0) {
        if (weft_fault_end) weft_fault_end();
        pause_a_while();
        for (int i = 0; i < tries; ++i) { /* as often as accept may lose one */
            fd = socket(AF_INET, SOCK_STREAM, 0);
            if (connect(fd, (struct sockaddr*)&a, sizeof a) == 0 && send(fd, "x", 1, MSG_NOSIGNAL) == 1) (void)!write(fd, "y", 1);
            close(fd);
        }
        _exit(0);
    }
    TRY("accept", fd, accept(listener, NULL, NULL));
    char c = 0;
    ssize_t n = -1;
    TRY("recv", n, recv(fd, &c, 1, 0));
    if (n != 1 || c != 'x') bad("accepted");
    close_it(fd);
    TRY("accept4", fd, accept4(listener, NULL, NULL, SOCK_CLOEXEC));
    if (fd < 0) bad("accept4");
    close_it(fd);
    if (child > 0) end_child(child);
    for (int i = 0; i < tries; ++i) {
        TRY("socket", fd, socket(AF_INET, SOCK_STREAM, 0));
        errno = 0;
        r = connect(fd, (struct sockaddr*)&a, sizeof a);
        if (r != 0) say("connect", strerrorname_np(errno));
        close_it(fd);
        if (r == 0) break;
    }
    if (r != 0) bad("connect");
    close_it(listener);
}

static int select_one(int fd) {
    struct timeval v = {0, 5000};
    fd_set readable;
    FD_ZERO(&readable);
    FD_SET(fd, &readable);
    return select(fd + 1, &readable, NULL, NULL, &v);
}

static int pselect_one(int fd, const struct timespec* t) {
    fd_set readable;
    FD_ZERO(&readable);
    FD_SET(fd, &readable);
    return pselect(fd + 1, &readable, NULL, NULL, t, NULL);
}

static void readiness(void) {
    int fds[2], r, set;
    TRY("pipe", r, pipe(fds));
    if (r != 0) {
        bad("pipe");
        return;
    }
    struct pollfd p = {fds[0], POLLIN, 0};
    struct timespec t = {0, 5 * 1000 * 1000};
    TRY("poll", r, poll(&p, 1, 5));
    if (r != 0) bad("poll");
    TRY("ppoll", r, ppoll(&p, 1, &t, NULL));
    if (r != 0) bad("ppoll");
    TRY("select", r, select_one(fds[0]));
    if (r != 0) bad("select");
    TRY("pselect", r, pselect_one(fds[0], &t));
    if (r != 0) bad("pselect");
    TRY("epoll_create1", set, epoll_create1(EPOLL_CLOEXEC));
    struct epoll_event e = {.events = EPOLLIN};
    TRY("epoll_ctl", r, epoll_ctl(set, EPOLL_CTL_ADD, fds[0], &e));
    TRY("epoll_wait", r, epoll_wait(set, &e, 1, 5));
    if (r != 0) bad("epoll_wait");
    pid_t child;
    TRY("fork", child, fork());
    if (child == 0) {
        if (weft_fault_end) weft_fault_end();
        pause_a_while();
        _exit(write(fds[1], "z", 1) != 1);
    }
    TRY("poll", r, poll(&p, 1, 10000));
    if (r != 1 || p.revents != POLLIN) bad("poll ready");
    TRY("epoll_wait", r, epoll_wait(set, &e, 1, 10000));
    if (r != 1) bad("epoll_wait ready");
    if (child > 0) end_child(child);
    close_it(set);
    close_it(fds[0]);
    close_it(fds[1]);
}

static void descriptors(void) {
    int fd, copy, r;
    TRY("eventfd", fd, eventfd(1, 0));
    TRY("dup", copy, dup(fd));
    TRY("dup2", r, dup2(fd, copy));
    if (r != copy) bad("dup2");
    TRY("dup3", r, dup3(fd, copy, O_CLOEXEC));
    TRY("fcntl", r, fcntl(fd, F_GETFL));
    unsigned long long value = 0;
    ssize_t n = -1;
    TRY("read", n, read(fd, &value, sizeof value));
    if (n != 8 || value != 1) bad("eventfd");
    TRY("ioctl", r, ioctl(fd, FIOCLEX));
    close_it(copy);
    close_it(fd);
}

static void sleeps(void) {
    const struct timespec t = {0, 4 * 1000 * 1000};
    int r;
    TRY("nanosleep", r, nanosleep(&t, NULL));
    TRY("usleep", r, usleep(4000));
    for (int i = 0; i < tries; ++i) {
        const int error = clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
        if (error == 0) break;
        say("clock_nanosleep", strerrorname_np(error));
    }
    sched_yield();
}

static void names(void) {
    struct addrinfo* found = NULL;
    for (int i = 0; i < tries && found == NULL; ++i) {
        errno = 0;
        const int error = getaddrinfo("localhost", "80", NULL, &found);
        const char* system_error = errno != 0 ? strerrorname_np(errno) : "0";
        if (error != 0) say("getaddrinfo", error == EAI_SYSTEM ? system_error : error == EAI_MEMORY ? "ENOMEM" : "EAI");
    }
    if (found == NULL) bad("getaddrinfo");
    else freeaddrinfo(found);
}

static void children_and_files(void) {
    char line[100] = "";
    FILE* f = NULL;
    for (int i = 0; i < tries && strcmp(line, "hello\n") != 0; ++i) {
        errno = 0;
        f = popen("echo hello", "r");
        if (f == NULL) {
            say("popen", strerrorname_np(errno));
            continue;
        }
        if (fgets(line, sizeof line, f) == NULL) say("fgets", strerrorname_np(errno));
        if (pclose(f) != 0) say("pclose", strerrorname_np(errno));
    }
    if (strcmp(line, "hello\n") != 0) bad("popen");
    for (int i = 0; i < tries; ++i) {
        errno = 0;
        const int r = system("exit 3");
        if (WIFEXITED(r) && WEXITSTATUS(r) == 3) break;
        say("system", strerrorname_np(errno));
    }
}

static const struct {
    const char* name;
    void (*run)(void);
} parts[] = {{"local_socket", local_socket}, {"pipes", pipes}, {"tcp", tcp}, {"readiness", readiness}, {"descriptors", descriptors},
             {"sleeps", sleeps}, {"names", names}, {"children_and_files", children_and_files}};

int main(int count, char** words) {
    signal(SIGPIPE, SIG_IGN);
    const int open_before = open_descriptors();
    if (weft_fault_begin) weft_fault_begin();
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; ++i)
        if (count < 2 || strcmp(words[1], parts[i].name) == 0) parts[i].run();
    if (weft_fault_end) weft_fault_end();
    if (open_descriptors() != open_before) bad("descriptors were lost");
    say("done", "");
    return 0;
}
