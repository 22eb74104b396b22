// SPDX-License-Identifier: Apache-2.0
// syscall(): the kernel's own interface, by number.
#include "probe.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>

static char buf[65536];

static struct timespec ms(long n) { return (struct timespec){n / 1000, n % 1000 * 1000000}; }
static long rounded(struct timespec left) { return (left.tv_sec * 1000 + left.tv_nsec / 1000000 + 50) / 100 * 100; }

// What receives, in the kernel's words.
static long receive(long number, int fd) {
    struct iovec part = {buf, 100};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    switch (number) {
    case SYS_readv: return syscall(number, fd, &part, 1);
    case SYS_recvfrom: return syscall(number, fd, buf, 100, 0, NULL, NULL);
    case SYS_recvmsg: return syscall(number, fd, &message, 0);
    default: return syscall(number, fd, buf, 100);
    }
}
static const struct {
    const char* name;
    long number;
} receivers[] = {{"read", SYS_read}, {"readv", SYS_readv}, {"recvfrom", SYS_recvfrom}, {"recvmsg", SYS_recvmsg}};

static long transmit(long number, int fd, size_t size) {
    struct iovec part = {buf, size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    switch (number) {
    case SYS_writev: return syscall(number, fd, &part, 1);
    case SYS_sendto: return syscall(number, fd, buf, size, 0, NULL, 0);
    case SYS_sendmsg: return syscall(number, fd, &message, 0);
    default: return syscall(number, fd, buf, size);
    }
}
static const struct {
    const char* name;
    long number;
} senders[] = {{"write", SYS_write}, {"writev", SYS_writev}, {"sendto", SYS_sendto}, {"sendmsg", SYS_sendmsg}};

PROBE(receiving) {
    int p[2];
    for (size_t i = 0; i < 4; ++i) {
        label("syscall.blocks/%s", receivers[i].name);
        open_pair(on_unix, p);
        PEER { delay(60); put(p[1], "hello"); }
        begin();
        done(receive(receivers[i].number, p[0]), buf, flags_of(p[0]));
        label("syscall.ready/%s", receivers[i].name);
        put(p[1], "there");
        begin();
        done(receive(receivers[i].number, p[0]), buf, -1);
        label("syscall.nonblock/%s", receivers[i].name);
        fcntl(p[0], F_SETFL, O_NONBLOCK);
        begin();
        done(receive(receivers[i].number, p[0]), NULL, -1);
        fcntl(p[0], F_SETFL, 0);
        label("syscall.eintr/%s", receivers[i].name);
        handle(SIGUSR1, 0);
        PEER { delay(50); poke(SIGUSR1); }
        begin();
        done(receive(receivers[i].number, p[0]), NULL, -1);
        reap();
        label("syscall.restart/%s", receivers[i].name);
        handle(SIGUSR1, SA_RESTART);
        PEER { delay(30); poke(SIGUSR1); delay(30); put(p[1], "on"); }
        begin();
        done(receive(receivers[i].number, p[0]), buf, -1);
        reap();
        label("syscall.eof/%s", receivers[i].name);
        close(p[1]);
        begin();
        done(receive(receivers[i].number, p[0]), NULL, -1);
        label("syscall.badfd/%s", receivers[i].name);
        close(p[0]);
        begin();
        done(receive(receivers[i].number, p[0]), NULL, -1);
    }
    label("syscall.blocks/read/pipe");
    open_pair(on_pipe, p);
    PEER { delay(60); put(p[1], "piped"); }
    begin();
    done(syscall(SYS_read, p[0], buf, 100), buf, flags_of(p[0]));
    label("syscall.badfd/read/fault");
    put(p[1], "x");
    begin();
    done(syscall(SYS_read, p[0], (void*)8, 10), NULL, -1);
    close_pair(p);
}

PROBE(sending) {
    int p[2];
    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < 4; ++i) {
        label("syscall.blocks/%s", senders[i].name);
        open_pair(on_unix, p);
        fill(p[0], on_unix);
        PEER { close(p[0]); delay(60); drain(p[1], 1L << 30); }
        begin();
        done(transmit(senders[i].number, p[0], 20000), NULL, flags_of(p[0]));
        close_pair(p);
        reap();
        label("syscall.reset/%s", senders[i].name);
        open_pair(on_unix, p);
        close(p[1]);
        begin();
        done(transmit(senders[i].number, p[0], 10), NULL, -1);
        close(p[0]);
        label("syscall.badfd/%s", senders[i].name);
        begin();
        done(transmit(senders[i].number, -1, 10), NULL, -1);
    }
    signal(SIGPIPE, SIG_DFL);
}

