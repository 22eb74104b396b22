// SPDX-License-Identifier: Apache-2.0
// Many threads asleep at once, each with thread-local storage of its own, which it checks when it wakes. It knows nothing of weft.
//
//     asleep THREADS [stack size in KiB; 0: the default] [cond|sleep] [KIB]
//
// Prints what a thread took of memory while all were asleep: name value pairs. Exit status 1 if a thread found something wrong, or took more than KIB.
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static _Thread_local uintptr_t mine;
static _Thread_local uintptr_t mine_initialised = 42;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int morning, by_clock;
static atomic_uint asleep, wrong, awake;

static void wait_until_morning(void) {
    if (by_clock) {
        const struct timespec step = {2, 0};
        for (int over = 0; !over;) {
            nanosleep(&step, NULL);
            pthread_mutex_lock(&lock);
            over = morning;
            pthread_mutex_unlock(&lock);
        }
        return;
    }
    pthread_mutex_lock(&lock);
    while (!morning) pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

static void* sleeper(void* argument) {
    const uintptr_t number = (uintptr_t)argument;
    if (mine != 0 || mine_initialised != 42) atomic_fetch_add(&wrong, 1);
    mine = number;
    mine_initialised = ~number;
    errno = (int)(number % 100 + 1);
    const pthread_t self = pthread_self();
    atomic_fetch_add(&asleep, 1);
    const int before = errno;
    wait_until_morning();
    if (mine != number || mine_initialised != ~number || !pthread_equal(self, pthread_self()) || before != (int)(number % 100 + 1))
        atomic_fetch_add(&wrong, 1);
    atomic_fetch_add(&awake, 1);
    return (void*)(number * 2);
}

static long status(const char* name) {
    char line[256];
    long value = -1;
    FILE* f = fopen("/proc/self/status", "r");
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, name, strlen(name)) == 0) value = atol(line + strlen(name) + 1);
    if (f != NULL) fclose(f);
    return value;
}

static double seconds_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char** argv) {
    const unsigned count = argc > 1 ? (unsigned)atoi(argv[1]) : 1000;
    const size_t stack = argc > 2 ? strtoul(argv[2], NULL, 10) * 1024 : 0;
    by_clock = argc > 3 && strcmp(argv[3], "sleep") == 0;
    pthread_t* threads = calloc(count, sizeof *threads);
    if (threads == NULL) return 2;
    memset(threads, 1, count * sizeof *threads); // its pages are not the threads'
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    if (stack != 0 && pthread_attr_setstacksize(&attributes, stack) != 0) return 2;
    const long rss = status("VmRSS"), tables = status("VmPTE");
    const double begin = seconds_now();
    for (unsigned i = 0; i < count; ++i) {
        const int error = pthread_create(&threads[i], &attributes, sleeper, (void*)(uintptr_t)(i + 1));
        if (error != 0) {
            fprintf(stderr, "thread %u: %s\n", i, strerror(error));
            return 3;
        }
    }
    while (atomic_load(&asleep) < count) usleep(1000);
    usleep(1000);
    const double made = seconds_now() - begin;
    const double kib = (double)(status("VmRSS") - rss) / count, table_kib = (double)(status("VmPTE") - tables) / count;
    pthread_mutex_lock(&lock);
    const unsigned early = atomic_load(&awake);
    morning = 1;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    const double dawn = seconds_now();
    for (unsigned i = 0; i < count; ++i) {
        void* result = NULL;
        if (pthread_join(threads[i], &result) != 0 || (uintptr_t)result != 2 * (uintptr_t)(i + 1)) atomic_fetch_add(&wrong, 1);
    }
    printf("threads %u stack_kib %zu rss_kib %.2f tables_kib %.2f made_us %.2f ended_us %.2f wrong %u early %u\n", count, stack / 1024, kib, table_kib,
           made / count * 1e6, (seconds_now() - dawn) / count * 1e6, atomic_load(&wrong), early);
    return atomic_load(&wrong) != 0 || early != 0 || (argc > 4 && kib + table_kib > atof(argv[4]));
}
