// SPDX-License-Identifier: Apache-2.0
// What only one of poll, ppoll, select, pselect has: masks, remaining time, wrong arguments.
#include "probe.h"

#include <sys/resource.h>
#include <sys/select.h>

static sigset_t only(int number) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, number);
    return set;
}

// SIGUSR1 is blocked outside the call and let in during it.
static void masked(int by_pselect) {
    const sigset_t blocked = only(SIGUSR1);
    sigset_t before, during, after;
    int p[2];
    open_pair(on_unix, p);
    handle(SIGUSR1, SA_RESTART);
    sigprocmask(SIG_BLOCK, &blocked, &before);
    during = before;
    sigdelset(&during, SIGUSR1);
    const struct timespec t = {2, 0};
    for (int pending = 0; pending < 2; ++pending) {
        label("%s/mask/%s", by_pselect ? "pselect" : "ppoll", pending ? "pending" : "arrives");
        PEER { if (!pending) delay(60); poke(SIGUSR1); }
        if (pending) reap();
        struct pollfd one = {p[0], POLLIN, 0};
        fd_set in;
        FD_ZERO(&in);
        FD_SET(p[0], &in);
        caught = 0;
        begin();
        done(by_pselect ? pselect(p[0] + 1, &in, NULL, NULL, &t, &during) : ppoll(&one, 1, &t, &during), NULL, -1);
        fact("caught", caught);
        sigprocmask(SIG_SETMASK, NULL, &after);
        fact("blocked_again", sigismember(&after, SIGUSR1));
        reap();
    }
    label("%s/mask/blocks", by_pselect ? "pselect" : "ppoll");
    // The other way round: the mask of the call keeps the signal out until the call is over.
    sigprocmask(SIG_SETMASK, &before, NULL);
    PEER { delay(30); poke(SIGUSR1); }
    const struct timespec brief = {0, 90000000};
    struct pollfd one = {p[0], POLLIN, 0};
    fd_set in;
    FD_ZERO(&in);
    FD_SET(p[0], &in);
    caught = 0;
    begin();
    done(by_pselect ? pselect(p[0] + 1, &in, NULL, NULL, &brief, &blocked) : ppoll(&one, 1, &brief, &blocked), NULL, -1);
    fact("caught_after", caught);
    close_pair(p);
}
PROBE(ppoll_mask) { masked(0); }
PROBE(pselect_mask) { masked(1); }

static long tens(struct timeval v) { return (v.tv_sec * 1000 + v.tv_usec / 1000 + 25) / 50 * 50; }

PROBE(select_remaining) {
    int p[2];
    open_pair(on_unix, p);
    fd_set in;
    FD_ZERO(&in);
    FD_SET(p[0], &in);
    struct timeval v = {0, 500000};
    PEER { delay(100); put(p[1], "x"); }
    begin();
    done(select(p[0] + 1, &in, NULL, NULL, &v), NULL, -1);
    fact("remaining", tens(v));
    fact("set", FD_ISSET(p[0], &in) != 0);
    reap();
    char got;
    if (raw(SYS_read, p[0], &got, 1)) {}
    v = (struct timeval){0, 60000};
    begin();
    done(select(p[0] + 1, &in, NULL, NULL, &v), NULL, -1);
    fact("remaining_after_timeout", v.tv_sec * 1000000 + v.tv_usec);
    fact("cleared", FD_ISSET(p[0], &in) == 0);
    handle(SIGUSR1, 0);
    v = (struct timeval){0, 500000};
    FD_SET(p[0], &in);
    PEER { delay(100); poke(SIGUSR1); }
    begin();
    done(select(p[0] + 1, &in, NULL, NULL, &v), NULL, -1);
    fact("remaining_after_signal", tens(v));
    fact("untouched", FD_ISSET(p[0], &in) != 0);
    close_pair(p);
}

// pselect and ppoll leave the caller's timeout alone.
PROBE(timeouts_are_const) {
    struct timespec t = {0, 60000000};
    begin();
    done(pselect(0, NULL, NULL, NULL, &t, NULL), NULL, -1);
    fact("pselect", t.tv_sec == 0 && t.tv_nsec == 60000000);
    begin();
    done(ppoll(NULL, 0, &t, NULL), NULL, -1);
    fact("ppoll", t.tv_sec == 0 && t.tv_nsec == 60000000);
}

PROBE(select_sleeps) {
    struct timeval v = {0, 70000};
    begin();
    done(select(0, NULL, NULL, NULL, &v), NULL, -1);
    v = (struct timeval){0, 1060000};
    begin();
    done(select(0, NULL, NULL, NULL, &v), NULL, -1);
    // Less than a millisecond is not a whole one.
    begin();
    for (int i = 0; i < 300; ++i) {
        v = (struct timeval){0, 500};
        select(0, NULL, NULL, NULL, &v);
    }
    done(0, NULL, -1);
}

