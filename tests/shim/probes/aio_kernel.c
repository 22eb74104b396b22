// SPDX-License-Identifier: Apache-2.0
// Requests that the kernel completes: io_getevents, io_pgetevents, io_uring_enter, by number.
#include "probe.h"

#include <linux/aio_abi.h>
#include <linux/io_uring.h>
#include <sys/mman.h>

static struct io_event events[8];

// Asks for the end that p[0] becomes readable.
static void ask(aio_context_t context, int fd, uint64_t data) {
    static struct iocb requests[8];
    static int next;
    struct iocb* r = &requests[next++ % 8];
    memset(r, 0, sizeof *r);
    r->aio_lio_opcode = IOCB_CMD_POLL;
    r->aio_fildes = (uint32_t)fd;
    r->aio_buf = POLLIN;
    r->aio_data = data;
    must((int)syscall(SYS_io_submit, context, 1, &r), "io_submit");
}

PROBE(getevents) {
    aio_context_t context = 0;
    must((int)syscall(SYS_io_setup, 8, &context), "io_setup");
    int p[2], q[2];
    must(pipe(p), "pipe");
    must(pipe(q), "pipe");
    label("getevents");
    const struct timespec soon = {0, 60000000}, late = {5, 0}, odd = {0, -1};
    begin();
    done(syscall(SYS_io_getevents, context, 0, 8, events, NULL), NULL, -1);
    begin();
    done(syscall(SYS_io_getevents, context, 1, 8, events, &soon), NULL, -1);
    begin();
    done(syscall(SYS_io_getevents, context, 3, 2, events, &soon), NULL, -1);
    begin();
    done(syscall(SYS_io_getevents, context, -1, 2, events, &soon), NULL, -1);
    begin();
    done(syscall(SYS_io_getevents, 12345, 1, 2, events, &soon), NULL, -1);
    begin();
    done(syscall(SYS_io_getevents, context, 1, 2, events, 8), NULL, -1);
    (void)odd;
    ask(context, p[0], 7);
    PEER { delay(60); put(p[1], "x"); }
    begin();
    done(syscall(SYS_io_getevents, context, 1, 8, events, NULL), NULL, -1);
    fact("data", (long)events[0].data);
    reap();
    ask(context, p[0], 8); // at once
    ask(context, q[0], 9);
    PEER { delay(60); put(q[1], "x"); }
    begin();
    done(syscall(SYS_io_getevents, context, 2, 8, events, &late), NULL, -1);
    fact("data", (long)(events[0].data * 10 + events[1].data));
    reap();
    char c;
    if (read(q[0], &c, 1)) {}
    ask(context, q[0], 9);
    for (int flags = 0; flags < 2; ++flags) {
        handle(SIGUSR1, flags ? SA_RESTART : 0);
        PEER { delay(60); poke(SIGUSR1); }
        begin();
        done(syscall(SYS_io_getevents, context, 1, 8, events, &late), NULL, -1);
        fact("handlers", caught);
        reap();
    }
    sigset_t usr1, none;
    sigemptyset(&usr1);
    sigemptyset(&none);
    sigaddset(&usr1, SIGUSR1);
    struct {
        sigset_t* mask;
        size_t size;
    } signals = {&none, 8};
    sigprocmask(SIG_BLOCK, &usr1, NULL);
    caught = 0;
    PEER { delay(60); poke(SIGUSR1); }
    begin();
    done(syscall(SYS_io_pgetevents, context, 1, 8, events, &late, &signals), NULL, -1);
    fact("handlers", caught);
    reap();
    raise(SIGUSR1);
    begin();
    done(syscall(SYS_io_pgetevents, context, 1, 8, events, &late, &signals), NULL, -1);
    fact("handlers", caught);
    signals.size = 5;
    begin();
    done(syscall(SYS_io_pgetevents, context, 1, 8, events, &late, &signals), NULL, -1);
    sigprocmask(SIG_UNBLOCK, &usr1, NULL);
    syscall(SYS_io_destroy, context);
    close_pair(p), close_pair(q);
}

static struct {
    int fd;
    struct io_uring_params params;
    unsigned *head, *tail, *array, *done_head, *done_tail;
    struct io_uring_sqe* entries;
    struct io_uring_cqe* completions;
} ring;

