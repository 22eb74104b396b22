// SPDX-License-Identifier: Apache-2.0
//
// A probe is an ordinary C program that knows nothing of weft. It makes blocking calls and prints one line for each:
//
//     label result errno bytes flags ms
//
// A label is call.situation, more after a slash: read.blocks/tcp. The situations of README.md's table are ready, blocks (then ready),
// eof, reset, badfd, nonblock (set by the program), flags, timeout, eintr, restart, closing (close, dup2 or shutdown meanwhile), fork, two (at once).
//
// The runner (../probe.py) runs it bare and in other ways and compares the lines: everything exactly, only the
// milliseconds with a tolerance. errno is always printed, so a successful call must leave it alone as libc does.
//
//     PROBE(read_blocks) {
//         int p[2]; pipe(p);
//         PEER { delay(60); put(p[1], "hello"); }        // a forked child, raw system calls only
//         begin(); ssize_t n = read(p[0], buf, 64); done(n, buf, -1);
//     }
//
// The same source is built three ways: a program; a program that runs its cases from .preinit_array, before any
// constructor, and then again from main (PROBE_PREINIT); a shared object that runs them in a constructor (PROBE_CTOR).
#pragma once

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define QUIET __attribute__((unused))

/// A system call past libc and past whoever intercepts it: what the other side of a call under test uses. As syscall(2).
QUIET static long raw_call(long number, long a, long b, long c, long d, long e, long f) {
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "0"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
    if (result < 0 && result > -4096) {
        errno = (int)-result;
        return -1;
    }
    return result;
}
#define RAW_PICK(n, a, b, c, d, e, f, ...) raw_call((n), (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
#define raw(...) RAW_PICK(__VA_ARGS__, 0, 0, 0, 0, 0, 0, 0)

struct probe_case {
    const char* name;
    void (*run)(void);
};

/// Defines and registers one case. Cases share the process: each closes what it opened.
#define PROBE(name)                                                                                     \
    static void name(void);                                                                             \
    static struct probe_case case_##name __attribute__((section("probe_cases"), used)) = {#name, name}; \
    static void name(void)

extern struct probe_case __start_probe_cases[] __attribute__((visibility("hidden")));
extern struct probe_case __stop_probe_cases[] __attribute__((visibility("hidden")));

// ---- what a case prints -------------------------------------------------------------------------------------------

static char probe_label[96];
static const char* probe_prefix = "";
static int probe_step;
static struct timespec probe_start;

/// Names the next line; without it lines of one case are numbered.
QUIET static void label(const char* format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(probe_label, sizeof probe_label, format, args);
    va_end(args);
    probe_step = 0;
}

QUIET static long since_start(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (now.tv_sec - probe_start.tv_sec) * 1000 + (now.tv_nsec - probe_start.tv_nsec + 500000) / 1000000;
}

/// Where another fiber counts beside the program (../ticker_object.cpp): how far it has come, and its longest pause since it was last asked.
__attribute__((weak)) long weft_probe_ticks(long* longest_ms);
static long probe_ticks, probe_pause;

/// Starts the clock and clears errno: the line before the call under test.
QUIET static void begin(void) {
    if (weft_probe_ticks) probe_ticks = weft_probe_ticks(&probe_pause);
    clock_gettime(CLOCK_MONOTONIC, &probe_start);
    errno = 0;
}

static void probe_line(long result, int error, const char* bytes, long count, long flags, long ms) {
    char text[160];
    int used = 0;
    for (long i = 0; i < count && i < 32; ++i)
        used += snprintf(text + used, sizeof text - (size_t)used, bytes[i] > ' ' && bytes[i] <= '~' ? "%c" : "\\%02x",
                         (unsigned char)bytes[i]);
    char step[12] = "";
    if (++probe_step > 1) snprintf(step, sizeof step, "#%d", probe_step);
    const char* name = error ? strerrorname_np(error) : "-";
    char hex[24] = "-", time[24] = "-";
    if (flags >= 0) snprintf(hex, sizeof hex, "0x%lx", (unsigned long)flags);
    if (ms >= 0) snprintf(time, sizeof time, "%ld", ms);
    printf("%s%s%s %ld %s %s %s %s", probe_prefix, probe_label, step, result, name ? name : "?",
           count > 0 ? text : "-", hex, time);
    if (weft_probe_ticks && ms >= 0) {
        const long ticks = weft_probe_ticks(&probe_pause);
        printf(" %ld %ld", ticks - probe_ticks, probe_pause);
    }
    printf("\n");
    fflush(stdout);
}

