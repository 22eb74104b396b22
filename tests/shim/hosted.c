// SPDX-License-Identifier: Apache-2.0
// A program that makes one call of a family and says whether it was served: then the process has an event loop's descriptors.
#define _GNU_SOURCE
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int has_event_loop(void) {
    char path[64], target[64];
    for (int fd = 0; fd < 65536; ++fd) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        const ssize_t n = readlink(path, target, sizeof target - 1);
        if (n <= 0) continue;
        target[n] = 0;
        if (strstr(target, "[timerfd]")) return 1;
    }
    return 0;
}

static void call(const char* family) {
    if (strcmp(family, "time") == 0) {
        usleep(1000);
    } else if (strcmp(family, "poll") == 0) {
        poll(NULL, 0, 1);
    } else if (strcmp(family, "io") == 0) {
        int p[2];
        char c;
        if (pipe(p) != 0 || write(p[1], "x", 1) != 1 || read(p[0], &c, 1) != 1) exit(3);
    } else if (strcmp(family, "dns") == 0) {
        struct addrinfo* found = NULL;
        if (getaddrinfo("localhost", NULL, NULL, &found) != 0) exit(3);
        freeaddrinfo(found);
    } else {
        exit(2);
    }
}

int main(int argc, char** argv) {
    if (argc == 3 && strcmp(argv[1], "call") == 0) {
        call(argv[2]);
        puts(has_event_loop() ? "served" : "bare");
        return 0;
    }
    if (argc == 2 && strcmp(argv[1], "wait") == 0) { // for a signal
        printf("%d\n", (int)getpid());
        fflush(stdout);
        sleep(60);
        return 0;
    }
    for (int i = 1; i < argc; ++i) printf("[%s]\n", argv[i]); // what came through
    return argc;
}