static int open_ring(unsigned flags) {
    memset(&ring, 0, sizeof ring);
    ring.params.flags = flags;
    ring.fd = (int)syscall(SYS_io_uring_setup, 8, &ring.params);
    if (ring.fd < 0) return 0;
    char* sq = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, ring.fd, IORING_OFF_SQ_RING);
    char* cq = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, ring.fd, IORING_OFF_CQ_RING);
    ring.entries = mmap(NULL, 8 * sizeof *ring.entries, PROT_READ | PROT_WRITE, MAP_SHARED, ring.fd, IORING_OFF_SQES);
    ring.head = (unsigned*)(sq + ring.params.sq_off.head);
    ring.tail = (unsigned*)(sq + ring.params.sq_off.tail);
    ring.array = (unsigned*)(sq + ring.params.sq_off.array);
    ring.done_head = (unsigned*)(cq + ring.params.cq_off.head);
    ring.done_tail = (unsigned*)(cq + ring.params.cq_off.tail);
    ring.completions = (struct io_uring_cqe*)(cq + ring.params.cq_off.cqes);
    return 1;
}

static void ask_ring(int fd, uint64_t data) {
    const unsigned at = *ring.tail & 7;
    memset(&ring.entries[at], 0, sizeof ring.entries[at]);
    ring.entries[at].opcode = IORING_OP_POLL_ADD;
    ring.entries[at].fd = fd;
    ring.entries[at].poll_events = POLLIN;
    ring.entries[at].user_data = data;
    ring.array[at] = at;
    __atomic_store_n(ring.tail, *ring.tail + 1, __ATOMIC_RELEASE);
}

static long taken(void) {
    const unsigned n = __atomic_load_n(ring.done_tail, __ATOMIC_ACQUIRE) - *ring.done_head;
    __atomic_store_n(ring.done_head, *ring.done_head + n, __ATOMIC_RELEASE);
    return n;
}

static long enter(unsigned to_submit, unsigned least, unsigned flags, const void* argument, size_t size) {
    return syscall(SYS_io_uring_enter, ring.fd, to_submit, least, flags, argument, size);
}

static void use_ring(const char* name, unsigned flags) {
    label("ring/%s", name);
    if (!open_ring(flags)) {
        fact("none", errno);
        return;
    }
    int p[2], q[2];
    must(pipe(p), "pipe");
    must(pipe(q), "pipe");
    const unsigned wait = IORING_ENTER_GETEVENTS;
    begin();
    done(enter(0, 0, wait, NULL, 0), NULL, taken());
    ask_ring(p[0], 1);
    PEER { delay(60); put(p[1], "x"); }
    begin();
    done(enter(1, 1, wait, NULL, 0), NULL, -1); // submits and waits
    fact("taken", taken());
    reap();
    ask_ring(p[0], 2);
    ask_ring(q[0], 3);
    PEER { delay(60); put(q[1], "x"); }
    begin();
    done(enter(2, 2, wait, NULL, 0), NULL, -1); // the first is complete at once
    fact("taken", taken());
    reap();
    char c;
    if (read(q[0], &c, 1)) {}
    ask_ring(q[0], 4);
    begin();
    done(enter(1, 0, 0, NULL, 0), NULL, -1);
    const struct __kernel_timespec soon = {0, 60000000};
    const struct io_uring_getevents_arg limited = {.ts = (uint64_t)(uintptr_t)&soon};
    begin();
    done(enter(0, 1, wait | IORING_ENTER_EXT_ARG, &limited, sizeof limited), NULL, -1);
    begin();
    done(enter(0, 1, wait | IORING_ENTER_EXT_ARG, &limited, 5), NULL, -1);
    begin();
    done(enter(0, 1, wait | IORING_ENTER_EXT_ARG, (void*)8, sizeof limited), NULL, -1);
    for (int restart = 0; restart < 2; ++restart) {
        handle(SIGUSR1, restart ? SA_RESTART : 0);
        PEER { delay(60); poke(SIGUSR1); }
        begin();
        done(enter(0, 1, wait, NULL, 0), NULL, -1);
        fact("handlers", caught);
        reap();
    }
    sigset_t usr1, none;
    sigemptyset(&usr1);
    sigemptyset(&none);
    sigaddset(&usr1, SIGUSR1);
    sigprocmask(SIG_BLOCK, &usr1, NULL);
    caught = 0;
    PEER { delay(60); poke(SIGUSR1); }
    begin();
    done(enter(0, 1, wait, &none, 8), NULL, -1);
    fact("handlers", caught);
    reap();
    sigprocmask(SIG_UNBLOCK, &usr1, NULL);
    PEER { delay(60); put(q[1], "x"); }
    begin();
    done(enter(0, 1, wait, NULL, 0), NULL, -1);
    fact("taken", taken());
    begin();
    done(syscall(SYS_io_uring_enter, p[0], 0, 1, wait, NULL, 0), NULL, -1);
    begin();
    done(syscall(SYS_io_uring_enter, 999, 0, 1, wait, NULL, 0), NULL, -1);
    reap();
    close(ring.fd);
    close_pair(p), close_pair(q);
}

PROBE(rings) {
    use_ring("plain", 0);
    use_ring("deferred", IORING_SETUP_SINGLE_ISSUER | (1U << 13)); // IORING_SETUP_DEFER_TASKRUN
}