PROBE(exceptional) {
    int p[2];
    open_pair(on_tcp, p);
    fd_set pri;
    FD_ZERO(&pri);
    FD_SET(p[0], &pri);
    PEER { delay(60); raw(SYS_sendto, p[1], "!", 1, MSG_OOB, NULL, 0); }
    struct timeval v = {2, 0};
    begin();
    done(select(p[0] + 1, NULL, NULL, &pri, &v), NULL, FD_ISSET(p[0], &pri) != 0);
    close_pair(p);
}

PROBE(three_sets) {
    int p[2];
    open_pair(on_unix, p);
    put(p[1], "x");
    fd_set in, out;
    FD_ZERO(&in);
    FD_ZERO(&out);
    FD_SET(p[0], &in);
    FD_SET(p[1], &in);
    FD_SET(p[0], &out);
    FD_SET(p[1], &out);
    begin();
    done(select(p[1] + 1, &in, &out, NULL, NULL), NULL, -1);
    fact("in", (FD_ISSET(p[0], &in) != 0) + (FD_ISSET(p[1], &in) != 0) * 2);
    fact("out", (FD_ISSET(p[0], &out) != 0) + (FD_ISSET(p[1], &out) != 0) * 2);
    close_pair(p);
}

PROBE(wrong_select) {
    fd_set in;
    int p[2];
    must(pipe(p), "pipe");
    close_pair(p);
    FD_ZERO(&in);
    FD_SET(p[0], &in);
    struct timeval v = {0, 0}, bad = {0, -1}, odd = {-1, 0};
    const struct timespec t = {0, 1000000000};
    volatile int few = -1;
    begin();
    done(select(p[0] + 1, &in, NULL, NULL, &v), NULL, -1);
    begin();
    done(select(few, NULL, NULL, NULL, &v), NULL, -1);
    begin();
    done(select(0, NULL, NULL, NULL, &bad), NULL, -1);
    begin();
    done(select(0, NULL, NULL, NULL, &odd), NULL, -1);
    begin();
    done(pselect(0, NULL, NULL, NULL, &t, NULL), NULL, -1);
    fd_set* volatile nowhere = (fd_set*)16;
    begin();
    done(select(10, nowhere, NULL, NULL, &v), NULL, -1);
}

PROBE(wrong_poll) {
    struct pollfd* volatile nowhere = (struct pollfd*)16;
    volatile nfds_t many = 1000;
    begin();
    done(poll(nowhere, many, 10), NULL, -1);
    begin();
    done(ppoll(nowhere, many, NULL, NULL), NULL, -1);
    const struct timespec t = {0, -1};
    begin();
    done(ppoll(NULL, 0, &t, NULL), NULL, -1);
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    static struct pollfd none[64];
    struct rlimit low = {32, limit.rlim_max};
    setrlimit(RLIMIT_NOFILE, &low);
    many = 64;
    begin();
    done(poll(none, many, 0), NULL, -1);
    setrlimit(RLIMIT_NOFILE, &limit);
    begin();
    done(poll(NULL, 0, 60), NULL, -1);
}

// Programs pass getdtablesize(), or more, with sets that are shorter: what lies behind the table of descriptors is left alone.
PROBE(long_select) {
    int p[2];
    must(pipe(p), "pipe");
    usleep(1000);
    const volatile int counts[] = {1025, 70000, 2000000000};
    for (int i = 0; i < 3; ++i) {
        label("select/long/%d", i);
        struct {
            fd_set in;
            char behind[16384];
        } sets;
        memset(&sets, 0, sizeof sets);
        memset(sets.behind, 0x55, sizeof sets.behind);
        FD_SET(p[0], &sets.in);
        struct timeval v = {0, 60000};
        begin();
        done(select(counts[i], &sets.in, NULL, NULL, &v), NULL, FD_ISSET(p[0], &sets.in) != 0);
        FD_SET(p[0], &sets.in);
        PEER { delay(60); put(p[1], "x"); }
        begin();
        done(pselect(counts[i], &sets.in, NULL, NULL, NULL, NULL), NULL, FD_ISSET(p[0], &sets.in) != 0);
        long changed = 0;
        for (size_t at = 0; at < sizeof sets.behind; ++at) changed += sets.behind[at] != 0x55;
        fact("changed", changed);
        reap();
        char c;
        if (read(p[0], &c, 1)) {}
    }
    close_pair(p);
}
