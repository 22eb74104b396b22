// SPDX-License-Identifier: Apache-2.0
// What single things cost a program that knows nothing of weft. Run bare and preloaded, the two are compared.
//
//     one_run create|mutex|mutex_alone|fork|calls     prints nanoseconds for each
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void* nothing(void* argument) { return argument; }

static int create_and_join(void) {
    pthread_t thread;
    return pthread_create(&thread, NULL, nothing, NULL) != 0 || pthread_join(thread, NULL) != 0;
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static int lock_and_unlock(void) { return pthread_mutex_lock(&mutex) != 0 || pthread_mutex_unlock(&mutex) != 0; }

static int fork_and_exec(void) {
    static char name[] = "/bin/true";
    static char* arguments[] = {name, NULL};
    int status = 0;
    const pid_t child = fork();
    if (child == 0) {
        execv(name, arguments);
        _exit(127);
    }
    return child < 0 || waitpid(child, &status, 0) != child || status != 0;
}

static int zero, null;

static int calls(void) {
    char buffer[64];
    return read(zero, buffer, sizeof buffer) != sizeof buffer || write(null, buffer, sizeof buffer) != sizeof buffer;
}

/// The best of some batches: what disturbs only adds.
static double best(int (*what)(void), int batches, int times) {
    double least = 1e18;
    for (int b = 0; b < batches; ++b) {
        const double begin = now_ns();
        for (int i = 0; i < times; ++i) {
            if (what() == 0) continue;
            perror("failed");
            exit(1);
        }
        const double each = (now_ns() - begin) / times;
        if (each < least) least = each;
    }
    return least;
}

int main(int argc, char** argv) {
    const char* what = argc > 1 ? argv[1] : "";
    if (strcmp(what, "create") == 0) {
        if (create_and_join() != 0) return 1;
        printf("%.1f\n", best(create_and_join, 20, 1000));
    } else if (strcmp(what, "mutex") == 0) {
        if (create_and_join() != 0) return 1; // from now on the process counts as one with several threads
        printf("%.2f\n", best(lock_and_unlock, 20, 200000));
    } else if (strcmp(what, "mutex_alone") == 0) {
        printf("%.2f\n", best(lock_and_unlock, 20, 200000));
    } else if (strcmp(what, "fork") == 0) {
        printf("%.0f\n", best(fork_and_exec, 70, 3));
    } else if (strcmp(what, "calls") == 0) {
        zero = open("/dev/zero", O_RDONLY);
        null = open("/dev/null", O_WRONLY);
        printf("%.1f\n", best(calls, 20, 20000));
    } else {
        return 2;
    }
    return 0;
}
