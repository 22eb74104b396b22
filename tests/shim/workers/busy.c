// SPDX-License-Identifier: Apache-2.0
// busy THREADS MILLISECONDS: threads that compute and make a call every few microseconds, so that none of them keeps a kernel thread by computing for
// long. Prints by how many of them the process computed at once: its processor time in a second.
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static long long milliseconds;

static long long now(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void* computes(void* argument) {
    int pair[2];
    char byte = 0;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0) abort();
    unsigned long x = 1;
    for (const long long end = now(CLOCK_MONOTONIC) + milliseconds * 1000000; now(CLOCK_MONOTONIC) < end;) {
        for (int i = 0; i < 5000; ++i) x = x * 6364136223846793005UL + 1442695040888963407UL;
        if (write(pair[0], &byte, 1) != 1 || read(pair[1], &byte, 1) != 1) abort();
    }
    *(volatile unsigned long*)argument = x;
    close(pair[0]);
    close(pair[1]);
    return argument;
}

int main(int argc, char** argv) {
    const int count = argc > 1 ? atoi(argv[1]) : 2;
    milliseconds = argc > 2 ? atoi(argv[2]) : 200;
    pthread_t threads[64];
    unsigned long results[64];
    const long long wall = now(CLOCK_MONOTONIC), used = now(CLOCK_PROCESS_CPUTIME_ID);
    for (int i = 0; i < count; ++i)
        if (pthread_create(&threads[i], NULL, computes, &results[i]) != 0) return 1;
    for (int i = 0; i < count; ++i) pthread_join(threads[i], NULL);
    printf("%.3f\n", (double)(now(CLOCK_PROCESS_CPUTIME_ID) - used) / (double)(now(CLOCK_MONOTONIC) - wall));
    return 0;
}
