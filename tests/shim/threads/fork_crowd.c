// SPDX-License-Identifier: Apache-2.0
// fork while other threads make threads, load modules, and are in the midst of all sorts of calls: the child, which has one thread, can do it all again.
#include "conform.h"

#include <dlfcn.h>
#include <link.h>
#include <netdb.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

enum { crowd = 8, forkers = 3, children = 24 };

static atomic_int stop;
static pthread_key_t key;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static __thread int own[16];

static void* adds_one(void* count) {
    for (int i = 0; i < 16; ++i) CHECK(own[i] == 0);
    own[3] = 1;
    pthread_setspecific(key, count);
    atomic_fetch_add((atomic_int*)count, 1);
    sched_yield();
    return count;
}

static void makes_threads(int how_many) {
    atomic_int count = 0;
    pthread_t threads[8];
    for (int i = 0; i < how_many; ++i) threads[i] = start(adds_one, &count);
    for (int i = 0; i < how_many; ++i) CHECK(finish(threads[i]) == &count);
    EQUAL(how_many, count);
}

static int counts(struct dl_phdr_info* module, size_t size, void* count) {
    (void)size;
    *(int*)count += module->dlpi_phnum > 0;
    return 0;
}

static void looks_at_modules(void) {
    int modules = 0;
    dl_iterate_phdr(counts, &modules);
    CHECK(modules > 1);
}

static void loads(void) {
    void* const m = dlopen("libm.so.6", RTLD_NOW | RTLD_LOCAL);
    CHECK(m != NULL);
    if (m != NULL) WORKS(dlclose(m));
}

static void waits_a_little(void) {
    const struct timespec at = in_ms(CLOCK_REALTIME, 1);
    pthread_mutex_lock(&lock);
    pthread_cond_timedwait(&changed, &lock, &at);
    pthread_mutex_unlock(&lock);
    pthread_cond_broadcast(&changed);
}

static void changes_actions(void) {
    struct sigaction ignore = {.sa_handler = SIG_IGN}, had;
    WORKS(sigaction(SIGUSR2, &ignore, &had));
    WORKS(sigaction(SIGUSR2, &had, NULL));
    WORKS(sigaction(SIGSYS, NULL, &had));
    WORKS(sigaction(SIGPROF, NULL, &had));
}

static void uses_pipes(void) {
    int ends[2];
    char text[4] = "";
    WORKS(pipe(ends));
    EQUAL(3, write(ends[1], "abc", 3));
    EQUAL(3, read(ends[0], text, 3));
    close(ends[0]);
    close(ends[1]);
}

static void asks_for_names(void) {
    struct addrinfo* found = NULL;
    const struct addrinfo numbers = {.ai_flags = AI_NUMERICHOST};
    CHECK(getaddrinfo("127.0.0.1", NULL, &numbers, &found) == 0);
    if (found != NULL) freeaddrinfo(found);
    struct sockaddr_in six = {.sin_family = AF_INET};
    char text[64];
    CHECK(getnameinfo((struct sockaddr*)&six, sizeof six, text, sizeof text, NULL, 0, NI_NUMERICHOST) == 0);
}

static void uses_files(void) {
    FILE* const nothing = fopen("/dev/null", "w");
    CHECK(nothing != NULL);
    if (nothing == NULL) return;
    CHECK(fprintf(nothing, "%d\n", 5) > 0);
    fclose(nothing);
}

static void uses_rights(void) {
    const int right = pkey_alloc(0, 0);
    if (right >= 0) pkey_free(right);
}

static void measures_time(void) {
    clockid_t clock;
    struct timespec t;
    RETURNS(0, pthread_getcpuclockid(pthread_self(), &clock));
    WORKS(clock_gettime(clock, &t));
}

static void (*const calls[])(void) = {waits_a_little, changes_actions, uses_pipes, uses_files, uses_rights, measures_time};
enum { all_calls = sizeof calls / sizeof *calls };

static void* is_busy(void* from) {
    for (long i = (long)from; !atomic_load(&stop); ++i) {
        makes_threads(4);
        calls[i % all_calls]();
    }
    return NULL;
}

static void child_uses_everything(void) {
    alarm(60); // who waits for a lock that nobody holds is ended
    lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER; // the program's own, which its other threads were using
    changed = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
    for (int i = 0; i < 2; ++i) {
        makes_threads(8);
        for (int n = 0; n < all_calls; ++n) calls[n]();
    }
    looks_at_modules(); // not in the threads, as what follows: libc's own loader and resolver do not survive a fork in their midst
    loads();
    asks_for_names();
    CHECK(gethostbyname("127.0.0.1") != NULL);
    int status = -1;
    CHILD(status) { makes_threads(2); }
    EQUAL(0, ending(status));
}

static void* forks(void* unused) {
    for (int i = 0; i < children; ++i) {
        const pid_t child = fork();
        if (child == 0) {
            atomic_store(&conform_failures, 0);
            child_uses_everything();
            _exit(atomic_load(&conform_failures));
        }
        int status = -1;
        while (waitpid(child, &status, 0) == -1 && errno == EINTR) {}
        EQUAL(0, ending(status));
    }
    return unused;
}

CASE(children_of_a_busy_process) {
    RETURNS(0, pthread_key_create(&key, NULL));
    fflush(stdout);
    pthread_t busy[crowd], forking[forkers];
    for (long i = 0; i < crowd; ++i) busy[i] = start(is_busy, (void*)i);
    for (int i = 0; i < forkers; ++i) forking[i] = start(forks, NULL);
    for (int i = 0; i < forkers; ++i) finish(forking[i]);
    atomic_store(&stop, 1);
    for (int i = 0; i < crowd; ++i) finish(busy[i]);
    atomic_store(&conform_checks, 0); // as many as there was time for
    CHECK(true);
}