PROBE(connecting) {
    struct sockaddr_in where;
    const int listener = listen_tcp(1, &where);
    for (int flags = 0; flags < 2; ++flags) {
        label("syscall.blocks/%s", flags ? "accept4" : "accept");
        PEER {
            delay(60);
            const int fd = (int)raw(SYS_socket, AF_INET, SOCK_STREAM, 0);
            raw(SYS_connect, fd, &where, sizeof where);
            put(fd, "me");
            delay(20);
        }
        begin();
        const int fd = flags ? (int)syscall(SYS_accept4, listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)
                             : (int)syscall(SYS_accept, listener, NULL, NULL);
        done(fd > 2, NULL, flags_of(fd));
        fact("cloexec", fcntl(fd, F_GETFD));
        fcntl(fd, F_SETFL, 0);
        label("syscall.blocks/%s/read", flags ? "accept4" : "accept");
        begin();
        done(syscall(SYS_read, fd, buf, 10), buf, -1);
        begin();
        done(syscall(SYS_close, fd), NULL, -1);
        reap();
    }
    label("syscall.blocks/connect");
    const int fd = (int)syscall(SYS_socket, AF_INET, SOCK_STREAM, 0);
    begin();
    done(syscall(SYS_connect, fd, &where, sizeof where), NULL, flags_of(fd));
    close(fd);
    close(listener);
    label("syscall.reset/connect");
    const int other = (int)syscall(SYS_socket, AF_INET, SOCK_STREAM, 0);
    begin();
    done(syscall(SYS_connect, other, &where, sizeof where), NULL, -1);
    close(other);
    label("syscall.badfd/accept");
    begin();
    done(syscall(SYS_accept, -1, NULL, NULL), NULL, -1);
}

struct kernel_mask {
    const void* mask;
    size_t size;
};

