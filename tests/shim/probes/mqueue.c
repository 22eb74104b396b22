// SPDX-License-Identifier: Apache-2.0
// POSIX message queues.
#include "probe.h"

#include <mqueue.h>
#include <sched.h>

static char buf[64];
static char name[64];

/// A queue of two messages of 32 bytes.
static mqd_t open_queue(int flags) {
    snprintf(name, sizeof name, "/weft-probe-%d", getpid());
    mq_unlink(name);
    struct mq_attr shape = {.mq_maxmsg = 2, .mq_msgsize = 32};
    return must(mq_open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | flags, 0600, &shape), "mq_open");
}
static void close_queue(mqd_t q) {
    mq_close(q);
    mq_unlink(name);
}

static void send_raw(mqd_t q, const char* text, unsigned priority) {
    raw(SYS_mq_timedsend, q, text, strlen(text), priority, NULL);
}
static long receive_raw(mqd_t q) { return raw(SYS_mq_timedreceive, q, buf, sizeof buf, NULL, NULL); }

static struct timespec from_now(long ms) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_nsec += ms * 1000000;
    t.tv_sec += t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    return t;
}

// Each way to receive and to send; `limit` NULL: the forms without a time limit.
static long receive(mqd_t q, const struct timespec* limit, unsigned* priority) {
    return limit ? mq_timedreceive(q, buf, sizeof buf, priority, limit) : mq_receive(q, buf, sizeof buf, priority);
}
static long transmit(mqd_t q, const struct timespec* limit) {
    return limit ? mq_timedsend(q, "sent", 4, 5, limit) : mq_send(q, "sent", 4, 5);
}

PROBE(all_forms) {
    for (int timed = 0; timed < 2; ++timed) {
        const char* in = timed ? "mq_timedreceive" : "mq_receive";
        const char* out = timed ? "mq_timedsend" : "mq_send";
        mqd_t q = open_queue(0);
        struct timespec limit = from_now(5000);
        const struct timespec* t = timed ? &limit : NULL;
        unsigned priority = 0;
        send_raw(q, "low", 1);
        send_raw(q, "high", 9);
        label("%s.ready", in);
        begin();
        done(receive(q, t, &priority), buf, -1);
        fact("priority", priority);
        begin();
        done(receive(q, t, NULL), buf, -1);
        label("%s.blocks", in);
        PEER { delay(60); send_raw(q, "late", 3); }
        begin();
        done(receive(q, t, &priority), buf, -1);
        fact("priority", priority);
        reap();
        label("%s.ready", out);
        begin();
        done(transmit(q, t), NULL, -1);
        begin();
        done(transmit(q, t), NULL, -1);
        label("%s.blocks", out);
        PEER { delay(60); receive_raw(q); }
        begin();
        done(transmit(q, t), NULL, -1);
        reap();
        for (int restart = 0; restart < 2; ++restart) {
            handle(SIGUSR1, restart ? SA_RESTART : 0);
            label("%s.%s", out, restart ? "restart" : "eintr");
            PEER { delay(50); poke(SIGUSR1); if (restart) delay(50), receive_raw(q); }
            begin();
            done(transmit(q, t), NULL, -1);
            fact("caught", caught);
            reap();
        }
        receive_raw(q), receive_raw(q);
        for (int restart = 0; restart < 2; ++restart) {
            handle(SIGUSR1, restart ? SA_RESTART : 0);
            label("%s.%s", in, restart ? "restart" : "eintr");
            PEER { delay(50); poke(SIGUSR1); if (restart) delay(50), send_raw(q, "after", 0); }
            begin();
            done(receive(q, t, NULL), buf, -1);
            fact("caught", caught);
            reap();
        }
        label("%s.badfd", in);
        begin();
        done(receive(1000, t, NULL), NULL, -1);
        label("%s.badfd/size", in);
        send_raw(q, "x", 0);
        begin();
        done(timed ? mq_timedreceive(q, buf, 3, NULL, t) : mq_receive(q, buf, 3, NULL), NULL, -1);
        label("%s.badfd", out);
        begin();
        done(transmit(1000, t), NULL, -1);
        label("%s.badfd/size", out);
        begin();
        done(timed ? mq_timedsend(q, buf, 33, 0, t) : mq_send(q, buf, 33, 0), NULL, -1);
        label("%s.badfd/priority", out);
        begin();
        done(timed ? mq_timedsend(q, buf, 3, 40000, t) : mq_send(q, buf, 3, 40000), NULL, -1);
        close_queue(q);
        q = open_queue(O_NONBLOCK);
        label("%s.nonblock", in);
        begin();
        done(receive(q, t, NULL), NULL, -1);
        send_raw(q, "1", 0), send_raw(q, "2", 0);
        label("%s.nonblock", out);
        begin();
        done(transmit(q, t), NULL, -1);
        close_queue(q);
    }
}

