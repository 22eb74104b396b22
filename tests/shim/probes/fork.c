// SPDX-License-Identifier: Apache-2.0
// Parents and children that both make blocking calls; children that exec; vfork.
#include "probe.h"

static char buf[256];

// A child that uses libc's calls, not raw ones; its status comes back to the parent.
#define CHILD for (int child_once = probe_fork(); child_once; _exit(99))

static int status_of_child(void) {
    int status = 0;
    while (waitpid(-1, &status, 0) < 0 && errno == EINTR) {}
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

PROBE(child_sleeps) {
    CHILD {
        const struct timespec t = {0, 50000000};
        begin();
        usleep(50000);
        nanosleep(&t, NULL);
        poll(NULL, 0, 50);
        const long ms = since_start();
        _exit(ms >= 150 && ms < 400 ? 7 : 8);
    }
    begin();
    done(status_of_child(), NULL, -1);
}

PROBE(child_answers) {
    for (int kind = on_unix; kind < media; ++kind) {
        int p[2];
        open_pair((enum medium)kind, p);
        label("child_answers/%s", medium_name[kind]);
        CHILD {
            close(p[0]);
            for (ssize_t n; (n = recv(p[1], buf, sizeof buf, 0)) > 0;) {
                usleep(20000);
                send(p[1], buf, (size_t)n, 0);
            }
            _exit(5);
        }
        close(p[1]);
        for (int i = 0; i < 3; ++i) {
            begin();
            send(p[0], "ping", 4, 0);
            done(recv(p[0], buf, sizeof buf, 0), buf, -1);
        }
        close(p[0]);
        fact("child", status_of_child());
    }
}

// After blocking calls in the parent, and again in the child's child.
PROBE(grandchild) {
    int p[2];
    must(pipe(p), "pipe");
    usleep(10000);
    CHILD {
        usleep(10000);
        if (probe_fork()) {
            usleep(50000);
            if (write(p[1], "grandchild", 10)) {}
            _exit(1);
        }
        _exit(status_of_child() + 1);
    }
    begin();
    done(read(p[0], buf, 100), buf, flags_of(p[0]));
    fact("child", status_of_child());
    close_pair(p);
}

// Both wait on the same socket; whoever is first, every message is read once, and nobody disturbs the other's wait.
PROBE(shared_descriptor) {
    int p[2], back[2];
    must(socketpair(AF_UNIX, SOCK_DGRAM, 0, p), "socketpair");
    must(pipe(back), "pipe");
    for (int i = 0; i < 2; ++i) CHILD {
        for (;;) {
            const ssize_t n = recv(p[0], buf, sizeof buf, 0);
            if (n == 1) _exit(0);
            if (write(back[1], ".", 1)) {}
        }
    }
    PEER {
        for (int i = 0; i < 20; ++i) put(p[1], "message");
        delay(60);
        put(p[1], "E"), put(p[1], "E"), put(p[1], "E");
    }
    begin();
    long mine = 0;
    while (recv(p[0], buf, sizeof buf, 0) > 1) ++mine;
    reap();
    close(back[1]);
    errno = 0;
    done(mine + drain(back[0], 1000), NULL, -1);
    close(back[0]);
    close_pair(p);
}

PROBE(many_children) {
    int p[2];
    must(pipe(p), "pipe");
    for (int i = 0; i < 20; ++i) CHILD {
        usleep(60000);
        if (write(p[1], "c", 1)) {}
        _exit(0);
    }
    close(p[1]);
    begin();
    long total = 0;
    for (ssize_t n; (n = read(p[0], buf, sizeof buf)) > 0;) total += n;
    done(total, NULL, -1);
    close(p[0]);
}

// A child's standard input and output survive its exec as the parent left them: blocking.
PROBE(child_execs) {
    int in[2], out[2];
    must(pipe(in), "pipe");
    must(pipe(out), "pipe");
    fcntl(in[1], F_SETFD, FD_CLOEXEC);
    fcntl(out[0], F_SETFD, FD_CLOEXEC);
    usleep(1000);
    CHILD {
        dup2(in[0], 0);
        dup2(out[1], 1);
        execl("/bin/sh", "sh", "-c", "read line; echo \"got $line\"; exit 6", (char*)NULL);
    }
    close(in[0]);
    close(out[1]);
    PEER { delay(60); put(in[1], "a line\n"); }
    begin();
    done(read(out[0], buf, sizeof buf), buf, -1);
    close(in[1]);
    close(out[0]);
}

PROBE(vfork_execs) {
    usleep(1000);
    begin();
    const pid_t child = vfork();
    if (child == 0) {
        execl("/bin/sh", "sh", "-c", "exit 9", (char*)NULL);
        _exit(98);
    }
    int status = 0;
    waitpid(child, &status, 0);
    label("vfork_execs");
    fact("status", WEXITSTATUS(status));
    begin();
    usleep(30000);
    done(0, NULL, -1);
}

PROBE(child_is_killed) {
    fflush(stdout);
    int p[2], status = 0;
    must(pipe(p), "pipe");
    const pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (read(p[0], buf, 1)) {}
        _exit(1);
    }
    PEER { delay(60); kill(child, SIGTERM); }
    begin();
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {}
    done(WTERMSIG(status), NULL, -1);
    close_pair(p);
}