PROBE(waiting) {
    int p[2];
    uint64_t usr1 = 1UL << (SIGUSR1 - 1), none = 0;
    open_pair(on_pipe, p);
    struct pollfd one = {p[0], POLLIN, 0};
    fd_set in;
    label("syscall.timeout/poll");
    begin();
    done(syscall(SYS_poll, &one, 1, 60), NULL, one.revents);
    label("syscall.timeout/ppoll");
    struct timespec t = ms(60);
    begin();
    done(syscall(SYS_ppoll, &one, 1, &t, NULL, 0), NULL, -1);
    fact("left", t.tv_sec * 1000000000 + t.tv_nsec);
    label("syscall.timeout/select");
    struct timeval v = {0, 60000};
    FD_ZERO(&in);
    FD_SET(p[0], &in);
    begin();
    done(syscall(SYS_select, p[0] + 1, &in, NULL, NULL, &v), NULL, FD_ISSET(p[0], &in));
    fact("left", v.tv_sec * 1000000 + v.tv_usec);
    label("syscall.timeout/pselect6");
    t = ms(60);
    begin();
    done(syscall(SYS_pselect6, 0, NULL, NULL, NULL, &t, NULL), NULL, -1);
    fact("left", t.tv_sec * 1000000000 + t.tv_nsec);

    label("syscall.blocks/ppoll");
    t = ms(500);
    PEER { delay(60); put(p[1], "x"); }
    begin();
    done(syscall(SYS_ppoll, &one, 1, &t, &none, 8), NULL, one.revents);
    fact("left", rounded(t));
    reap();
    drain(p[0], 1);
    label("syscall.blocks/pselect6");
    t = ms(500);
    FD_ZERO(&in);
    FD_SET(p[0], &in);
    PEER { delay(60); put(p[1], "x"); }
    begin();
    done(syscall(SYS_pselect6, p[0] + 1, &in, NULL, NULL, &t, &(struct kernel_mask){&none, 8}), NULL, FD_ISSET(p[0], &in));
    fact("left", rounded(t));
    reap();
    label("syscall.ready/ppoll");
    t = ms(300);
    begin();
    done(syscall(SYS_ppoll, &one, 1, &t, NULL, 0), NULL, one.revents);
    fact("left", rounded(t));
    drain(p[0], 1);

    // A time-out that the kernel cannot write back.
    label("syscall.timeout/ppoll/constant");
    struct timespec* constant = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    *constant = ms(60);
    mprotect(constant, 4096, PROT_READ);
    begin();
    done(syscall(SYS_ppoll, NULL, 0, constant, NULL, 0), NULL, -1);
    munmap(constant, 4096);

    // Signals: the mask given is the mask while it waits.
    handle(SIGUSR1, SA_RESTART);
    sigset_t blocked, before;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    sigprocmask(SIG_BLOCK, &blocked, &before);
    label("syscall.eintr/ppoll");
    t = ms(500);
    PEER { delay(60); poke(SIGUSR1); }
    begin();
    done(syscall(SYS_ppoll, NULL, 0, &t, &none, 8), NULL, -1);
    fact("left", rounded(t));
    fact("caught", caught);
    reap();
    label("syscall.eintr/pselect6");
    t = ms(500);
    PEER { delay(60); poke(SIGUSR1); }
    begin();
    done(syscall(SYS_pselect6, 0, NULL, NULL, NULL, &t, &(struct kernel_mask){&none, 8}), NULL, -1);
    fact("left", rounded(t));
    fact("caught", caught);
    reap();
    sigprocmask(SIG_SETMASK, &before, NULL);
    label("syscall.timeout/ppoll/masked");
    t = ms(100);
    PEER { delay(50); poke(SIGUSR1); }
    begin();
    done(syscall(SYS_ppoll, NULL, 0, &t, &usr1, 8), NULL, -1);
    fact("caught", caught);
    reap();

    label("syscall.badfd/ppoll/size");
    t = ms(1000);
    begin();
    done(syscall(SYS_ppoll, NULL, 0, &t, &none, 16), NULL, -1);
    label("syscall.badfd/ppoll/time");
    t.tv_nsec = -1;
    begin();
    done(syscall(SYS_ppoll, NULL, 0, &t, NULL, 0), NULL, -1);
    label("syscall.badfd/ppoll/fault");
    begin();
    done(syscall(SYS_ppoll, NULL, 0, (void*)8, NULL, 0), NULL, -1);
    label("syscall.badfd/ppoll/mask");
    t = ms(1000);
    begin();
    done(syscall(SYS_ppoll, NULL, 0, &t, (void*)8, 8), NULL, -1);
    label("syscall.badfd/pselect6/pair");
    begin();
    done(syscall(SYS_pselect6, 0, NULL, NULL, NULL, &t, (void*)8), NULL, -1);
    label("syscall.badfd/pselect6/size");
    begin();
    done(syscall(SYS_pselect6, 0, NULL, NULL, NULL, &t, &(struct kernel_mask){&none, 4}), NULL, -1);
    label("syscall.badfd/poll");
    begin();
    done(syscall(SYS_poll, (void*)8, 1, 1000), NULL, -1);
    close_pair(p);
}

