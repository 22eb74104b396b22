// SPDX-License-Identifier: Apache-2.0
// poll, ppoll, select, pselect.
#include "probe.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/timerfd.h>

static struct pollfd fds[600];

// One wait for fds[0..n), by any of the four calls; the milliseconds -1 are for ever. The revents of the select kind
// are made from its sets: POLLIN, POLLOUT, POLLPRI.
__attribute__((noinline)) static int wait_by(int how, nfds_t n, int ms) {
    const struct timespec t = {ms / 1000, ms % 1000 * 1000000L};
    struct timeval v = {ms / 1000, ms % 1000 * 1000L};
    if (how == 0) return poll(fds, n, ms);
    if (how == 1) return ppoll(fds, n, ms < 0 ? NULL : &t, NULL);
    fd_set in, out, pri;
    FD_ZERO(&in);
    FD_ZERO(&out);
    FD_ZERO(&pri);
    int top = 0;
    for (nfds_t i = 0; i < n; ++i) {
        if (fds[i].events & POLLIN) FD_SET(fds[i].fd, &in);
        if (fds[i].events & POLLOUT) FD_SET(fds[i].fd, &out);
        if (fds[i].events & POLLPRI) FD_SET(fds[i].fd, &pri);
        if (fds[i].fd >= top) top = fds[i].fd + 1;
    }
    const int count = how == 2 ? select(top, &in, &out, &pri, ms < 0 ? NULL : &v)
                               : pselect(top, &in, &out, &pri, ms < 0 ? NULL : &t, NULL);
    const int error = errno;
    for (nfds_t i = 0; i < n && count >= 0; ++i)
        fds[i].revents = (short)((FD_ISSET(fds[i].fd, &in) ? POLLIN : 0) | (FD_ISSET(fds[i].fd, &out) ? POLLOUT : 0) |
                                 (FD_ISSET(fds[i].fd, &pri) ? POLLPRI : 0));
    errno = error;
    return count;
}
static const char* const wait_name[] = {"poll", "ppoll", "select", "pselect"};

static void ask(int index, int fd, short events) { fds[index] = (struct pollfd){fd, events, 0x55}; }

