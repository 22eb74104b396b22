/* SPDX-License-Identifier: Apache-2.0
 * A C library as C programmers write them: it retries, cleans up with calls that may block themselves, and counts on
 * reaching its last line. */
#include "interrupt_test.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t library_lock = PTHREAD_MUTEX_INITIALIZER;

static void remember(struct c_log* log, long result) {
    if (result < 0 && log->failures < C_LOG_SIZE) log->errors[log->failures++] = errno;
}

long c_fetch(int fd, struct c_log* log) {
    char text[64];
    char* owned = malloc(1000);
    log->entered = 1;
    pthread_mutex_lock(&library_lock);
    const long n = recv(fd, text, sizeof text, 0);
    if (n < 0) {
        const struct timespec brief = {0, 1000000};
        struct pollfd one = {fd, POLLIN, 0};
        remember(log, n);
        /* Not having heard of cancellation it goes on trying, by every means. */
        remember(log, recv(fd, text, sizeof text, 0));
        remember(log, read(fd, text, sizeof text));
        remember(log, poll(&one, 1, -1));
        remember(log, nanosleep(&brief, NULL));
        remember(log, usleep(1000));
    }
    pthread_mutex_unlock(&library_lock);
    free(owned);
    log->left = 1;
    return n;
}

long c_stubborn(int fd, volatile int* stop, struct c_log* log) {
    char c;
    log->entered = 1;
    while (!*stop) {
        const long n = read(fd, &c, 1);
        if (n < 0) {
            log->last_error = errno;
            ++log->rounds;
        }
    }
    log->left = 1;
    return log->rounds;
}

int c_needs_no_wait(int with_data, int with_room, struct c_log* log) {
    char text[8];
    int good = 0;
    struct pollfd both[2] = {{with_data, POLLIN, 0}, {with_room, POLLOUT, 0}};
    log->entered = 1;
    remember(log, recv(with_data, text, 1, MSG_PEEK | MSG_DONTWAIT) == 1 ? 0 : -1);
    good += poll(both, 2, -1) == 2;
    good += read(with_data, text, 4) == 4;
    good += write(with_room, text, 4) == 4;
    good += pthread_mutex_lock(&library_lock) == 0;
    good += pthread_mutex_unlock(&library_lock) == 0;
    good += poll(both, 2, 0) >= 0;
    good += close(dup(with_data)) == 0;
    log->left = 1;
    return good;
}
