// SPDX-License-Identifier: Apache-2.0
// A program of threads that is built with a sanitizer (sanitizer_test.py): what its first argument says is wrong with it.
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS 50

static const char* wrong = "nothing";
static __thread int mine;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int total;
static sem_t begun, never;
static char* volatile kept;

static int is_wrong(const char* what) { return strcmp(wrong, what) == 0; }

static void* adds(void* argument) {
    char* const text = malloc(100);
    char local[32];
    memset(local, (int)(long)argument, sizeof local);
    strcpy(text, "text");
    usleep(1000);
    mine += (int)(long)argument;
    pthread_mutex_lock(&lock);
    total += mine + local[3] - local[4];
    pthread_mutex_unlock(&lock);
    if (is_wrong("stack") && (long)argument == 7) local[32 + (mine & 1)] = 1;
    free(text);
    if (is_wrong("heap") && (long)argument == 7) total += text[3];
    return argument;
}

static void* holds(void* argument) {
    char* volatile held = malloc(1234);
    memset(held, 1, 1234);
    sem_post(&begun);
    sem_wait(&never);
    free(held);
    return argument;
}

int main(int count, char** arguments) {
    pthread_t threads[THREADS];
    if (count > 1) wrong = arguments[1];
    for (long i = 0; i < THREADS; ++i)
        if (pthread_create(&threads[i], NULL, adds, (void*)i) != 0) return 3;
    for (int i = 0; i < THREADS; ++i) pthread_join(threads[i], NULL);
    printf("%d\n", total);
    fflush(stdout);
    if (is_wrong("leak")) {
        kept = malloc(4321);
        kept = NULL;
    }
    if (is_wrong("child")) return WEXITSTATUS(system("/bin/sh -c 'case $LD_PRELOAD in *san*) exit 9;; esac; exit 4'"));
    if (is_wrong("race")) {
        total = 0;
        for (long i = 0; i < 2; ++i) pthread_create(&threads[i], NULL, adds, (void*)i);
        ++total;
        for (long i = 0; i < 2; ++i) pthread_join(threads[i], NULL);
    }
    if (is_wrong("held")) { // no leak: they live
        sem_init(&begun, 0, 0);
        sem_init(&never, 0, 0);
        for (long i = 0; i < 5; ++i) pthread_create(&threads[i], NULL, holds, (void*)i);
        for (long i = 0; i < 5; ++i) sem_wait(&begun);
    }
    return 0;
}