PROBE(sleeping) {
    struct timespec want = ms(60), left = {7, 7};
    label("syscall.blocks/nanosleep");
    begin();
    done(syscall(SYS_nanosleep, &want, &left), NULL, -1);
    fact("left_untouched", left.tv_sec == 7 && left.tv_nsec == 7);
    label("syscall.blocks/clock_nanosleep");
    begin();
    done(syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &want, NULL), NULL, -1);
    label("syscall.eintr/nanosleep");
    handle(SIGUSR1, SA_RESTART);
    want = ms(400);
    PEER { delay(100); poke(SIGUSR1); }
    begin();
    done(syscall(SYS_nanosleep, &want, &left), NULL, -1);
    fact("left", rounded(left));
    reap();
    label("syscall.eintr/clock_nanosleep");
    PEER { delay(100); poke(SIGUSR1); }
    begin();
    done(syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &want, &left), NULL, -1);
    fact("left", rounded(left));
    reap();
    label("syscall.badfd/nanosleep");
    want.tv_nsec = -5;
    begin();
    done(syscall(SYS_nanosleep, &want, NULL), NULL, -1);
    begin();
    done(syscall(SYS_nanosleep, (void*)8, NULL), NULL, -1);
    label("syscall.badfd/clock_nanosleep");
    want = ms(10);
    begin();
    done(syscall(SYS_clock_nanosleep, 77, 0, &want, NULL), NULL, -1);
    begin();
    done(syscall(SYS_clock_nanosleep, CLOCK_THREAD_CPUTIME_ID, 0, &want, NULL), NULL, -1);
    label("syscall.ready/sched_yield");
    begin();
    done(syscall(SYS_sched_yield), NULL, -1);
}

static int child_that(long sleeps, int status) {
    fflush(stdout);
    const int child = must(fork(), "fork");
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        delay(sleeps);
        _exit(status);
    }
    return child;
}

PROBE(children) {
    int status = 0;
    struct rusage used;
    label("syscall.blocks/wait4");
    int child = child_that(60, 5);
    begin();
    done(syscall(SYS_wait4, child, &status, 0, &used) == child, NULL, WEXITSTATUS(status));
    child = child_that(60, 6);
    begin();
    done(syscall(SYS_wait4, -1, &status, 0, NULL) == child, NULL, WEXITSTATUS(status));
    label("syscall.blocks/waitid");
    child = child_that(60, 7);
    siginfo_t info;
    memset(&info, 0, sizeof info);
    begin();
    done(syscall(SYS_waitid, P_PID, child, &info, WEXITED, &used), NULL, info.si_status);
    label("syscall.badfd/wait4");
    begin();
    done(syscall(SYS_wait4, -1, &status, 0, NULL), NULL, -1);
    label("syscall.badfd/waitid");
    begin();
    done(syscall(SYS_waitid, P_ALL, 0, &info, WEXITED, NULL), NULL, -1);
    // Children that libc does not know of.
    label("syscall.fork/fork");
    fflush(stdout);
    child = (int)syscall(SYS_fork);
    if (child == 0) raw(SYS_exit_group, 8);
    begin();
    done(syscall(SYS_wait4, child, &status, 0, NULL) == child, NULL, WEXITSTATUS(status));
    label("syscall.fork/clone");
    child = (int)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (child == 0) raw(SYS_exit_group, 9);
    begin();
    done(syscall(SYS_wait4, child, &status, 0, NULL) == child, NULL, WEXITSTATUS(status));
}

// As rt_sigaction(2) has it.
struct kernel_action {
    void (*handler)(int);
    unsigned long flags;
    void (*restorer)(void);
    uint64_t mask;
};