#define FOR_EACH_WAIT(case_name)                                            \
    static void one_##case_name(int how);                                   \
    PROBE(case_name) {                                                      \
        for (int how = 0; how < 4; ++how) {                                 \
            label("%s/%s", wait_name[how], #case_name);                     \
            one_##case_name(how);                                           \
            reap();                                                         \
        }                                                                   \
    }                                                                       \
    static void one_##case_name(int how)

FOR_EACH_WAIT(ready) {
    int p[2];
    for (int kind = 0; kind < media; ++kind) {
        open_pair((enum medium)kind, p);
        put(p[1], "x");
        ask(0, p[0], POLLIN), ask(1, p[1], POLLOUT);
        begin();
        done(wait_by(how, 2, -1), NULL, fds[0].revents | fds[1].revents << 16);
        close_pair(p);
    }
}

FOR_EACH_WAIT(blocks) {
    int p[2];
    for (int kind = 0; kind < media; ++kind) {
        open_pair((enum medium)kind, p);
        PEER { delay(60); put(p[1], "x"); delay(20); }
        ask(0, p[0], POLLIN);
        begin();
        done(wait_by(how, 1, kind == on_unix ? 1000 : -1), NULL, fds[0].revents);
        fact("flags", flags_of(p[0]));
        reap();
        close_pair(p);
    }
}

FOR_EACH_WAIT(writable_again) {
    int p[2];
    for (int kind = 0; kind < media; ++kind) {
        open_pair((enum medium)kind, p);
        fill(p[1], (enum medium)kind);
        PEER { close(p[1]); delay(60); drain(p[0], 1L << 20); }
        ask(0, p[1], POLLOUT);
        begin();
        done(wait_by(how, 1, 3000), NULL, fds[0].revents);
        close_pair(p);
        reap();
    }
}

FOR_EACH_WAIT(times_out) {
    int p[2];
    open_pair(on_unix, p);
    ask(0, p[0], POLLIN);
    begin();
    done(wait_by(how, 1, 80), NULL, fds[0].revents);
    begin();
    done(wait_by(how, 1, 0), NULL, fds[0].revents);
    begin();
    done(wait_by(how, 0, 60), NULL, -1);
    close_pair(p);
}

FOR_EACH_WAIT(hang_up) {
    int p[2];
    for (int kind = 0; kind < media; ++kind) {
        open_pair((enum medium)kind, p);
        PEER { delay(60); }
        close(p[1]);
        ask(0, p[0], POLLIN);
        begin();
        done(wait_by(how, 1, -1), NULL, fds[0].revents);
        reap();
        close(p[0]);
    }
    open_pair(on_pipe, p);
    close(p[0]);
    ask(0, p[1], POLLOUT);
    begin();
    done(wait_by(how, 1, -1), NULL, fds[0].revents);
    close(p[1]);
}

FOR_EACH_WAIT(same_twice) {
    int p[2];
    open_pair(on_unix, p);
    PEER { delay(60); put(p[1], "x"); }
    ask(0, p[0], POLLIN), ask(1, p[0], POLLIN), ask(2, p[0], POLLPRI);
    begin();
    done(wait_by(how, 3, 1000), NULL, fds[0].revents | fds[1].revents << 8 | fds[2].revents << 16);
    close_pair(p);
}

FOR_EACH_WAIT(always_ready) {
    const int file = open("/etc/passwd", O_RDONLY), null = open("/dev/null", O_RDWR), directory = open("/", O_RDONLY);
    ask(0, file, POLLIN), ask(1, null, POLLIN | POLLOUT), ask(2, directory, POLLIN);
    begin();
    done(wait_by(how, 3, -1), NULL, fds[0].revents | fds[1].revents << 8 | fds[2].revents << 16);
    close(file), close(null), close(directory);
}

FOR_EACH_WAIT(interrupted) {
    int p[2];
    open_pair(on_unix, p);
    for (int restart = 0; restart < 2; ++restart) {
        handle(SIGUSR1, restart ? SA_RESTART : 0);
        PEER { delay(60); poke(SIGUSR1); }
        ask(0, p[0], POLLIN);
        begin();
        done(wait_by(how, 1, restart ? -1 : 2000), NULL, -1);
        fact(restart ? "caught_restart" : "caught", caught);
        reap();
    }
    close_pair(p);
}

FOR_EACH_WAIT(many) {
    static int pairs[250][2];
    for (int i = 0; i < 250; ++i) {
        must(pipe(pairs[i]), "pipe");
        ask(i, pairs[i][0], POLLIN);
    }
    PEER { delay(60); put(pairs[7][1], "x"); put(pairs[249][1], "x"); }
    begin();
    const int count = wait_by(how, 250, 2000);
    done(count > 0, NULL, -1);
    reap();
    begin();
    done(wait_by(how, 250, 2000), NULL, fds[7].revents | fds[8].revents << 8 | fds[249].revents << 16);
    for (int i = 0; i < 250; ++i) close_pair(pairs[i]);
}

FOR_EACH_WAIT(kinds) {
    const int event = eventfd(0, 0), timer = timerfd_create(CLOCK_MONOTONIC, 0), set = epoll_create1(0);
    const struct itimerspec in_a_while = {{0, 0}, {0, 60000000}};
    ask(0, event, POLLIN), ask(1, timer, POLLIN), ask(2, set, POLLIN);
    begin();
    done(wait_by(how, 3, 30), NULL, fds[0].revents | fds[1].revents << 8 | fds[2].revents << 16);
    timerfd_settime(timer, 0, &in_a_while, NULL);
    begin();
    done(wait_by(how, 3, 2000), NULL, fds[0].revents | fds[1].revents << 8 | fds[2].revents << 16);
    struct epoll_event want = {.events = EPOLLIN};
    epoll_ctl(set, EPOLL_CTL_ADD, event, &want);
    PEER { const uint64_t one = 1; delay(60); if (raw(SYS_write, event, &one, 8)) {} }
    ask(0, set, POLLIN);
    begin();
    done(wait_by(how, 1, 2000), NULL, fds[0].revents);
    close(event), close(timer), close(set);
}

PROBE(special_events) {
    int p[2];
    open_pair(on_tcp, p);
    ask(0, -1, POLLIN), ask(1, 876, POLLIN), ask(2, -5, POLLOUT);
    begin();
    done(poll(fds, 3, -1), NULL, fds[0].revents | fds[1].revents << 8 | fds[2].revents << 16);
    ask(0, -1, POLLIN);
    begin();
    done(poll(fds, 1, 60), NULL, fds[0].revents);
    label("special_events/rdhup");
    PEER { delay(60); shutdown(p[1], SHUT_WR); }
    ask(0, p[0], POLLRDHUP);
    begin();
    done(poll(fds, 1, 2000), NULL, fds[0].revents);
    reap();
    label("special_events/no_events");
    PEER { delay(60); close(p[1]); }
    close(p[1]);
    ask(0, p[0], 0);
    begin();
    done(poll(fds, 1, 100), NULL, fds[0].revents);
    ask(0, p[0], POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM | POLLRDHUP);
    begin();
    done(poll(fds, 1, 100), NULL, fds[0].revents);
    close(p[0]);
    label("special_events/pipe_no_events");
    open_pair(on_pipe, p);
    PEER { delay(60); }
    close(p[1]);
    ask(0, p[0], 0);
    begin();
    done(poll(fds, 1, 2000), NULL, fds[0].revents);
    close(p[0]);
}