PROBE(time_limits) {
    mqd_t q = open_queue(0);
    struct timespec limit = from_now(80);
    label("mq_timedreceive.timeout");
    begin();
    done(mq_timedreceive(q, buf, sizeof buf, NULL, &limit), NULL, -1);
    begin();
    done(mq_timedreceive(q, buf, sizeof buf, NULL, &limit), NULL, -1);
    send_raw(q, "there", 0);
    label("mq_timedreceive.timeout/there");
    begin();
    done(mq_timedreceive(q, buf, sizeof buf, NULL, &limit), buf, -1);
    const struct timespec odd = {0, 1000000000}, negative = {-1, 0};
    const struct timespec* volatile nowhere = (const struct timespec*)8;
    const struct timespec* volatile none = NULL;
    send_raw(q, "there", 0);
    label("mq_timedreceive.badfd/odd");
    begin();
    done(mq_timedreceive(q, buf, sizeof buf, NULL, &odd), NULL, -1);
    label("mq_timedreceive.badfd/negative");
    begin();
    done(mq_timedreceive(q, buf, sizeof buf, NULL, &negative), NULL, -1);
    label("mq_timedreceive.badfd/nowhere");
    begin();
    done(mq_timedreceive(q, buf, sizeof buf, NULL, nowhere), NULL, -1);
    label("mq_timedreceive.ready/for_ever");
    begin();
    done(mq_timedreceive(q, buf, sizeof buf, NULL, none), buf, -1);
    send_raw(q, "1", 0), send_raw(q, "2", 0);
    limit = from_now(80);
    label("mq_timedsend.timeout");
    begin();
    done(mq_timedsend(q, "x", 1, 0, &limit), NULL, -1);
    begin();
    done(mq_timedsend(q, "x", 1, 0, &limit), NULL, -1);
    close_queue(q);
}

// A notification goes to who asked for it, unless somebody receives at that moment.
PROBE(notification) {
    mqd_t q = open_queue(0);
    handle(SIGUSR2, SA_RESTART);
    const struct sigevent how = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2};
    label("mq_receive.blocks/notify");
    fact("asked", mq_notify(q, &how));
    PEER { delay(60); send_raw(q, "taken", 0); }
    begin();
    done(mq_receive(q, buf, sizeof buf, NULL), buf, -1);
    reap();
    fact("caught", caught);
    label("pause.eintr/notify");
    PEER { delay(60); send_raw(q, "told", 0); }
    begin();
    done(pause(), NULL, -1);
    fact("caught", caught);
    reap();
    close_queue(q);
}

PROBE(polled) {
    mqd_t q = open_queue(0);
    struct pollfd p = {q, POLLIN, 0};
    label("poll.blocks/mqueue");
    PEER { delay(60); send_raw(q, "x", 0); }
    begin();
    done(poll(&p, 1, 3000), NULL, p.revents);
    reap();
    close_queue(q);
}

PROBE(forked) {
    mqd_t q = open_queue(0);
    fflush(stdout);
    if (fork() == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        label("mq_receive.fork");
        begin();
        done(mq_receive(q, buf, sizeof buf, NULL), buf, -1);
        _exit(0);
    }
    delay(30);
    send_raw(q, "for the child", 0);
    reap();
    close_queue(q);
}
