// SPDX-License-Identifier: Apache-2.0
// Cancellation points, one after the other: a thread is cancelled while it waits in the call, and before it makes it.
#include "conform.h"

#include <mqueue.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/eventfd.h>
#include <termios.h>

static int ends[2], pair[2], full[2], listener, epoll, queue, file_with_lock;
static char directory[] = "/tmp/conform-XXXXXX", fifo[64], path[64], data[65536];
static mqd_t messages;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static sem_t sem;
static pid_t child;
static pthread_t other;
static FILE* stream;
static char byte;
static const struct timespec minute = {60, 0};
static sigset_t users;

static struct iovec one(void) { return (struct iovec){data, 1}; }
static struct timespec later(void) { return in_ms(CLOCK_REALTIME, 60000); }

// clang-format off
#define CALL(name, ...) static void call_##name(void) { __VA_ARGS__; }
CALL(read, if (read(ends[0], &byte, 1) < 0) {})
CALL(readv, struct iovec v = one(); if (readv(ends[0], &v, 1) < 0) {})
CALL(write, if (write(full[1], data, sizeof data) < 0) {})
CALL(writev, struct iovec v = one(); if (writev(full[1], &v, 1) < 0) {})
CALL(recv, recv(pair[0], &byte, 1, 0))
CALL(recvfrom, recvfrom(pair[0], &byte, 1, 0, NULL, NULL))
CALL(recvmsg, struct iovec v = one(); struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1}; recvmsg(pair[0], &m, 0))
CALL(recvmmsg, struct iovec v = one(); struct mmsghdr m = {.msg_hdr = {.msg_iov = &v, .msg_iovlen = 1}}; recvmmsg(pair[0], &m, 1, 0, NULL))
CALL(accept, accept(listener, NULL, NULL))
CALL(accept4, accept4(listener, NULL, NULL, SOCK_CLOEXEC))
CALL(poll, struct pollfd p = {.fd = ends[0], .events = POLLIN}; poll(&p, 1, -1))
CALL(ppoll, struct pollfd p = {.fd = ends[0], .events = POLLIN}; ppoll(&p, 1, &minute, NULL))
CALL(poll_nothing, poll(NULL, 0, 60000))
CALL(select, fd_set s; FD_ZERO(&s); FD_SET(ends[0], &s); select(ends[0] + 1, &s, NULL, NULL, NULL))
CALL(pselect, fd_set s; FD_ZERO(&s); FD_SET(ends[0], &s); pselect(ends[0] + 1, &s, NULL, NULL, &minute, NULL))
CALL(epoll_wait, struct epoll_event e; epoll_wait(epoll, &e, 1, -1))
CALL(epoll_pwait, struct epoll_event e; epoll_pwait(epoll, &e, 1, -1, NULL))
CALL(sleep, sleep(60))
CALL(usleep, usleep(60000000))
CALL(nanosleep, nanosleep(&minute, NULL))
CALL(clock_nanosleep, clock_nanosleep(CLOCK_MONOTONIC, 0, &minute, NULL))
CALL(pause, pause())
CALL(sigsuspend, sigset_t none; sigemptyset(&none); sigsuspend(&none))
CALL(sigwait, int n; sigwait(&users, &n))
CALL(sigwaitinfo, sigwaitinfo(&users, NULL))
CALL(sigtimedwait, sigtimedwait(&users, NULL, &minute))
CALL(sem_wait, sem_wait(&sem))
CALL(sem_timedwait, struct timespec t = later(); sem_timedwait(&sem, &t))
CALL(sem_clockwait, struct timespec t = in_ms(CLOCK_MONOTONIC, 60000); sem_clockwait(&sem, CLOCK_MONOTONIC, &t))
static void unlock(void* m) { RETURNS(0, pthread_mutex_unlock(m)); } // held again: it would be EPERM or worse
#define COND(name, call) CALL(name, struct timespec t = later(); (void)t; pthread_mutex_lock(&mutex); pthread_cleanup_push(unlock, &mutex); for (;;) call; pthread_cleanup_pop(1))
COND(cond_wait, pthread_cond_wait(&cond, &mutex))
COND(cond_timedwait, pthread_cond_timedwait(&cond, &mutex, &t))
COND(cond_clockwait, pthread_cond_clockwait(&cond, &mutex, CLOCK_REALTIME, &t))
CALL(join, pthread_join(other, NULL))
CALL(timedjoin, struct timespec t = later(); pthread_timedjoin_np(other, NULL, &t))
CALL(waitpid, waitpid(child, NULL, 0))
CALL(wait, wait(NULL))
CALL(waitid, siginfo_t i; waitid(P_PID, (id_t)child, &i, WEXITED))
CALL(wait4, wait4(child, NULL, 0, NULL))
CALL(msgrcv, struct { long type; char text[8]; } m; msgrcv(queue, &m, 8, 0, 0))
CALL(mq_receive, char text[64]; mq_receive(messages, text, sizeof text, NULL))
CALL(mq_timedreceive, struct timespec t = later(); char text[64]; mq_timedreceive(messages, text, sizeof text, NULL, &t))
CALL(open_fifo, open(fifo, O_RDONLY))
CALL(openat_fifo, openat(AT_FDCWD, fifo, O_WRONLY))
CALL(fcntl_lock, struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET}; fcntl(file_with_lock, F_SETLKW, &l))
CALL(lockf, if (lockf(file_with_lock, F_LOCK, 0) < 0) {})
CALL(fgets, char text[8]; if (fgets(text, sizeof text, stream)) {})
CALL(getc, getc(stream))
CALL(connect_full, int s = socket(AF_UNIX, SOCK_STREAM, 0); struct sockaddr_un a = {.sun_family = AF_UNIX}; strcpy(a.sun_path, path);
     for (;;) { if (connect(s, (struct sockaddr*)&a, sizeof a) == 0) s = socket(AF_UNIX, SOCK_STREAM, 0); })
