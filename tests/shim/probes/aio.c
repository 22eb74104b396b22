// SPDX-License-Identifier: Apache-2.0
// Asynchronous input and output: waiting for requests.
#include "probe.h"

#include <aio.h>

static char buf[2][16];

static struct aiocb reading(int fd, int which) {
    struct aiocb a;
    memset(&a, 0, sizeof a);
    a.aio_fildes = fd;
    a.aio_buf = buf[which];
    a.aio_nbytes = 5;
    a.aio_lio_opcode = LIO_READ;
    return a;
}

static void finish(struct aiocb* a) {
    const struct aiocb* list[] = {a};
    while (aio_error(a) == EINPROGRESS) aio_suspend(list, 1, NULL);
}

PROBE(suspended) {
    int p[2];
    must(pipe(p), "pipe");
    struct aiocb a = reading(p[0], 0);
    const struct aiocb* list[] = {NULL, &a};
    must(aio_read(&a), "aio_read");
    label("aio_suspend.timeout");
    const struct timespec some = {0, 80000000}, none = {0, 0};
    begin();
    done(aio_suspend(list, 2, &some), NULL, -1);
    begin();
    done(aio_suspend(list, 2, &none), NULL, -1);
    handle(SIGUSR1, 0);
    label("aio_suspend.eintr");
    PEER { delay(50); poke(SIGUSR1); }
    begin();
    done(aio_suspend(list, 2, NULL), NULL, -1);
    fact("caught", caught);
    reap();
    for (int restart = 0; restart < 2; ++restart) {
        const struct timespec long_time = {5, 0};
        handle(SIGUSR1, restart ? SA_RESTART : 0);
        label("aio_suspend.%s/timed", restart ? "restart" : "eintr");
        PEER { delay(50); poke(SIGUSR1); }
        begin();
        done(aio_suspend(list, 2, &long_time), NULL, -1);
        fact("caught", caught);
        reap();
    }
    handle(SIGUSR1, SA_RESTART);
    label("aio_suspend.restart");
    PEER { delay(50); poke(SIGUSR1); delay(50); put(p[1], "after"); }
    begin();
    done(aio_suspend(list, 2, NULL), NULL, -1);
    fact("caught", caught);
    fact("result", aio_return(&a));
    reap();
    a = reading(p[0], 0);
    must(aio_read(&a), "aio_read");
    label("aio_suspend.blocks");
    PEER { delay(60); put(p[1], "hello"); }
    begin();
    done(aio_suspend(list, 2, NULL), NULL, -1);
    fact("error", aio_error(&a));
    fact("result", aio_return(&a));
    reap();
    label("aio_suspend.ready");
    begin();
    done(aio_suspend(list, 2, NULL), NULL, -1);
    label("aio_suspend.ready/nothing");
    begin();
    done(aio_suspend(list, 1, &none), NULL, -1);
    label("aio_suspend64.blocks");
    struct aiocb64 b;
    memset(&b, 0, sizeof b);
    b.aio_fildes = p[0];
    b.aio_buf = buf[1];
    b.aio_nbytes = 5;
    const struct aiocb64* list64[] = {&b};
    must(aio_read64(&b), "aio_read64");
    PEER { delay(60); put(p[1], "again"); }
    begin();
    done(aio_suspend64(list64, 1, NULL), buf[1], -1);
    fact("result", aio_return64(&b));
    reap();
    close_pair(p);
}

PROBE(listed) {
    int p[2], q[2];
    must(pipe(p), "pipe");
    must(pipe(q), "pipe");
    struct aiocb a = reading(p[0], 0), b = reading(q[0], 1);
    struct aiocb* list[] = {&a, NULL, &b};
    label("lio_listio.blocks");
    PEER { delay(40); put(p[1], "first"); delay(40); put(q[1], "other"); }
    begin();
    done(lio_listio(LIO_WAIT, list, 3, NULL), NULL, -1);
    fact("results", aio_return(&a) * 10 + aio_return(&b));
    reap();
    label("lio_listio.badfd");
    a = reading(1000, 0);
    b = reading(q[0], 1);
    put(q[1], "12345");
    begin();
    done(lio_listio(LIO_WAIT, list, 3, NULL), NULL, -1);
    fact("a", aio_error(&a));
    fact("b", aio_error(&b));
    label("lio_listio.ready/nothing");
    begin();
    done(lio_listio(LIO_WAIT, list, 0, NULL), NULL, -1);
    label("lio_listio.badfd/mode");
    begin();
    done(lio_listio(77, list, 3, NULL), NULL, -1);
    label("lio_listio.nonblock");
    a = reading(p[0], 0);
    b = reading(q[0], 1);
    handle(SIGUSR2, 0);
    struct sigevent how = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2};
    begin();
    done(lio_listio(LIO_NOWAIT, list, 3, &how), NULL, -1);
    PEER { delay(60); put(p[1], "first"); put(q[1], "other"); }
    label("pause.eintr/lio_listio");
    begin();
    done(pause(), NULL, -1);
    fact("caught", caught);
    finish(&a);
    finish(&b);
    reap();
    label("lio_listio64.blocks");
    struct aiocb64 c;
    memset(&c, 0, sizeof c);
    c.aio_fildes = p[0];
    c.aio_buf = buf[0];
    c.aio_nbytes = 5;
    c.aio_lio_opcode = LIO_READ;
    struct aiocb64* list64[] = {&c};
    PEER { delay(60); put(p[1], "wide!"); }
    begin();
    done(lio_listio64(LIO_WAIT, list64, 1, NULL), buf[0], -1);
    fact("result", aio_return64(&c));
    reap();
    close_pair(p);
    close_pair(q);
}
