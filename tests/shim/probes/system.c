// SPDX-License-Identifier: Apache-2.0
// system: how the command ended, and what of the parent's signals it sees.
#include "probe.h"

#include <spawn.h>

extern char** environ;

static char path[] = "/tmp/weft-probe-XXXXXX";

PROBE(status) {
    const char* const commands[] = {"exit 0", "exit 7", "exit 255", "exit 300", "kill -TERM $$", "kill -KILL $$", "/nonexistent/program",
                                    "exec /nonexistent/program", "", " ", "true; false", "sleep 0.06; exit 3"};
    for (size_t i = 0; i < sizeof commands / sizeof *commands; ++i) {
        label("status/%zu", i);
        must(dup2(2, 9), "dup2"); // the shell's complaints
        const int null = open("/dev/null", O_WRONLY);
        dup2(null, 2);
        begin();
        const int result = system(commands[i]);
        const int error = errno;
        dup2(9, 2);
        close(9), close(null);
        errno = error;
        done(result, NULL, -1);
    }
    label("status/null");
    begin();
    done(system(NULL), NULL, -1);
    begin();
    done(waitpid(-1, NULL, WNOHANG), NULL, -1);
}

static long signals_of(const char* command) {
    char line[200];
    snprintf(line, sizeof line, "%s > %s", command, path);
    if (system(line) != 0) return -1;
    FILE* f = fopen(path, "r");
    unsigned long value = 99;
    if (f == NULL || fscanf(f, "%lx", &value) != 1) value = 98;
    if (f) fclose(f);
    return (long)(value & ~(3UL << 31)); // 32 and 33 are libc's own, and handled as soon as there has been a second kernel thread
}

// The masks that a command starts with.
PROBE(masks) {
    label("masks");
    strcpy(path + sizeof path - 7, "XXXXXX");
    close(must(mkstemp(path), "mkstemp"));
    static const char blocked[] = "exec sed -n 's/^SigBlk:[^0-9a-f]*//p' /proc/self/status";
    static const char ignored[] = "exec sed -n 's/^SigIgn:[^0-9a-f]*//p' /proc/self/status";
    fact("blocked", signals_of(blocked));
    fact("ignored", signals_of(ignored));
    sigset_t set, old, now;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, &old);
    signal(SIGINT, SIG_IGN);
    fact("blocked2", signals_of(blocked));
    fact("ignored2", signals_of(ignored));
    sigprocmask(SIG_SETMASK, &old, &now);
    fact("mask", sigismember(&now, SIGUSR1) + 2 * sigismember(&now, SIGCHLD) + 4 * sigismember(&now, SIGINT));
    signal(SIGINT, SIG_DFL);
    handle(SIGINT, 0);
    handle(SIGQUIT, 0);
    fact("ignored3", signals_of(ignored));
    struct sigaction a;
    sigaction(SIGINT, NULL, &a);
    fact("restored", a.sa_handler == on_signal);
    signal(SIGINT, SIG_DFL);
    signal(SIGQUIT, SIG_DFL);
    unlink(path);
}

// SIGINT and SIGQUIT are ignored meanwhile; other signals run their handlers and the call goes on.
PROBE(signals) {
    label("signals");
    handle(SIGINT, 0);
    PEER { delay(60); poke(SIGINT); poke(SIGQUIT); }
    begin();
    done(system("sleep 0.12; exit 2"), NULL, -1);
    fact("interrupts", caught);
    reap();
    handle(SIGUSR1, 0);
    PEER { delay(60); poke(SIGUSR1); }
    begin();
    done(system("sleep 0.12; exit 2"), NULL, -1);
    fact("handlers", caught);
    reap();
    signal(SIGINT, SIG_DFL);
}

static volatile long stolen;
static void reap_all(int number) {
    (void)number;
    const int saved = errno;
    while (waitpid(-1, NULL, WNOHANG) > 0) ++stolen;
    errno = saved;
}

// SIGCHLD is blocked meanwhile: its handler cannot take the shell, but it hears of other children.
PROBE(sigchld) {
    label("sigchld");
    struct sigaction a = {.sa_handler = reap_all};
    sigaction(SIGCHLD, &a, NULL);
    stolen = 0;
    begin();
    done(system("sleep 0.06; exit 4"), NULL, -1);
    fact("stolen", stolen);
    PEER { delay(60); }
    begin();
    done(system("sleep 0.12; exit 4"), NULL, -1);
    fact("stolen", stolen);
    signal(SIGCHLD, SIG_IGN);
    begin();
    done(system("exit 4"), NULL, -1);
    signal(SIGCHLD, SIG_DFL);
}

PROBE(in_child) {
    label("in_child");
    fflush(stdout);
    const pid_t pid = must(fork(), "fork");
    if (pid == 0) _exit(WEXITSTATUS(system("sleep 0.06; exit 13")));
    int status = 0;
    begin();
    waitpid(pid, &status, 0);
    done(WEXITSTATUS(status), NULL, -1);
}
