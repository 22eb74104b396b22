// SPDX-License-Identifier: Apache-2.0
// Calls about processes that take any thread's number for its process's, and those that want the first thread's.
#include "conform.h"

#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>

pid_t __getpgid(pid_t process);
int capget(void* header, void* data);

static sem_t begun, stop;
static atomic_int number;
static void* waits(void* argument) {
    atomic_store(&number, gettid());
    sem_post(&begun);
    sem_wait(&stop);
    return argument;
}
static pthread_t begin(void) {
    sem_init(&begun, 0, 0);
    sem_init(&stop, 0, 0);
    const pthread_t thread = start(waits, NULL);
    sem_wait(&begun);
    return thread;
}
static void end(pthread_t thread) {
    sem_post(&stop);
    finish(thread);
    while (syscall(SYS_tgkill, getpid(), (pid_t)number, 0) == 0) pause_ms(1); // whom others have joined the kernel may still know for a moment
}

CASE(group_and_session) {
    const pthread_t thread = begin();
    EQUAL(getpgrp(), getpgid(number));
    EQUAL(getpgrp(), __getpgid(number));
    EQUAL(getpgrp(), syscall(SYS_getpgid, number));
    EQUAL(getsid(0), getsid(number));
    EQUAL(getsid(0), syscall(SYS_getsid, number));
    FAILS(EINVAL, setpgid(number, 0));
    FAILS(EINVAL, setpgid(number, getpid()));
    FAILS(EINVAL, setpgid(number, -1));
    FAILS(EINVAL, syscall(SYS_setpgid, number, number));
    FAILS(EPERM, setpgid(0, number));
    const pid_t was = number;
    end(thread);
    FAILS(ESRCH, getpgid(was));
    FAILS(ESRCH, getsid(was));
    FAILS(ESRCH, setpgid(was, 0));
    FAILS(ESRCH, syscall(SYS_getpgid, was));
}

CASE(limits) {
    const pthread_t thread = begin();
    struct rlimit mine, its;
    WORKS(getrlimit(RLIMIT_NOFILE, &mine));
    WORKS(prlimit(number, RLIMIT_NOFILE, NULL, &its));
    CHECK(mine.rlim_cur == its.rlim_cur && mine.rlim_max == its.rlim_max);
    WORKS(prlimit(number, RLIMIT_CORE, &(struct rlimit){0, 0}, NULL));
    WORKS(syscall(SYS_prlimit64, number, RLIMIT_CORE, NULL, &its));
    EQUAL(0, its.rlim_max);
    FAILS(EINVAL, prlimit(number, 99, NULL, &its));
    FAILS(EFAULT, prlimit(number, RLIMIT_NOFILE, NULL, (struct rlimit*)8));
    const pid_t was = number;
    end(thread);
    FAILS(ESRCH, prlimit(was, RLIMIT_NOFILE, NULL, &its));
}

CASE(memory) {
    const pthread_t thread = begin();
    char from[8] = "written", to[8] = "";
    const struct iovec there = {from, 8}, here = {to, 8};
    EQUAL(8, process_vm_readv(number, &here, 1, &there, 1, 0));
    CHECK(strcmp(to, "written") == 0);
    strcpy(to, "back");
    EQUAL(8, process_vm_writev(number, &here, 1, &there, 1, 0));
    CHECK(strcmp(from, "back") == 0);
    EQUAL(8, syscall(SYS_process_vm_readv, number, &here, 1, &there, 1, 0));
    FAILS(EINVAL, process_vm_readv(number, &here, 1, &there, 1, 1));
    const struct iovec nowhere = {(void*)8, 8};
    FAILS(EFAULT, process_vm_readv(number, &here, 1, &nowhere, 1, 0));
    WORKS(syscall(SYS_kcmp, number, getpid(), 1, 0, 0)); // KCMP_VM
    WORKS(syscall(SYS_kcmp, getpid(), number, 2, 0, 0)); // KCMP_FILES
    WORKS(syscall(SYS_move_pages, number, 0, NULL, NULL, NULL, 0));
    const pid_t was = number;
    end(thread);
    FAILS(ESRCH, process_vm_readv(was, &here, 1, &there, 1, 0));
    FAILS(ESRCH, syscall(SYS_kcmp, was, getpid(), 1, 0, 0));
}

