// SPDX-License-Identifier: Apache-2.0
// epoll_wait, epoll_pwait, epoll_pwait2: results, limits, signals, masks and mistakes; sets that are inherited, nested and changed.
#include "probe.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>

static struct epoll_event got[64];

// One wait by any of the three calls; the milliseconds -1 are for ever.
__attribute__((noinline)) static int wait_by(int how, int set, int most, int ms) {
    const struct timespec t = {ms / 1000, ms % 1000 * 1000000L};
    if (how == 0) return epoll_wait(set, got, most, ms);
    if (how == 1) return epoll_pwait(set, got, most, ms, NULL);
    return epoll_pwait2(set, got, most, ms < 0 ? NULL : &t, NULL);
}
static const char* const wait_name[] = {"epoll_wait", "epoll_pwait", "epoll_pwait2"};

static int control(int set, int operation, int fd, uint32_t events, uint32_t data) {
    struct epoll_event e = {.events = events, .data.u32 = data};
    return epoll_ctl(set, operation, fd, &e);
}
static void add(int set, int fd, uint32_t events) { must(control(set, EPOLL_CTL_ADD, fd, events, (uint32_t)fd), "add"); }

// What the first event says.
static long first(void) { return probe_result > 0 ? (long)got[0].events : -1; }
#define outcome(call) (memset(got, 0, sizeof got), probe_result = (call), probe_errno = errno, probe_done(NULL, first()))