static long probe_result;
static int probe_errno;

/// Prints a call's outcome: result, errno, the bytes it delivered (as many as result says), flags (-1: none). A macro,
/// so that the call is made before the flags are looked at.
#define done(call, bytes, flags) \
    (probe_result = (long)(call), probe_errno = errno, probe_done((const void*)(bytes), (long)(flags)))

QUIET static void probe_done(const void* bytes, long flags) {
    const long ms = since_start();
    probe_line(probe_result, probe_errno, bytes, bytes && probe_result > 0 ? probe_result : 0, flags, ms);
}

/// As done, for a call that returns its error number (clock_nanosleep) or whose errno means nothing (dns).
QUIET static void done_code(long result, const char* text) {
    probe_line(result, 0, text, text ? (long)strlen(text) : 0, -1, since_start());
}

/// Prints a fact that has no duration.
QUIET static void fact(const char* name, long value) {
    char before[sizeof probe_label];
    strcpy(before, probe_label);
    const int step = probe_step;
    char number[12] = "";
    if (step > 1) snprintf(number, sizeof number, "#%d", step);
    label("%.50s%s/%.30s", before, number, name);
    probe_line(value, 0, NULL, 0, -1, -1);
    strcpy(probe_label, before);
    probe_step = step;
}

/// Ends the program where a case cannot even be set up.
QUIET static int must(int result, const char* what) {
    if (result < 0) {
        printf("SETUP FAILED %s: %s: %s\n", probe_label, what, strerror(errno));
        fflush(stdout);
        _exit(3);
    }
    return result;
}

// ---- the other side: a forked child that uses raw system calls, so it behaves alike in every mode --------------------

static pid_t probe_parent;

QUIET static int probe_fork(void) {
    fflush(stdout);
    probe_parent = getpid();
    const int child = must(fork(), "fork") == 0;
    if (child) prctl(PR_SET_PDEATHSIG, SIGKILL);
    return child;
}

/// PEER { ... } runs the block in a child; the parent goes on at once.
#define PEER for (int peer_once = probe_fork(); peer_once; _exit(0))

QUIET static void delay(long ms) {
    struct timespec left = {ms / 1000, ms % 1000 * 1000000};
    while (raw(SYS_nanosleep, &left, &left) != 0) {}
}

/// Waits for every peer, so that the next case starts alone.
QUIET static void reap(void) {
    while (raw(SYS_wait4, -1, NULL, 0, NULL) > 0 || errno == EINTR) {}
}

QUIET static void put(int fd, const char* text) {
    if (raw(SYS_write, fd, text, strlen(text)) < 0) {}
}

/// Reads until the end of file or `limit` bytes; returns how many came.
QUIET static long drain(int fd, long limit) {
    static char sink[65536];
    long total = 0;
    while (total < limit) {
        const long left = limit - total;
        const long n = raw(SYS_read, fd, sink, left < (long)sizeof sink ? left : (long)sizeof sink);
        if (n <= 0) break;
        total += n;
    }
    return total;
}

QUIET static void poke(int number) { raw(SYS_kill, probe_parent, number); }

// ---- sockets, signals ------------------------------------------------------------------------------------------------