PROBE(signals) {
    struct kernel_action old, mine;
    struct sigaction seen;
    label("syscall.ready/rt_sigaction");
    handle(SIGUSR1, SA_RESTART);
    memset(&old, 0, sizeof old);
    begin();
    done(syscall(SYS_rt_sigaction, SIGUSR1, NULL, &old, 8), NULL, (long)(old.flags & ~0x04000000UL));
    fact("handler", old.handler == on_signal);
    mine = old;
    mine.flags = (old.flags & 0x04000000UL) | SA_NODEFER;
    mine.mask = 1UL << (SIGUSR2 - 1);
    begin();
    done(syscall(SYS_rt_sigaction, SIGUSR1, &mine, &old, 8), NULL, (long)(old.flags & ~0x04000000UL));
    sigaction(SIGUSR1, NULL, &seen);
    fact("flags", seen.sa_flags & ~0x04000000);
    fact("mask", sigismember(&seen.sa_mask, SIGUSR2));
    fact("seen", seen.sa_handler == on_signal);
    raw(SYS_kill, getpid(), SIGUSR1);
    fact("caught", caught);
    label("syscall.badfd/rt_sigaction");
    begin();
    done(syscall(SYS_rt_sigaction, SIGUSR1, NULL, &old, 16), NULL, -1);
    begin();
    done(syscall(SYS_rt_sigaction, SIGKILL, &mine, NULL, 8), NULL, -1);
    begin();
    done(syscall(SYS_rt_sigaction, 99, &mine, NULL, 8), NULL, -1);
    begin();
    done(syscall(SYS_rt_sigaction, SIGUSR1, (void*)8, NULL, 8), NULL, -1);
    begin();
    done(syscall(SYS_rt_sigaction, SIGUSR1, NULL, (void*)8, 8), NULL, -1);

    uint64_t set = 1UL << (SIGUSR1 - 1), none = 0, before = 0;
    label("syscall.ready/rt_sigprocmask");
    begin();
    done(syscall(SYS_rt_sigprocmask, SIG_BLOCK, &set, &before, 8), NULL, -1);
    fact("usr1_was_blocked", (long)(before & set));
    label("syscall.timeout/rt_sigtimedwait");
    struct timespec t = ms(60);
    siginfo_t info;
    begin();
    done(syscall(SYS_rt_sigtimedwait, &set, &info, &t, 8), NULL, -1);
    label("syscall.blocks/rt_sigtimedwait");
    PEER { delay(60); poke(SIGUSR1); }
    begin();
    done(syscall(SYS_rt_sigtimedwait, &set, &info, NULL, 8), NULL, info.si_signo);
    reap();
    label("syscall.badfd/rt_sigtimedwait");
    begin();
    done(syscall(SYS_rt_sigtimedwait, &set, &info, &t, 4), NULL, -1);
    label("syscall.blocks/rt_sigsuspend");
    caught = 0;
    PEER { delay(60); poke(SIGUSR1); }
    begin();
    done(syscall(SYS_rt_sigsuspend, &none, 8), NULL, -1);
    fact("caught", caught);
    reap();
    label("syscall.badfd/rt_sigsuspend");
    begin();
    done(syscall(SYS_rt_sigsuspend, &none, 9), NULL, -1);
    syscall(SYS_rt_sigprocmask, SIG_UNBLOCK, &set, NULL, 8);
    label("syscall.blocks/pause");
    PEER { delay(60); poke(SIGUSR1); }
    begin();
    done(syscall(SYS_pause), NULL, -1);
    signal(SIGUSR1, SIG_DFL);
}

static unsigned word;

static void* waker(void* number) {
    delay(60);
    __atomic_store_n(&word, 1, __ATOMIC_SEQ_CST);
    if (number) syscall(SYS_futex, &word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1);
    else raw(SYS_futex, &word, FUTEX_WAKE, 1);
    return NULL;
}

