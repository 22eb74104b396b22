// SPDX-License-Identifier: Apache-2.0
// Ways to make a child: fork, _Fork, vfork, clone, posix_spawn; what it inherits, and what is left to the parent.
#include "probe.h"

#include <dirent.h>
#include <sched.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/resource.h>

extern char** environ;

static int word;
static char buf[64];

static long status_of(pid_t pid) {
    int status = 0;
    if (waitpid(pid, &status, 0) != pid) return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static long open_count(void) {
    long n = 0;
    DIR* d = opendir("/proc/self/fd");
    for (struct dirent* e; (e = readdir(d)) != NULL;) n += e->d_name[0] != '.' && atoi(e->d_name) < 64;
    closedir(d);
    return n - 1;
}

// What a child does that goes on without exec: calls that wait.
static int busy_child(void) {
    int p[2];
    if (pipe(p) != 0) return 1;
    struct pollfd f = {p[0], POLLIN, 0};
    if (poll(&f, 1, 20) != 0) return 2;
    usleep(1000);
    const int set = epoll_create1(0);
    struct epoll_event e = {.events = EPOLLIN};
    if (epoll_ctl(set, EPOLL_CTL_ADD, p[0], &e) != 0 || epoll_wait(set, &e, 1, 5) != 0) return 3;
    fflush(stdout);
    const pid_t grandchild = fork();
    if (grandchild == 0) {
        usleep(20000);
        if (write(p[1], "x", 1)) {}
        _exit(5);
    }
    if (read(p[0], buf, 1) != 1) return 4;
    return status_of(grandchild) == 5 ? 42 : 6;
}

PROBE(fork_goes_on) {
    fflush(stdout);
    usleep(1000);
    const pid_t pid = must(fork(), "fork");
    if (pid == 0) _exit(busy_child());
    begin();
    done(status_of(pid), NULL, -1);
}

PROBE(bare_fork_goes_on) {
    fflush(stdout);
    usleep(1000);
    const pid_t pid = must(_Fork(), "_Fork");
    if (pid == 0) _exit(busy_child());
    begin();
    done(status_of(pid), NULL, -1);
}

static char stack[65536] __attribute__((aligned(64)));
static int cloned(void* argument) { return argument == &word ? busy_child() : 99; }

PROBE(clone_goes_on) {
    fflush(stdout);
    usleep(1000);
    int fd = -1;
    const pid_t pid = must(clone(cloned, stack + sizeof stack, CLONE_PIDFD | SIGCHLD, &word, &fd), "clone");
    begin();
    done(status_of(pid), NULL, fd >= 0);
    close(fd);
    begin();
    done(clone(NULL, stack + sizeof stack, SIGCHLD, NULL), NULL, -1);
    begin();
    done(clone(cloned, NULL, SIGCHLD, NULL), NULL, -1);
}

static int cloned_like_vfork(void* argument) {
    delay(10);
    usleep(10000);
    close(*(int*)argument);
    word = 77;
    return 3;
}

PROBE(clone_like_vfork) {
    int p[2];
    must(pipe(p), "pipe");
    usleep(1000);
    word = 0;
    begin();
    const pid_t pid = must(clone(cloned_like_vfork, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, &p[0]), "clone");
    done(word, NULL, -1);
    fact("status", status_of(pid));
    PEER { delay(30); put(p[1], "x"); }
    begin();
    done(read(p[0], buf, 1), buf, -1); // not closed here
    close_pair(p);
}

PROBE(vfork_shares) {
    int p[2];
    must(pipe(p), "pipe");
    usleep(1000);
    if (write(p[1], "y", 1) != 1 || read(p[0], buf, 1) != 1) fact("setup", 0);
    const long before = open_count();
    volatile int shared = 0;
    handle(SIGUSR1, SA_RESTART);
    begin();
    const pid_t pid = vfork();
    if (pid == 0) { // all of this must be the child's alone
        struct sigaction dfl = {.sa_handler = SIG_DFL};
        sigaction(SIGUSR1, &dfl, NULL);
        usleep(30000);
        close(p[0]);
        dup2(p[1], 0);
        for (int fd = 3; fd < 1024; ++fd) close(fd);
        close_range(0, ~0U, 0);
        shared = 5;
        _exit(21);
    }
    done(shared, NULL, -1);
    fact("status", status_of(pid));
    fact("open", open_count() - before);
    PEER { delay(40); poke(SIGUSR1); delay(20); put(p[1], "x"); }
    begin();
    done(read(p[0], buf, 1), buf, -1);
    fact("handlers", caught);
    close_pair(p);
}

PROBE(vfork_exec_fails) {
    volatile int error = 0;
    errno = 0;
    const pid_t pid = vfork();
    if (pid == 0) {
        execl("/nonexistent/program", "program", (char*)NULL);
        error = errno;
        _exit(127);
    }
    label("vfork_exec_fails");
    fact("errno", error);
    fact("status", status_of(pid));
    static int i; // vfork returns twice
    for (i = 0; i < 3; ++i) {
        const pid_t again = vfork();
        if (again == 0) execl("/bin/sh", "sh", "-c", "sleep 0.03; exit 9", (char*)NULL);
        begin();
        done(status_of(again), NULL, -1);
    }
}

PROBE(vfork_in_vfork) {
    const pid_t pid = vfork();
    if (pid == 0) {
        const pid_t inner = vfork();
        if (inner == 0) _exit(4);
        int status = 0;
        waitpid(inner, &status, 0);
        _exit(WEXITSTATUS(status) + 1);
    }
    label("vfork_in_vfork");
    fact("status", status_of(pid));
    begin();
    done(usleep(20000), NULL, -1);
}

PROBE(no_more_processes) {
    struct rlimit old, none;
    getrlimit(RLIMIT_NPROC, &old);
    none = old;
    none.rlim_cur = 1;
    label("no_more_processes");
    if (geteuid() == 0) { // who may make any number
        fact("root", 1);
        return;
    }
    setrlimit(RLIMIT_NPROC, &none);
    begin();
    done(vfork(), NULL, -1);
    begin();
    done(fork(), NULL, -1);
    setrlimit(RLIMIT_NPROC, &old);
}

static char* const bare[] = {(char*)"PATH=/usr/bin:/bin", NULL};

static pid_t spawn(const char* command, const posix_spawnattr_t* how, const posix_spawn_file_actions_t* actions) {
    const char* arguments[] = {"sh", "-c", command, NULL};
    pid_t pid = -1;
    const int error = posix_spawn(&pid, "/bin/sh", actions, how, (char**)arguments, bare);
    return error ? -error : pid;
}

PROBE(spawned) {
    label("spawned");
    pid_t pid = spawn("exit 6", NULL, NULL);
    begin();
    done(status_of(pid), NULL, -1);
    const char* arguments[] = {"sh", "-c", "exit 8", NULL};
    begin();
    done_code(posix_spawnp(&pid, "sh", NULL, NULL, (char**)arguments, environ), NULL);
    fact("status", status_of(pid));
    begin();
    done_code(posix_spawn(&pid, "/nonexistent/program", NULL, NULL, (char**)arguments, environ), NULL);
    begin();
    done_code(posix_spawnp(&pid, "nonexistent-program", NULL, NULL, (char**)arguments, environ), NULL);
    begin();
    done(waitpid(-1, &word, WNOHANG), NULL, -1);
    int p[2];
    must(pipe(p), "pipe");
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, p[1], 1);
    posix_spawn_file_actions_addclose(&actions, p[0]);
    pid = spawn("sleep 0.06; echo out", NULL, &actions);
    close(p[1]);
    begin();
    done(read(p[0], buf, sizeof buf), buf, -1);
    close(p[0]);
    fact("status", status_of(pid));
    posix_spawn_file_actions_destroy(&actions);
}