/// A TCP listener on a free loopback port; its address goes to *where.
QUIET static int listen_tcp(int backlog, struct sockaddr_in* where) {
    const int fd = must(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
    socklen_t size = sizeof *where;
    memset(where, 0, sizeof *where);
    where->sin_family = AF_INET;
    where->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    must(bind(fd, (struct sockaddr*)where, size), "bind");
    must(listen(fd, backlog), "listen");
    must(getsockname(fd, (struct sockaddr*)where, &size), "getsockname");
    return fd;
}

/// Two connected TCP sockets: pair[0] is the program's, pair[1] the peer's. Their buffers are small, to be filled.
QUIET static void tcp_pair(int pair[2]) {
    struct sockaddr_in where;
    const int small = 32768;
    const int listener = listen_tcp(1, &where);
    setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    setsockopt(listener, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    pair[0] = must(socket(AF_INET, SOCK_STREAM, 0), "socket");
    setsockopt(pair[0], SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    must((int)raw(SYS_connect, pair[0], &where, sizeof where), "connect");
    pair[1] = must((int)raw(SYS_accept4, listener, NULL, NULL, 0), "accept");
    close(listener);
    const int on = 1;  // no waiting for a delayed acknowledgement
    for (int i = 0; i < 2; ++i) setsockopt(pair[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

enum medium { on_pipe, on_unix, on_tcp, media };
QUIET static const char* const medium_name[] = {"pipe", "unix", "tcp"};

/// pair[0] is read from, pair[1] is written to (sockets work both ways).
QUIET static void open_pair(enum medium kind, int pair[2]) {
    if (kind == on_pipe) must(pipe(pair), "pipe");
    else if (kind == on_unix) must(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), "socketpair");
    else tcp_pair(pair);
}

QUIET static void close_pair(int pair[2]) {
    close(pair[0]);
    close(pair[1]);
}

/// Writes until nothing more fits for a while, without touching the descriptor's flags. Returns how much went in.
QUIET static long fill(int fd, enum medium kind) {
    static const char sink[65536];
    if (kind == on_pipe) return must((int)raw(SYS_write, fd, sink, sizeof sink), "fill");
    struct pollfd writable = {fd, POLLOUT, 0};
    long total = 0;
    do {
        for (size_t size = sizeof sink; size; size /= 256)
            for (long n; (n = raw(SYS_sendto, fd, sink, size, MSG_DONTWAIT, NULL, 0)) > 0;) total += n;
    } while (raw(SYS_poll, &writable, 1, kind == on_tcp ? 60 : 0) > 0);  // a delayed acknowledgement makes room
    return total;
}

/// The status flags of interest: O_NONBLOCK and O_APPEND.
QUIET static long flags_of(int fd) { return raw(SYS_fcntl, fd, F_GETFL) & (O_NONBLOCK | O_APPEND); }

static volatile sig_atomic_t caught;
QUIET static void on_signal(int number) {
    (void)number;
    ++caught;
}

/// Installs the counting handler; `flags` is 0 or SA_RESTART.
QUIET static void handle(int number, int flags) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    action.sa_flags = flags;
    sigaction(number, &action, NULL);
    caught = 0;
}

// ---- running ---------------------------------------------------------------------------------------------------------

/// PROBE_CASE=name in the environment runs that case alone.
static void probe_run(void) {
    const char* only = getenv("PROBE_CASE");
    for (struct probe_case* c = __start_probe_cases; c < __stop_probe_cases; ++c) {
        if (only && strcmp(only, c->name) != 0) continue;
        label("%s", c->name);
        c->run();
        reap();
    }
}

#if defined(PROBE_CTOR)
__attribute__((constructor)) static void probe_constructor(void) {
    unsetenv("LD_PRELOAD");
    probe_run();
    fflush(stdout);
}
#else
#if defined(PROBE_PREINIT)
static void probe_preinit(int argc, char** argv, char** envp) {
    (void)argc, (void)argv, (void)envp;
    probe_run();
}
__attribute__((section(".preinit_array"), used)) static void (*const probe_first)(int, char**, char**) = probe_preinit;
#endif

int main(void) {
#if defined(PROBE_PREINIT)
    probe_prefix = "main:";
#endif
    probe_run();
    return 0;
}
#endif