#define FOR_EACH_WAIT(case_name)                                            \
    static void one_##case_name(int how);                                   \
    PROBE(case_name) {                                                      \
        for (int how = 0; how < 3; ++how) {                                 \
            label("%s/%s", wait_name[how], #case_name);                     \
            one_##case_name(how);                                           \
            reap();                                                         \
        }                                                                   \
    }                                                                       \
    static void one_##case_name(int how)

FOR_EACH_WAIT(ready) {
    for (int kind = 0; kind < media; ++kind) {
        int p[2];
        open_pair((enum medium)kind, p);
        const int set = epoll_create1(0);
        add(set, p[0], EPOLLIN);
        add(set, p[1], EPOLLOUT);
        put(p[1], "x");
        begin();
        outcome(wait_by(how, set, 8, -1));
        begin();
        outcome(wait_by(how, set, 1, 0));
        begin();
        outcome(wait_by(how, set, 1, 5));
        close_pair(p);
        begin();
        outcome(wait_by(how, set, 1, 0)); // what is closed is no longer in it
        close(set);
    }
}

FOR_EACH_WAIT(blocks) {
    for (int kind = 0; kind < media; ++kind) {
        int p[2];
        open_pair((enum medium)kind, p);
        const int set = epoll_create(1);
        add(set, p[0], EPOLLIN | EPOLLRDHUP);
        PEER { delay(60); put(p[1], "x"); delay(60); put(p[1], "y"); }
        begin();
        outcome(wait_by(how, set, 8, -1));
        char c[4];
        if (read(p[0], c, 4)) {}
        begin();
        outcome(wait_by(how, set, 8, 5000));
        reap();
        close(p[1]);
        begin();
        outcome(wait_by(how, set, 8, -1)); // the end of the file
        close(p[0]);
        close(set);
    }
}

FOR_EACH_WAIT(timeout) {
    int p[2];
    must(pipe(p), "pipe");
    const int set = epoll_create1(0);
    begin();
    outcome(wait_by(how, set, 8, 60)); // an empty one
    add(set, p[0], EPOLLIN);
    begin();
    outcome(wait_by(how, set, 8, 60));
    begin();
    outcome(wait_by(how, set, 8, 0));
    begin();
    outcome(wait_by(how, set, 8, 1));
    close_pair(p);
    close(set);
}

FOR_EACH_WAIT(errors) {
    int p[2];
    must(pipe(p), "pipe");
    const int set = epoll_create1(0);
    add(set, p[1], EPOLLOUT);
    begin();
    outcome(wait_by(how, 999, 8, -1));
    begin();
    outcome(wait_by(how, -1, 8, 50));
    begin();
    outcome(wait_by(how, p[0], 8, -1));
    begin();
    outcome(wait_by(how, set, 0, -1));
    begin();
    outcome(wait_by(how, set, -5, -1));
    begin();
    outcome(wait_by(how, set, INT32_MAX, -1));
    close_pair(p);
    close(set);
}

PROBE(bad_pointers) {
    int p[2];
    must(pipe(p), "pipe");
    const int set = epoll_create1(0);
    add(set, p[0], EPOLLIN);
    label("bad_pointers");
    struct epoll_event* volatile low = (struct epoll_event*)8;
    struct epoll_event* volatile high = (struct epoll_event*)-4096;
    begin();
    done(epoll_wait(set, low, 1, 20), NULL, -1);
    put(p[1], "x");
    begin();
    done(epoll_wait(set, low, 1, -1), NULL, -1);
    begin();
    done(epoll_wait(set, high, 1, -1), NULL, -1);
    begin();
    done(epoll_pwait(set, got, 1, -1, (sigset_t*)8), NULL, -1);
    begin();
    done(epoll_pwait2(set, got, 1, (struct timespec*)8, NULL), NULL, -1);
    const struct timespec odd[] = {{0, 1000000000}, {-1, 0}, {0, -1}};
    for (int i = 0; i < 3; ++i) {
        begin();
        done(epoll_pwait2(set, got, 1, &odd[i], NULL), NULL, -1);
    }
    begin();
    done(epoll_ctl(set, EPOLL_CTL_ADD, p[1], NULL), NULL, -1);
    close_pair(p);
    close(set);
}

PROBE(control_errors) {
    int p[2];
    must(pipe(p), "pipe");
    const int set = epoll_create1(0), file = open("/proc/self/exe", O_RDONLY);
    begin();
    done(control(set, EPOLL_CTL_ADD, file, EPOLLIN, 0), NULL, -1);
    done(control(set, EPOLL_CTL_ADD, set, EPOLLIN, 0), NULL, -1);
    done(control(set, EPOLL_CTL_ADD, 999, EPOLLIN, 0), NULL, -1);
    done(control(999, EPOLL_CTL_ADD, p[0], EPOLLIN, 0), NULL, -1);
    done(control(p[0], EPOLL_CTL_ADD, p[0], EPOLLIN, 0), NULL, -1);
    done(control(set, EPOLL_CTL_MOD, p[0], EPOLLIN, 0), NULL, -1);
    done(control(set, EPOLL_CTL_DEL, p[0], 0, 0), NULL, -1);
    done(control(set, 77, p[0], 0, 0), NULL, -1);
    done(control(set, EPOLL_CTL_ADD, p[0], EPOLLIN, 0), NULL, -1);
    done(control(set, EPOLL_CTL_ADD, p[0], EPOLLIN, 0), NULL, -1);
    done(control(set, EPOLL_CTL_MOD, p[0], EPOLLIN | EPOLLEXCLUSIVE, 0), NULL, -1);
    done(epoll_create(0), NULL, -1);
    done(epoll_create(-1), NULL, -1);
    done(epoll_create1(12345), NULL, -1);
    int inner = epoll_create1(0);
    add(inner, p[0], EPOLLIN);
    add(set, inner, EPOLLIN);
    begin();
    done(control(inner, EPOLL_CTL_ADD, set, EPOLLIN, 0), NULL, -1); // a circle
    close(inner);
    close(file);
    close_pair(p);
    close(set);
}

FOR_EACH_WAIT(eintr) {
    for (int flags = 0; flags < 2; ++flags) {
        int p[2];
        must(pipe(p), "pipe");
        const int set = epoll_create1(0);
        add(set, p[0], EPOLLIN);
        handle(SIGUSR1, flags ? SA_RESTART : 0);
        PEER { delay(60); poke(SIGUSR1); }
        begin();
        outcome(wait_by(how, set, 8, flags ? -1 : 5000));
        fact("handlers", caught);
        reap();
        close_pair(p);
        close(set);
    }
}

// The mask of epoll_pwait is in force while it waits, and no longer.
PROBE(mask) {
    int p[2];
    must(pipe(p), "pipe");
    const int set = epoll_create1(0);
    add(set, p[0], EPOLLIN);
    sigset_t usr1, none, full, now;
    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    sigemptyset(&none);
    sigfillset(&full);
    handle(SIGUSR1, SA_RESTART);
    for (int i = 0; i < 2; ++i) {
        const struct timespec t = {0, 60000000};
        label("mask/%d", i);
        sigprocmask(SIG_BLOCK, &usr1, NULL);
        caught = 0;
        raise(SIGUSR1);
        begin();
        outcome(i ? epoll_pwait2(set, got, 8, &t, &usr1) : epoll_pwait(set, got, 8, 60, &usr1)); // still blocked
        fact("handlers", caught);
        begin();
        outcome(i ? epoll_pwait2(set, got, 8, NULL, &none) : epoll_pwait(set, got, 8, -1, &none)); // was pending
        fact("handlers", caught);
        PEER { delay(60); poke(SIGUSR1); }
        begin();
        outcome(i ? epoll_pwait2(set, got, 8, NULL, &none) : epoll_pwait(set, got, 8, -1, &none));
        fact("handlers", caught);
        sigprocmask(SIG_SETMASK, NULL, &now);
        fact("blocked", sigismember(&now, SIGUSR1));
        sigprocmask(SIG_UNBLOCK, &usr1, NULL);
        fact("later", caught);
        PEER { delay(60); poke(SIGUSR1); }
        begin();
        outcome(epoll_pwait(set, got, 8, 120, &full));
        fact("after", caught);
        reap();
    }
    close_pair(p);
    close(set);
}

// A set made by the parent, and one that both use.
PROBE(inherited) {
    int p[2], back[2];
    must(pipe(p), "pipe");
    must(pipe(back), "pipe");
    const int set = epoll_create1(0);
    add(set, p[0], EPOLLIN);
    begin();
    outcome(epoll_wait(set, got, 8, 5));
    if (probe_fork()) {
        const int n = epoll_wait(set, got, 8, 5000);
        char c;
        if (n == 1 && read(p[0], &c, 1) == 1) put(back[1], "child");
        _exit(0);
    }
    PEER { delay(60); put(p[1], "x"); }
    begin();
    char text[8];
    done(read(back[0], text, 5), text, -1);
    PEER { delay(60); put(p[1], "x"); }
    begin();
    outcome(epoll_wait(set, got, 8, -1));
    reap();
    close_pair(p);
    close_pair(back);
    close(set);
}

PROBE(nested) {
    int p[2];
    must(pipe(p), "pipe");
    int sets[4];
    for (int i = 0; i < 4; ++i) {
        sets[i] = epoll_create1(0);
        add(sets[i], i ? sets[i - 1] : p[0], EPOLLIN | (i == 2 ? EPOLLET : 0));
    }
    for (int i = 3; i >= 0; --i) {
        PEER { delay(60); put(p[1], "x"); }
        begin();
        outcome(epoll_wait(sets[i], got, 8, -1));
        fact("which", got[0].data.fd == (i ? sets[i - 1] : p[0]));
        reap();
        char c;
        if (read(p[0], &c, 1)) {}
        begin();
        outcome(epoll_wait(sets[i], got, 8, 60));
    }
    struct pollfd as_poll = {sets[3], POLLIN, 0};
    PEER { delay(60); put(p[1], "x"); }
    begin();
    done(poll(&as_poll, 1, -1), NULL, as_poll.revents);
    for (int i = 0; i < 4; ++i) close(sets[i]);
    close_pair(p);
}

// The peer changes a set that is waited for: it shares it.
PROBE(changed) {
    int a[2], b[2];
    must(pipe(a), "pipe");
    must(pipe(b), "pipe");
    const int set = epoll_create1(0);
    put(b[1], "x");
    PEER {
        delay(60);
        struct epoll_event e = {.events = EPOLLIN, .data.u32 = 7};
        raw(SYS_epoll_ctl, set, EPOLL_CTL_ADD, b[0], &e);
    }
    begin();
    outcome(epoll_wait(set, got, 8, -1));
    fact("data", got[0].data.u32);
    must(control(set, EPOLL_CTL_MOD, b[0], 0, 0), "mod");
    PEER {
        delay(60);
        struct epoll_event e = {.events = EPOLLIN, .data.u32 = 8};
        raw(SYS_epoll_ctl, set, EPOLL_CTL_MOD, b[0], &e);
    }
    begin();
    outcome(epoll_wait(set, got, 8, -1));
    fact("data", got[0].data.u32);
    close_pair(a);
    close_pair(b);
    close(set);
}

PROBE(kinds) {
    const int event = eventfd(0, 0), timer = timerfd_create(CLOCK_MONOTONIC, 0), set = epoll_create1(0);
    const struct itimerspec in = {{0, 0}, {0, 60000000}};
    add(set, event, EPOLLIN | EPOLLOUT);
    begin();
    outcome(epoll_wait(set, got, 8, -1));
    must(control(set, EPOLL_CTL_MOD, event, EPOLLIN, 1), "mod");
    add(set, timer, EPOLLIN);
    timerfd_settime(timer, 0, &in, NULL);
    begin();
    outcome(epoll_wait(set, got, 8, -1));
    fact("timer", got[0].data.fd == timer);
    // Urgent data, and a peer that resets.
    int p[2];
    tcp_pair(p);
    const int other = epoll_create1(0);
    add(other, p[0], EPOLLPRI);
    PEER { delay(60); raw(SYS_sendto, p[1], "u", 1, MSG_OOB, NULL, 0); }
    begin();
    outcome(epoll_wait(other, got, 8, -1));
    reap();
    const struct linger now = {1, 0};
    setsockopt(p[1], SOL_SOCKET, SO_LINGER, &now, sizeof now);
    must(control(other, EPOLL_CTL_MOD, p[0], 0, 0), "mod");
    const int writer = p[1];
    PEER { close(p[0]); delay(60); close(writer); }
    close(writer);
    begin();
    outcome(epoll_wait(other, got, 8, -1));
    close(p[0]);
    close(event), close(timer), close(set), close(other);
}

static int both_set;
static void both_wait(int fd) {
    struct epoll_event e;
    const long n = epoll_wait(both_set, &e, 1, 5000);
    char c;
    if (n == 1 && raw(SYS_read, e.data.fd, &c, 1) == 1) put(fd, "1");
    _exit(0);
}

// Two processes wait for one set; each gets its event.
PROBE(two) {
    int p[2], q[2], back[2];
    must(pipe(p), "pipe");
    must(pipe(q), "pipe");
    must(pipe(back), "pipe");
    fcntl(p[0], F_SETFL, O_NONBLOCK);
    fcntl(q[0], F_SETFL, O_NONBLOCK);
    both_set = epoll_create1(0);
    add(both_set, p[0], EPOLLIN | EPOLLONESHOT);
    add(both_set, q[0], EPOLLIN | EPOLLONESHOT);
    for (int i = 0; i < 2; ++i)
        if (probe_fork()) both_wait(back[1]);
    PEER { delay(60); put(p[1], "x"); put(q[1], "x"); }
    begin();
    char c;
    long answers = read(back[0], &c, 1);
    done(answers + read(back[0], &c, 1), NULL, -1);
    reap();
    close_pair(p), close_pair(q), close_pair(back), close(both_set);
}
