// SPDX-License-Identifier: Apache-2.0
// Threads until there is no room for one more, again and again: pthread_create must say EAGAIN then, whatever it was that ran out, and nothing
// may be left of what failed or has ended. It knows nothing of weft.
//
//     room limit N        at most N threads are to be had (somebody has set that limit)
//     room memory MIB     the address space grows by so much at most
//     room churn          waves of threads, joined and detached, one after the other
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { most = 20000 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int over;
static unsigned left;
static pthread_t threads[most];
static char marks[most];

static void* stay(void* argument) {
    pthread_mutex_lock(&lock);
    while (!over) pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
    return argument;
}

static void* leave(void* argument) {
    pthread_mutex_lock(&lock);
    ++left;
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&lock);
    return argument;
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

static void fail(const char* what, long value) {
    fprintf(stderr, "%s: %ld\n", what, value);
    exit(1);
}

/// As many threads as are to be had; they are gone again when it returns.
static unsigned fill(const pthread_attr_t* attributes, int attempts_in_vain) {
    unsigned count = 0;
    int error = 0;
    over = 0;
    while (count < most && (error = pthread_create(&threads[count], attributes, stay, &marks[count])) == 0) ++count;
    if (error != EAGAIN) fail("the last pthread_create said", error);
    for (int i = 0; i < attempts_in_vain; ++i) {
        pthread_t none;
        error = pthread_create(&none, attributes, stay, NULL);
        if (error != EAGAIN) fail("another pthread_create said", error);
    }
    pthread_mutex_lock(&lock);
    over = 1;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    for (unsigned i = 0; i < count; ++i) {
        void* result = NULL;
        if (pthread_join(threads[i], &result) != 0 || result != &marks[i]) fail("a thread ended wrongly", (long)i);
    }
    return count;
}

static void fill_often(const pthread_attr_t* attributes, unsigned least, unsigned greatest) {
    unsigned first = 0;
    long resident = 0;
    for (int round = 0; round < 12; ++round) {
        const unsigned count = fill(attributes, 100);
        if (count < least || count > greatest) fail("threads that were to be had", count);
        if (round == 1) {
            first = count;
            resident = status("VmRSS");
        }
        if (round > 1 && count < first) fail("fewer threads than before", count);
    }
    const long grown = status("VmRSS") - resident;
    if (grown > 1024) fail("KiB that have leaked", grown);
    printf("ok\n");
}

static void churn(const pthread_attr_t* attributes) {
    enum { wave = 200, waves = 50 };
    long resident = 0, size = 0;
    for (int w = 0; w < waves; ++w) {
        for (unsigned i = 0; i < wave; ++i) {
            const int error = pthread_create(&threads[i], attributes, leave, NULL);
            if (error != 0) fail("pthread_create said", error);
            if (i % 2 == 0 && pthread_detach(threads[i]) != 0) fail("not detached", (long)i);
        }
        for (unsigned i = 1; i < wave; i += 2)
            if (pthread_join(threads[i], NULL) != 0) fail("not joined", (long)i);
        pthread_mutex_lock(&lock);
        while (left < wave * (unsigned)(w + 1)) pthread_cond_wait(&changed, &lock);
        pthread_mutex_unlock(&lock);
        if (w == 10) {
            resident = status("VmRSS");
            size = status("VmSize");
        }
    }
    if (status("VmRSS") - resident > 1024) fail("KiB that have leaked", status("VmRSS") - resident);
    if (status("VmSize") - size > 1024 * 1024) fail("KiB of addresses that have leaked", status("VmSize") - size);
    printf("ok\n");
}

int main(int argc, char** argv) {
    if (argc < 2) return 2;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    if (strcmp(argv[1], "limit") == 0 && argc > 2) {
        const unsigned limit = (unsigned)atoi(argv[2]);
        pthread_attr_setstacksize(&attributes, 64 * 1024);
        fill_often(&attributes, limit - 1, limit); // main may count
    } else if (strcmp(argv[1], "memory") == 0 && argc > 2) {
        const rlim_t mib = (rlim_t)atoi(argv[2]);
        const struct rlimit addresses = {((rlim_t)status("VmSize") << 10) + (mib << 20), RLIM_INFINITY};
        if (setrlimit(RLIMIT_AS, &addresses) != 0) fail("RLIMIT_AS", errno);
        pthread_attr_setstacksize(&attributes, 1024 * 1024);
        fill_often(&attributes, (unsigned)mib / 4, (unsigned)mib); // bare: all but what thread arenas take
        if (malloc(100000) == NULL) fail("malloc", errno);
    } else if (strcmp(argv[1], "churn") == 0) {
        churn(&attributes);
    } else {
        return 2;
    }
    return 0;
}
