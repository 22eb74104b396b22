// SPDX-License-Identifier: Apache-2.0
// Threads that make blocking calls side by side.
#include "probe.h"

#include <pthread.h>

enum { threads = 20 };
static pthread_t ids[threads];
static int pairs[threads][2];

static void start(void* (*body)(void*)) {
    for (long i = 0; i < threads; ++i) must(-pthread_create(&ids[i], NULL, body, (void*)i), "pthread_create");
}
static long finish(void) {
    long sum = 0;
    for (int i = 0; i < threads; ++i) {
        void* result = NULL;
        pthread_join(ids[i], &result);
        sum += (long)result;
    }
    return sum;
}

static void* sleeper(void* argument) {
    const struct timespec t = {0, 40000000};
    usleep(30000);
    nanosleep(&t, NULL);
    poll(NULL, 0, 30);
    return argument;
}
// Their waits overlap: the whole takes as long as one.
PROBE(sleepers) {
    begin();
    start(sleeper);
    done(finish(), NULL, -1);
}

static void* echo(void* argument) {
    const int fd = pairs[(long)argument][1];
    char text[64];
    long total = 0;
    for (ssize_t n; (n = read(fd, text, sizeof text)) > 0; total += n)
        if (write(fd, text, (size_t)n) != n) return NULL;
    return (void*)total;
}
PROBE(echoes) {
    for (int i = 0; i < threads; ++i) open_pair(i % 2 ? on_unix : on_tcp, pairs[i]);
    start(echo);
    long total = 0;
    char text[64];
    for (int round = 0; round < 50; ++round)
        for (int i = 0; i < threads; ++i) {
            if (write(pairs[i][0], "0123456789", 10)) {}
            total += recv(pairs[i][0], text, 10, MSG_WAITALL);
        }
    for (int i = 0; i < threads; ++i) shutdown(pairs[i][0], SHUT_WR);
    fact("lost", finish() - total);  // busy rather than waiting: no time to compare
    fact("echoed", total);
    for (int i = 0; i < threads; ++i) close_pair(pairs[i]);
}

static struct sockaddr_in server_address;
static void* client(void* argument) {
    char text[8];
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr*)&server_address, sizeof server_address) != 0) return (void*)1000;
    usleep(50000);
    const long bad = send(fd, "hello", 5, 0) != 5 || recv(fd, text, 5, MSG_WAITALL) != 5 || memcmp(text, "hello", 5) != 0;
    close(fd);
    return (void*)(bad + ((long)argument & 0));
}
static void* server(void* argument) {
    const int listener = (int)(long)argument;
    char text[8];
    for (int i = 0; i < threads; ++i) {
        const int fd = accept(listener, NULL, NULL);
        if (recv(fd, text, 5, MSG_WAITALL) == 5 && send(fd, text, 5, 0) == 5) close(fd);
    }
    return NULL;
}
PROBE(clients_and_server) {
    const int listener = listen_tcp(threads, &server_address);
    pthread_t server_id;
    begin();
    must(-pthread_create(&server_id, NULL, server, (void*)(long)listener), "pthread_create");
    start(client);
    const long bad = finish();
    pthread_join(server_id, NULL);
    done(bad, NULL, flags_of(listener));
    close(listener);
}

static void* failing(void* argument) {
    char text[4];
    long wrong = 0;
    for (int i = 0; i < 50; ++i) {
        errno = (int)(long)argument + 1;
        usleep(300);
        wrong += errno != (int)(long)argument + 1;
        wrong += read((long)argument % 2 ? -1 : pairs[0][1], text, 4) != -1 || errno != ((long)argument % 2 ? EBADF : EAGAIN);
    }
    return (void*)wrong;
}
PROBE(errno_of_each) {
    open_pair(on_pipe, pairs[0]);
    const int swap = pairs[0][0];
    pairs[0][0] = pairs[0][1];
    pairs[0][1] = swap;
    fcntl(pairs[0][1], F_SETFL, O_NONBLOCK);
    start(failing);
    fact("wrong", finish());
    close_pair(pairs[0]);
}

// A thread forks while others wait; its child lives on alone.
static void* forking(void* argument) {
    if ((long)argument != 3) {
        usleep(100000);
        return NULL;
    }
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        usleep(50000);
        struct pollfd none = {-1, 0, 0};
        _exit(poll(&none, 1, 20) == 0 ? 4 : 5);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return (void*)(long)WEXITSTATUS(status);
}
PROBE(fork_in_a_thread) {
    begin();
    start(forking);
    done(finish(), NULL, -1);
}
