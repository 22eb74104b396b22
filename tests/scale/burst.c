// SPDX-License-Identifier: Apache-2.0
// Many threads at once, and then few again: what they took is given back, and what is made in its place later is as new, in a child too. It knows
// nothing of weft.
//
//     burst N
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { most = 40000, stays_behind = 3 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool over;
static int arrived;
static pthread_t threads[most];
static char marks[most];
static pthread_key_t key;
static __thread int zero[50];
static __thread int seven = 7;

static void fail(const char* what, long value) {
    fprintf(stderr, "%s: %ld\n", what, value);
    exit(1);
}

static long resident(void) {
    char line[256];
    long value = -1;
    FILE* f = fopen("/proc/self/status", "r");
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, "VmRSS:", 6) == 0) value = atol(line + 6);
    if (f != NULL) fclose(f);
    return value;
}

static void* stay(void* argument) {
    if (seven != 7 || zero[33] != 0 || pthread_getspecific(key) != NULL) fail("a thread does not begin as new", (char*)argument - marks);
    seven = zero[33] = 8;
    pthread_setspecific(key, argument);
    free(malloc(200));
    errno = 3;
    pthread_mutex_lock(&lock);
    ++arrived;
    pthread_cond_broadcast(&changed);
    while (!over) pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
    if (errno != 3 || pthread_getspecific(key) != argument || !pthread_equal(pthread_self(), threads[(char*)argument - marks])) fail("a thread is not itself", 0);
    return argument;
}

/// So many at once; the resident memory then, in KiB.
static long wave(int count) {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 64 * 1024);
    over = false;
    arrived = 0;
    for (int i = 0; i < count; ++i) {
        const int error = pthread_create(&threads[i], &attributes, stay, &marks[i]);
        if (error != 0) fail("pthread_create", error);
    }
    pthread_mutex_lock(&lock);
    while (arrived != count) pthread_cond_wait(&changed, &lock);
    const long peak = resident();
    over = true;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    for (int i = 0; i < count; ++i) {
        void* result = NULL;
        if (pthread_join(threads[i], &result) != 0 || result != &marks[i]) fail("a thread ended wrongly", i);
    }
    return peak;
}

static void rest_ms(long ms) {
    const struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

static void all_change_groups(void) {
    if (setgid(getgid()) != 0) fail("setgid", errno); // libc tells every thread of its list
}

int main(int argc, char** argv) {
    const int count = argc > 1 ? atoi(argv[1]) : 0;
    if (count < 1 || count > most) return 2;
    pthread_key_create(&key, NULL);
    wave(stays_behind);
    const long before = resident(), growth = wave(count) - before;
    long left = resident() - before;
    for (int i = 0; i < 3000 && left * 3 > growth; ++i) {
        rest_ms(10);
        left = resident() - before;
    }
    printf("%d threads took %ld KiB; %ld are left\n", count, growth, left);
    if (left * 3 > growth) fail("KiB are kept", left);
    all_change_groups();
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        wave(count / 4);
        all_change_groups();
        wave(count / 4);
        _exit(0);
    }
    int status = -1;
    if (waitpid(child, &status, 0) != child || status != 0) fail("the child ended with", status);
    wave(count / 2);
    all_change_groups();
    return 0;
}