// What the child of each way sees: its signals, its descriptors.
PROBE(inherits) {
    static char script[] = "sed -n 's/^Sig\\(Blk\\|Ign\\):.//p' /proc/self/status; ls /proc/self/fd | wc -l";
    sigset_t set, old;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_BLOCK, &set, &old);
    usleep(1000);
    for (int how = 0; how < 4; ++how) {
        label("inherits/%d", how);
        int p[2];
        must(pipe2(p, O_CLOEXEC), "pipe2");
        pid_t pid = -1;
        if (how == 0) pid = fork();
        if (how == 1) pid = vfork();
        if (how == 2) pid = _Fork();
        if (how < 3 && pid == 0) {
            dup2(p[1], 1);
            execle("/bin/sh", "sh", "-c", script, (char*)NULL, bare);
            _exit(98);
        }
        if (how == 3) {
            posix_spawn_file_actions_t actions;
            posix_spawn_file_actions_init(&actions);
            posix_spawn_file_actions_adddup2(&actions, p[1], 1);
            pid = spawn(script, NULL, &actions);
            posix_spawn_file_actions_destroy(&actions);
        }
        close(p[1]);
        char text[200];
        size_t used = 0;
        for (ssize_t n; (n = read(p[0], text + used, sizeof text - used)) > 0;) used += (size_t)n;
        close(p[0]);
        for (size_t at = 0; at < used; at += 17) {
            const size_t size = used - at < 17 ? used - at : 17;
            probe_line((long)size, 0, text + at, (long)size, -1, -1);
        }
        fact("status", status_of(pid));
    }
    sigprocmask(SIG_SETMASK, &old, NULL);
}

// A child that closes everything, also what it does not know, goes on.
PROBE(closes_everything) {
    for (int how = 0; how < 3; ++how) {
        label("closes_everything/%d", how);
        fflush(stdout);
        usleep(1000);
        const pid_t pid = must(fork(), "fork");
        if (pid == 0) {
            if (how == 0) for (int fd = 0; fd < 70000; ++fd) close(fd);
            if (how == 1) close_range(0, ~0U, 0);
            if (how == 2) closefrom(0);
            for (int i = 0; i < 3; ++i) open("/dev/null", O_RDWR);
            _exit(busy_child());
        }
        begin();
        done(status_of(pid), NULL, -1);
    }
}

PROBE(execs) {
    label("execs");
    fflush(stdout);
    usleep(1000);
    const pid_t pid = must(fork(), "fork");
    if (pid == 0) {
        usleep(1000);
        execlp("nonexistent-program", "program", (char*)NULL);
        usleep(1000); // a failed exec leaves all as it was
        char* const arguments[] = {(char*)"sh", (char*)"-c", (char*)"exit $CODE", NULL};
        char* const environment[] = {(char*)"CODE=23", NULL};
        execve("/bin/sh", arguments, environment);
        _exit(98);
    }
    begin();
    done(status_of(pid), NULL, -1);
}