CASE(capabilities) {
    const pthread_t thread = begin();
    struct { unsigned version; int number; } header = {0x20080522, 0};
    unsigned mine[6] = {0}, its[6] = {1};
    WORKS(capget(&header, mine));
    header.number = number;
    WORKS(capget(&header, its));
    CHECK(memcmp(mine, its, sizeof mine) == 0);
    EQUAL(number, header.number);
    WORKS(syscall(SYS_capget, &header, its));
    header.version = 1;
    FAILS(EINVAL, capget(&header, its));
    EQUAL(0x20080522, header.version);
    FAILS(EPERM, syscall(SYS_capset, &header, its));
    FAILS(EFAULT, capget((void*)8, its));
    end(thread);
    FAILS(ESRCH, capget(&header, its));
}

/// A thread has a list of robust mutexes where its pthread_t is.
CASE(robust_list) {
    const pthread_t thread = begin();
    char *mine = NULL, *its = NULL;
    size_t size = 0;
    WORKS(syscall(SYS_get_robust_list, 0, &mine, &size));
    EQUAL(24, size);
    size = 0;
    WORKS(syscall(SYS_get_robust_list, number, &its, &size));
    EQUAL(24, size);
    EQUAL(mine - (char*)pthread_self(), its - (char*)thread);
    FAILS(EFAULT, syscall(SYS_get_robust_list, number, &its, 8));
    end(thread);
    FAILS(ESRCH, syscall(SYS_get_robust_list, (pid_t)number, &its, &size));
}

static atomic_int taken, value;
static void takes(int signal, siginfo_t* info, void* context) {
    (void)context;
    atomic_store(&value, info->si_value.sival_int + signal * 0);
    atomic_fetch_add(&taken, 1);
}

/// A signal for it is for its process, and a descriptor cannot be its.
CASE(signals) {
    const pthread_t thread = begin();
    struct sigaction a = {.sa_sigaction = takes, .sa_flags = SA_SIGINFO | SA_RESTART}, before;
    sigaction(SIGRTMIN + 3, &a, &before);
    WORKS(sigqueue(number, 0, (union sigval){0}));
    WORKS(sigqueue(number, SIGRTMIN + 3, (union sigval){.sival_int = 7}));
    UNTIL(taken, 1);
    EQUAL(7, value);
    siginfo_t info = {.si_code = SI_QUEUE, .si_signo = SIGRTMIN + 3};
    info.si_value.sival_int = 9;
    WORKS(syscall(SYS_rt_sigqueueinfo, number, SIGRTMIN + 3, &info));
    UNTIL(taken, 2);
    EQUAL(9, value);
    FAILS(EINVAL, sigqueue(number, 65, (union sigval){0}));
    sigaction(SIGRTMIN + 3, &before, NULL);
    int p[2];
    WORKS(pipe(p));
    WORKS(fcntl(p[0], F_SETOWN, getpid()));
    WORKS(fcntl(p[0], F_SETOWN, (int)number));
    EQUAL(0, fcntl(p[0], F_GETOWN));
    close(p[0]);
    close(p[1]);
    FAILS(ECHILD, waitpid(number, NULL, WNOHANG));
    const pid_t was = number;
    end(thread);
    FAILS(ESRCH, sigqueue(was, 0, (union sigval){0}));
}

/// What is no process has no descriptor as one: kernels differ in how they say it.
CASE(no_process) {
    const pthread_t thread = begin();
    errno = 0;
    EQUAL(-1, syscall(SYS_pidfd_open, number, 0));
    CHECK(errno == EINVAL || errno == ENOENT);
    FAILS(EINVAL, syscall(SYS_pidfd_open, number, 7));
    clockid_t clock;
    CHECK(clock_getcpuclockid(number, &clock) != 0);
    FAILS(EPERM, syscall(SYS_ptrace, 16, number, 0, 0)); // PTRACE_ATTACH, to a thread of one's own
    const pid_t was = number;
    end(thread);
    FAILS(ESRCH, syscall(SYS_pidfd_open, was, 0));
}