CALL(send, for (;;) send(pair[1], data, sizeof data, 0))
CALL(sendto, for (;;) sendto(pair[1], data, sizeof data, 0, NULL, 0))
CALL(sendmsg, struct iovec v = {data, sizeof data}; struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1}; for (;;) sendmsg(pair[1], &m, 0))
CALL(system, if (system("exec sleep 60") < 0) {})
// These do not wait, and are cancellation points all the same: cancelled beforehand only.
CALL(open, open("/dev/null", O_RDONLY))
CALL(creat, creat("/dev/null", 0600))
CALL(close, close(dup(ends[0])))
CALL(fsync, fsync(file_with_lock))
CALL(fdatasync, fdatasync(file_with_lock))
CALL(pread, if (pread(file_with_lock, &byte, 1, 0) < 0) {})
CALL(pwrite, if (pwrite(file_with_lock, "", 0, 0) < 0) {})
CALL(msync, msync(NULL, 0, MS_SYNC))
CALL(tcdrain, tcdrain(ends[0]))
CALL(read_ready, int z = STDIN_FILENO; if (read(z, &byte, 0) < 0) {})
CALL(write_ready, if (write(file_with_lock, "", 0) < 0) {})
CALL(poll_now, poll(NULL, 0, 0))
CALL(sem_wait_free, sem_t s; sem_init(&s, 0, 1); sem_wait(&s))
CALL(nanosleep_no_time, struct timespec t = {0, 0}; nanosleep(&t, NULL))
CALL(waitpid_now, waitpid(child, NULL, WNOHANG))
CALL(sigtimedwait_now, struct timespec t = {0, 0}; sigtimedwait(&users, NULL, &t))
CALL(testcancel, pthread_testcancel())

static const struct point { const char* name; void (*call)(void); bool waits; } points[] = {
#define WAITS(name) {#name, call_##name, true},
#define READY(name) {#name, call_##name, false},
    WAITS(read) WAITS(readv) WAITS(write) WAITS(writev) WAITS(recv) WAITS(recvfrom) WAITS(recvmsg) WAITS(recvmmsg) WAITS(accept) WAITS(accept4)
    WAITS(poll) WAITS(ppoll) WAITS(poll_nothing) WAITS(select) WAITS(pselect) WAITS(epoll_wait) WAITS(epoll_pwait)
    WAITS(sleep) WAITS(usleep) WAITS(nanosleep) WAITS(clock_nanosleep) WAITS(pause) WAITS(sigsuspend) WAITS(sigwait) WAITS(sigwaitinfo) WAITS(sigtimedwait)
    WAITS(sem_wait) WAITS(sem_timedwait) WAITS(sem_clockwait) WAITS(cond_wait) WAITS(cond_timedwait) WAITS(cond_clockwait) WAITS(join) WAITS(timedjoin)
    WAITS(waitpid) WAITS(wait) WAITS(waitid) WAITS(wait4) WAITS(msgrcv) WAITS(mq_receive) WAITS(mq_timedreceive) WAITS(open_fifo) WAITS(openat_fifo)
    WAITS(fcntl_lock) WAITS(lockf) WAITS(fgets) WAITS(getc) WAITS(connect_full) WAITS(send) WAITS(sendto) WAITS(sendmsg) WAITS(system)
    READY(open) READY(creat) READY(close) READY(fsync) READY(fdatasync) READY(pread) READY(pwrite) READY(msync) READY(tcdrain) READY(read_ready)
    READY(write_ready) READY(poll_now) READY(sem_wait_free) READY(nanosleep_no_time) READY(waitpid_now) READY(sigtimedwait_now) READY(testcancel)
};
// clang-format on

