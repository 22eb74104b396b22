// SPDX-License-Identifier: Apache-2.0
// A module with thread-local variables of both models, whose constructor takes its time and uses them.
#include <pthread.h>
#include <time.h>

__thread int early __attribute__((tls_model("initial-exec"))) = 41;
__thread int zero __attribute__((tls_model("initial-exec")));
__thread int late __attribute__((tls_model("global-dynamic"))) = 17;
int constructed, seen, of_new_thread;

static void* looks(void* argument) {
    of_new_thread = early + late;
    early = 99;
    return argument;
}

__attribute__((constructor)) static void construct(void) {
    seen = early + zero + late;
    early = 42;
    pthread_t thread;
    if (pthread_create(&thread, NULL, looks, NULL) == 0) pthread_join(thread, NULL);
    const struct timespec pause = {0, 5000000};
    nanosleep(&pause, NULL);
    constructed = 1;
}

int add(int n) {
    early += n;
    late += n;
    zero += n;
    return early * 10000 + late * 100 + zero;
}
