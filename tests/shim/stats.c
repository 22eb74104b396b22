/* SPDX-License-Identifier: Apache-2.0 */
/* What `--stats` counts: so many calls of each kind, and one of the ways to end. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void* one_thread(void* fds) {
    char c = 'x';
    for (int i = 0; i < 50; ++i)
        if (send(((int*)fds)[0], &c, 1, 0) != 1 || recv(((int*)fds)[1], &c, 1, 0) != 1) abort();
    return NULL;
}

static int calls(void) {
    int fds[2];
    char text[16];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0) return 90;
    for (int i = 0; i < 7; ++i)
        if (send(fds[0], "abc", 3, 0) != 3 || recv(fds[1], text, 3, 0) != 3) return 91;
    for (int i = 0; i < 3; ++i)
        if (recv(fds[1], text, 3, MSG_DONTWAIT) != -1 || errno != EAGAIN) return 92;
    const int zero = open("/dev/zero", O_RDONLY);
    for (int i = 0; i < 5; ++i)
        if (read(zero, text, 4) != 4) return 93;
    const struct timespec pause = {0, 20 * 1000 * 1000};
    for (int i = 0; i < 2; ++i) nanosleep(&pause, NULL);
    close(zero);
    close(fds[0]);
    close(fds[1]);
    return 0;
}

static int threads(void) {
    pthread_t all[8];
    int fds[8][2];
    for (int i = 0; i < 8; ++i)
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds[i]) != 0 || pthread_create(&all[i], NULL, one_thread, fds[i]) != 0) return 94;
    for (int i = 0; i < 8; ++i) pthread_join(all[i], NULL);
    return 0;
}

int main(int count, char** words) {
    const char* how = count > 1 ? words[1] : "return";
    int status = calls();
    if (status != 0) return status;
    if (strcmp(how, "exit") == 0) exit(3);
    if (strcmp(how, "_exit") == 0) _exit(3);
    if (strcmp(how, "_Exit") == 0) _Exit(3);
    if (strcmp(how, "quick_exit") == 0) quick_exit(3);
    if (strcmp(how, "closed") == 0) {
        close(2);
        return 3;
    }
    if (strcmp(how, "threads") == 0) return threads() != 0 ? 95 : 3;
    if (strcmp(how, "fork") == 0) {
        const struct timespec pause = {0, 1000 * 1000};
        const pid_t child = fork();
        if (child == 0) {
            nanosleep(&pause, NULL);
            _exit(5);
        }
        if (waitpid(child, &status, 0) != child || WEXITSTATUS(status) != 5) return 96;
        return 3;
    }
    if (strcmp(how, "vfork") == 0) {
        const pid_t child = vfork();
        if (child == 0) _exit(5);
        if (waitpid(child, &status, 0) != child || WEXITSTATUS(status) != 5) return 97;
        return 3;
    }
    return 3;
}
