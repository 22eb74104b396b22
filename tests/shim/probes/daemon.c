// SPDX-License-Identifier: Apache-2.0
// Programs that become daemons, and sessions with terminals of their own: they are served on.
#include "probe.h"

#include <pty.h>
#include <sys/epoll.h>
#include <utmp.h>

static char buf[256];

static long status_of(pid_t pid) {
    int status = 0;
    if (waitpid(pid, &status, 0) != pid) return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

// What a daemon does: sleeps, waits, answers.
static void serve_once(int in, int out) {
    usleep(20000);
    struct pollfd f = {in, POLLIN, 0};
    const int ready = poll(&f, 1, 5000);
    char text[16];
    const ssize_t n = ready == 1 ? read(in, text, sizeof text) : -1;
    const ssize_t end = read(0, text + 1, 1); // /dev/null
    text[0] = (char)('0' + n);
    text[1] = (char)('0' + end);
    text[2] = getsid(0) == getpid() || getppid() == 1 || getsid(0) != getpgid(getppid()) ? 'd' : 'n';
    if (write(out, text, 3)) {}
}

static void converse(int in[2], int out[2]) {
    PEER { delay(60); put(in[1], "hello"); }
    begin();
    done(read(out[0], buf, sizeof buf), buf, -1);
    reap();
}

PROBE(by_daemon) {
    int in[2], out[2];
    must(pipe(in), "pipe");
    must(pipe(out), "pipe");
    for (int flags = 0; flags < 2; ++flags) {
        label("by_daemon/%d", flags);
        fflush(stdout);
        usleep(1000);
        const pid_t pid = must(fork(), "fork");
        if (pid == 0) {
            int fd = open("/dev/ptmx", O_RDWR | O_NOCTTY); // something that is not /dev/null, and looked at
            dup2(fd, 0);
            struct pollfd f = {0, POLLIN, 0};
            poll(&f, 1, 5);
            if (flags) {
                close(0);
                open("/dev/null", O_RDWR);
            }
            if (daemon(0, flags) != 0) _exit(1);
            serve_once(in[0], out[1]);
            _exit(0);
        }
        fact("parent", status_of(pid));
        converse(in, out);
    }
    close_pair(in), close_pair(out);
}

// The same by hand, twice forked, with everything closed.
PROBE(by_hand) {
    int in[2], out[2];
    must(pipe(in), "pipe");
    must(pipe(out), "pipe");
    label("by_hand");
    fflush(stdout);
    usleep(1000);
    const pid_t pid = must(fork(), "fork");
    if (pid == 0) {
        usleep(1000);
        setsid();
        if (fork() != 0) _exit(0);
        if (chdir("/")) {}
        for (int fd = 0; fd < 65536; ++fd)
            if (fd != in[0] && fd != out[1]) close(fd);
        open("/dev/null", O_RDWR);
        if (dup(0) != 1 || dup(0) != 2) _exit(1);
        serve_once(in[0], out[1]);
        _exit(0);
    }
    fact("parent", status_of(pid));
    converse(in, out);
    close_pair(in), close_pair(out);
}

static void raw_terminal(int fd) {
    struct termios t;
    if (tcgetattr(fd, &t) != 0) return;
    cfmakeraw(&t);
    tcsetattr(fd, TCSANOW, &t);
}

PROBE(by_openpty) {
    int master = -1, slave = -1;
    label("by_openpty");
    begin();
    done(openpty(&master, &slave, NULL, NULL, NULL), NULL, -1);
    raw_terminal(slave);
    PEER { delay(60); put(slave, "from the slave"); }
    begin();
    done(read(master, buf, sizeof buf), buf, -1);
    reap();
    PEER { delay(60); put(master, "from the master"); }
    begin();
    done(read(slave, buf, sizeof buf), buf, -1);
    reap();
    close(master);
    close(slave);
}

PROBE(by_forkpty) {
    label("by_forkpty");
    fflush(stdout);
    int master = -1;
    usleep(1000);
    const pid_t pid = must(forkpty(&master, NULL, NULL, NULL), "forkpty");
    if (pid == 0) {
        raw_terminal(0);
        char text[16];
        if (write(1, "ready", 5)) {}
        const ssize_t n = read(0, text, sizeof text);
        usleep(20000);
        if (n > 0 && write(1, text, (size_t)n)) {}
        if (read(0, text, 1)) {} // so that the answer is read before the terminal hangs up
        _exit(isatty(0) && getsid(0) == getpid() ? 14 : 15);
    }
    begin();
    done(read(master, buf, 5), buf, -1);
    if (write(master, "echo", 4)) {}
    begin();
    done(read(master, buf, sizeof buf), buf, -1);
    if (write(master, "q", 1)) {}
    fact("status", status_of(pid));
    begin();
    done(read(master, buf, sizeof buf), buf, -1); // the other side is gone
    close(master);
}

PROBE(by_login_tty) {
    label("by_login_tty");
    int master = -1, slave = -1;
    must(openpty(&master, &slave, NULL, NULL, NULL), "openpty");
    raw_terminal(slave);
    fflush(stdout);
    const pid_t pid = must(fork(), "fork");
    if (pid == 0) {
        struct pollfd f = {slave, POLLIN, 0};
        poll(&f, 1, 5);
        close(master);
        if (login_tty(slave) != 0) _exit(1);
        char text[16];
        const ssize_t n = read(0, text, sizeof text);
        _exit(n == 4 && fcntl(slave, F_GETFD) < 0 ? 16 : 17);
    }
    close(slave);
    PEER { delay(60); put(master, "line"); }
    begin();
    done(status_of(pid), NULL, -1);
    reap();
    close(master);
}