PROBE(futexes) {
    struct timespec t = ms(60);
    pthread_t thread;
    label("syscall.nonblock/futex");
    word = 3;
    begin();
    done(syscall(SYS_futex, &word, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 4, NULL), NULL, -1);
    label("syscall.timeout/futex");
    begin();
    done(syscall(SYS_futex, &word, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 3, &t), NULL, -1);
    begin();
    done(syscall(SYS_futex, &word, FUTEX_WAIT, 3, &t), NULL, -1);
    label("syscall.blocks/futex/private");
    word = 0;
    pthread_create(&thread, NULL, waker, &word);
    begin();
    done(syscall(SYS_futex, &word, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 0, NULL), NULL, word);
    pthread_join(thread, NULL);
    label("syscall.blocks/futex/shared");
    unsigned* shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    PEER {
        delay(60);
        __atomic_store_n(shared, 1, __ATOMIC_SEQ_CST);
        raw(SYS_futex, shared, FUTEX_WAKE, 1);
    }
    begin();
    done(syscall(SYS_futex, shared, FUTEX_WAIT, 0, NULL), NULL, *shared);
    reap();
    munmap(shared, 4096);
    label("syscall.ready/futex/wake");
    begin();
    done(syscall(SYS_futex, &word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1), NULL, -1);
    label("syscall.badfd/futex");
    begin();
    done(syscall(SYS_futex, (char*)&word + 1, FUTEX_WAIT, 0, &t), NULL, -1);
    begin();
    done(syscall(SYS_futex, 8L, FUTEX_WAIT, 0, &t), NULL, -1);
    begin();
    done(syscall(SYS_futex, &word, 99, 0, &t), NULL, -1);
}

PROBE(descriptors) {
    int p[2];
    label("syscall.ready/pipe2");
    begin();
    done(syscall(SYS_pipe2, p, O_CLOEXEC), NULL, fcntl(p[0], F_GETFD));
    label("syscall.blocks/dup2");
    const int number = p[1];
    begin();
    done(syscall(SYS_dup2, p[0], 200), NULL, fcntl(200, F_GETFD));
    PEER { delay(60); put(number, "dup"); }
    begin();
    done(syscall(SYS_read, 200, buf, 10), buf, -1);
    label("syscall.ready/dup3");
    begin();
    done(syscall(SYS_dup3, p[0], 201, O_CLOEXEC), NULL, fcntl(201, F_GETFD));
    label("syscall.ready/fcntl");
    begin();
    done(syscall(SYS_fcntl, p[0], F_DUPFD, 300), NULL, fcntl(300, F_GETFD));
    label("syscall.ready/close");
    for (int fd = 200; fd < 202; ++fd) {
        begin();
        done(syscall(SYS_close, fd), NULL, -1);
    }
    label("syscall.badfd/close");
    begin();
    done(syscall(SYS_close, 200), NULL, -1);
    close(300);
    close_pair(p);
    label("syscall.ready/socketpair");
    begin();
    done(syscall(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, p), NULL, -1);
    close_pair(p);
    label("syscall.badfd/socketpair");
    begin();
    done(syscall(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, (void*)8), NULL, -1);
    label("syscall.blocks/eventfd2");
    const int event = (int)syscall(SYS_eventfd2, 0, 0);
    PEER { const uint64_t one = 1; delay(60); raw(SYS_write, event, &one, 8); }
    begin();
    done(syscall(SYS_read, event, buf, 8), NULL, -1);
    close(event);
}

PROBE(others) {
    label("syscall.ready/getpid");
    begin();
    done(syscall(SYS_getpid) == getpid(), NULL, -1);
    label("syscall.ready/gettid");
    begin();
    done(syscall(SYS_gettid) == gettid(), NULL, -1);
    label("syscall.badfd/unknown");
    begin();
    done(syscall(9999), NULL, -1);
    begin();
    done(syscall(-1), NULL, -1);
    label("syscall.ready/mmap");
    begin();
    char* p = (char*)syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    done(p != MAP_FAILED && *p == 0, NULL, -1);
    munmap(p, 4096);
}