static sem_t ready, go;
static atomic_int handlers, came_back;
static void count(void* unused) {
    (void)unused;
    atomic_fetch_add(&handlers, 1);
}

static void* makes_call(void* argument) {
    const struct point* p = argument;
    pthread_cleanup_push(count, NULL);
    sem_post(&ready);
    if (p->waits) p->call();
    atomic_fetch_add(&came_back, 1);
    pthread_cleanup_pop(0);
    return NULL;
}

static void* makes_call_later(void* argument) {
    const struct point* p = argument;
    pthread_cleanup_push(count, NULL);
    sem_post(&ready);
    while (sem_trywait(&go) != 0) sched_yield(); // not a cancellation point
    p->call();
    atomic_fetch_add(&came_back, 1);
    pthread_cleanup_pop(0);
    return NULL;
}

static void* waits_for_end(void* argument) {
    while (sem_wait(&sem) != 0) {}
    return argument;
}

static void prepare(void) {
    CHECK(mkdtemp(directory) != NULL);
    snprintf(fifo, sizeof fifo, "%s/fifo", directory);
    snprintf(path, sizeof path, "%s/socket", directory);
    CHECK(mkfifo(fifo, 0600) == 0);
    CHECK(pipe(ends) == 0 && pipe(full) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    CHECK(write(full[1], data, sizeof data) == sizeof data);
    listener = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path, path);
    CHECK(bind(listener, (struct sockaddr*)&address, sizeof address) == 0 && listen(listener, 0) == 0);
    epoll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN};
    epoll_ctl(epoll, EPOLL_CTL_ADD, ends[0], &event);
    queue = msgget(IPC_PRIVATE, 0600);
    char name[64];
    snprintf(name, sizeof name, "/conform-%d", getpid());
    struct mq_attr attr = {.mq_maxmsg = 2, .mq_msgsize = 64};
    messages = mq_open(name, O_CREAT | O_RDWR, 0600, &attr);
    CHECK(messages != (mqd_t)-1);
    mq_unlink(name);
    snprintf(name, sizeof name, "%s/locked", directory);
    file_with_lock = open(name, O_CREAT | O_RDWR, 0600);
    stream = fdopen(dup(ends[0]), "r");
    sigemptyset(&users);
    sigaddset(&users, SIGUSR1);
    sigaddset(&users, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &users, NULL);
    sem_init(&sem, 0, 0);
    sem_init(&ready, 0, 0);
    sem_init(&go, 0, 0);
    int tell[2];
    CHECK(pipe(tell) == 0);
    child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        // It holds the file's lock and lives until it is killed.
        if (lockf(file_with_lock, F_LOCK, 0) != 0 || write(tell[1], "", 1) != 1) _exit(1);
        for (;;) pause();
    }
    CHECK(read(tell[0], &byte, 1) == 1);
    close(tell[0]);
    close(tell[1]);
}

static void tidy(void) {
    kill(child, SIGKILL);
    while (waitpid(child, NULL, 0) == -1 && errno == EINTR) {}
    msgctl(queue, IPC_RMID, NULL);
    mq_close(messages);
    char name[64];
    snprintf(name, sizeof name, "%s/locked", directory);
    unlink(name);
    unlink(fifo);
    unlink(path);
    rmdir(directory);
}

static void try_all(bool beforehand) {
    // other, whom some join, does not share the semaphore some wait for: it is cancelled itself in the end.
    for (size_t i = 0; i < sizeof points / sizeof *points; ++i) {
        const struct point* p = &points[i];
        if (!beforehand && !p->waits) continue;
        atomic_store(&handlers, 0);
        atomic_store(&came_back, 0);
        other = start(waits_for_end, NULL);
        const pthread_t thread = start(beforehand ? makes_call_later : makes_call, (void*)p);
        while (sem_wait(&ready) != 0) {}
        if (!beforehand) settle();
        RETURNS(0, pthread_cancel(thread));
        if (beforehand) sem_post(&go);
        void* result = NULL;
        RETURNS(0, pthread_join(thread, &result));
        if (!CHECK(result == PTHREAD_CANCELED && atomic_load(&handlers) == 1 && atomic_load(&came_back) == 0)) {
            say(p->name);
            say("\n");
        }
        RETURNS(0, pthread_cancel(other));
        CHECK(finish(other) == PTHREAD_CANCELED);
    }
}

CASE(each_point) {
    prepare();
    try_all(false);
    try_all(true);
    RETURNS(0, pthread_mutex_trylock(&mutex)); // nobody has kept it
    RETURNS(0, pthread_mutex_unlock(&mutex));
    tidy();
}
