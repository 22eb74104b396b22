// SPDX-License-Identifier: Apache-2.0
// Signals in the middle of a blocking call: EINTR without SA_RESTART, a restarted call with it, handlers that jump out.
#include "probe.h"

#include <setjmp.h>
#include <sys/eventfd.h>

static char buf[4096];

// A receiving call of each kind on fd.
static long receive(int how, int fd) {
    struct iovec part = {buf, 100};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    struct sockaddr_un from;
    socklen_t size = sizeof from;
    switch (how) {
    case 0: return read(fd, buf, 100);
    case 1: return readv(fd, &part, 1);
    case 2: return recv(fd, buf, 100, 0);
    case 3: return recvfrom(fd, buf, 100, 0, (struct sockaddr*)&from, &size);
    default: return recvmsg(fd, &message, 0);
    }
}
static const char* const receive_name[] = {"read", "readv", "recv", "recvfrom", "recvmsg"};

PROBE(receiving) {
    for (int kind = 0; kind < media; ++kind)
        for (int how = 0; how < (kind == on_pipe ? 2 : 5); ++how)
            for (int restart = 0; restart < 2; ++restart) {
                int p[2];
                open_pair((enum medium)kind, p);
                handle(SIGUSR1, restart ? SA_RESTART : 0);
                label("%s/%s/%s", receive_name[how], medium_name[kind], restart ? "restart" : "eintr");
                PEER { delay(50); poke(SIGUSR1); if (restart) delay(50), put(p[1], "after"); }
                begin();
                done(receive(how, p[0]), buf, flags_of(p[0]));
                fact("caught", caught);
                reap();
                close_pair(p);
            }
}

PROBE(several_signals) {
    int p[2];
    open_pair(on_unix, p);
    handle(SIGUSR1, SA_RESTART);
    PEER { for (int i = 0; i < 5; ++i) delay(20), poke(SIGUSR1); delay(20); put(p[1], "x"); }
    begin();
    done(read(p[0], buf, 10), buf, -1);
    fact("caught", caught);
    close_pair(p);
}

PROBE(interval_timer) {
    int p[2];
    open_pair(on_pipe, p);
    handle(SIGALRM, 0);
    const struct itimerval every = {{0, 30000}, {0, 30000}}, never = {{0, 0}, {0, 0}};
    setitimer(ITIMER_REAL, &every, NULL);
    begin();
    for (int i = 0; i < 3; ++i) done(read(p[0], buf, 10), NULL, -1);
    setitimer(ITIMER_REAL, &never, NULL);
    fact("caught", caught);
    close_pair(p);
}

PROBE(alarm_while_waiting) {
    int p[2];
    open_pair(on_tcp, p);
    handle(SIGALRM, 0);
    alarm(1);
    begin();
    done(recv(p[0], buf, 10, 0), NULL, -1);
    fact("caught", caught);
    close_pair(p);
}

// Data and signal at once: whichever is first, the data is not lost.
PROBE(data_with_signal) {
    int p[2];
    open_pair(on_unix, p);
    handle(SIGUSR1, SA_RESTART);
    PEER { delay(50); put(p[1], "data"); poke(SIGUSR1); }
    begin();
    done(read(p[0], buf, 10), buf, -1);
    reap();
    fact("caught", caught);
    close_pair(p);
}

// An ignored signal, and one whose default is to be ignored, interrupt nothing.
PROBE(ignored) {
    int p[2];
    open_pair(on_unix, p);
    signal(SIGUSR1, SIG_IGN);
    PEER { delay(30); poke(SIGUSR1); poke(SIGWINCH); poke(SIGCHLD); delay(30); put(p[1], "x"); }
    begin();
    done(read(p[0], buf, 10), buf, -1);
    close_pair(p);
    signal(SIGUSR1, SIG_DFL);
}

static int to_handler[2];
static void writing_handler(int number) {
    (void)number;
    ++caught;
    if (write(to_handler[1], "h", 1)) {}
}

// The handler itself makes the call end: it writes to the pipe that is being read.
PROBE(handler_writes) {
    must(pipe(to_handler), "pipe");
    handle(SIGUSR1, SA_RESTART);
    signal(SIGUSR1, writing_handler);
    PEER { delay(50); poke(SIGUSR1); }
    begin();
    done(read(to_handler[0], buf, 10), buf, -1);
    fact("caught", caught);
    close_pair(to_handler);
    signal(SIGUSR1, SIG_DFL);
}

static sigjmp_buf out;
static void jumping_handler(int number) {
    (void)number;
    siglongjmp(out, 1);
}

// How programs bounded blocking calls before there were timeouts. What was waited for works as ever afterwards.
PROBE(handler_jumps) {
    int p[2];
    open_pair(on_unix, p);
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = jumping_handler;
    sigaction(SIGUSR1, &action, NULL);
    for (int i = 0; i < 3; ++i) {
        PEER { delay(50); poke(SIGUSR1); }
        begin();
        if (sigsetjmp(out, 1) == 0) {
            done(read(p[0], buf, 10), NULL, -1);
        } else {
            errno = 0;
            done(-77, NULL, flags_of(p[0]));
        }
        reap();
    }
    signal(SIGUSR1, SIG_DFL);
    PEER { delay(50); put(p[1], "works"); }
    begin();
    done(read(p[0], buf, 10), buf, -1);
    close_pair(p);
}

// A pending signal is taken when it is unblocked, not by the read before.
PROBE(blocked_signal) {
    int p[2];
    open_pair(on_unix, p);
    sigset_t set, before;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    handle(SIGUSR1, 0);
    sigprocmask(SIG_BLOCK, &set, &before);
    PEER { poke(SIGUSR1); delay(60); put(p[1], "x"); }
    begin();
    done(read(p[0], buf, 10), buf, -1);
    fact("caught_before", caught);
    sigprocmask(SIG_SETMASK, &before, NULL);
    fact("caught_after", caught);
    close_pair(p);
}

PROBE(errno_in_a_handler) {
    int p[2];
    open_pair(on_unix, p);
    handle(SIGUSR1, 0);
    PEER { delay(40); poke(SIGUSR1); }
    begin();
    const ssize_t n = read(p[0], buf, 10);
    done(n < 0 && errno == EINTR, NULL, -1);
    close_pair(p);
}

// A fatal signal kills a process that waits, as it would have.
PROBE(fatal) {
    int p[2], status = 0;
    open_pair(on_unix, p);
    fflush(stdout);
    const pid_t child = must(fork(), "fork");
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (read(p[0], buf, 10)) {}
        _exit(0);
    }
    PEER { delay(50); raw(SYS_kill, child, SIGTERM); }
    begin();
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {}
    done(WTERMSIG(status), NULL, -1);
    close_pair(p);
}
