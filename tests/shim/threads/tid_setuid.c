// SPDX-License-Identifier: Apache-2.0
// setuid and its kin are the process's: whichever thread calls them, all of its threads have the new identity. Whoever has no privileges
// can do no more than set what it has.
#include "conform.h"

#include <grp.h>

#define THREADS 6
static sem_t look, looked;
static uid_t wanted_user, users[THREADS];
static gid_t wanted_group, groups[THREADS];

static void* looks(void* argument) {
    const int i = (int)(intptr_t)argument;
    for (int round = 0; round < 4; ++round) {
        sem_wait(&look);
        EQUAL(wanted_user, geteuid());
        EQUAL(wanted_group, getegid());
        users[i] = geteuid();
        groups[i] = getegid();
        sem_post(&looked);
        pause_ms(5);
    }
    return NULL;
}

static void all_look(void) {
    for (int i = 0; i < THREADS; ++i) sem_post(&look);
    for (int i = 0; i < THREADS; ++i) sem_wait(&looked);
}

static bool privileged(void) { return getuid() == 0 && setegid(12345) == 0 && setegid(0) == 0; }

static void change(bool may, uid_t user, gid_t group) {
    if (!may) {
        user = geteuid();
        group = getegid();
    }
    WORKS(setegid(group));
    WORKS(seteuid(user));
    wanted_user = user;
    wanted_group = group;
}

static void* changes(void* argument) {
    (void)argument;
    const bool may = privileged();
    change(may, 0, 0);
    all_look();
    change(may, 0, 2);
    all_look();
    change(may, 3, 2);
    all_look();
    WORKS(may ? seteuid(0) : 0);
    WORKS(may ? setegid(0) : 0);
    change(may, 0, 0);
    return NULL;
}

static void* drops_all(void* argument) {
    const bool may = privileged();
    const gid_t group = 65534;
    WORKS(may ? setgroups(1, &group) : 0);
    WORKS(may ? setresgid(65534, 65534, 65534) : setgid(getgid()));
    WORKS(may ? setresuid(65534, 65534, 65534) : setuid(getuid()));
    wanted_user = geteuid();
    wanted_group = getegid();
    if (may) FAILS(EPERM, setuid(0));
    if (may) FAILS(EPERM, setreuid(0, 0));
    EQUAL(0, may ? getgroups(0, NULL) - 1 : 0);
    all_look();
    return argument;
}

static void run(bool by_thread) {
    pthread_t threads[THREADS];
    sem_init(&look, 0, 0);
    sem_init(&looked, 0, 0);
    for (int i = 0; i < THREADS; ++i) threads[i] = start(looks, (void*)(intptr_t)i);
    if (by_thread) finish(start(changes, NULL));
    else changes(NULL);
    if (by_thread) finish(start(drops_all, NULL));
    else drops_all(NULL);
    for (int i = 0; i < THREADS; ++i) finish(threads[i]);
    EQUAL(wanted_user, geteuid());
    atomic_store(&conform_checks, 0); // how many there were depends on privileges
}

PROCESS(thread_changes) { run(true); }
PROCESS(main_changes) { run(false); }
CASE(by_a_thread) { EQUAL(0, ending(run_process("thread_changes"))); }
CASE(by_the_first) { EQUAL(0, ending(run_process("main_changes"))); }

static void* opens_nothing(void* argument) {
    // A child of a thread changes itself only.
    int status = -1;
    const uid_t before = geteuid();
    CHILD(status) {
        const bool may = privileged();
        WORKS(may ? setuid(65534) : setuid(getuid()));
        EQUAL(may ? 65534 : before, geteuid());
    }
    EQUAL(0, ending(status));
    EQUAL(before, geteuid());
    return argument;
}
CASE(a_childs_own) { finish(start(opens_nothing, NULL)); }

// Threads that have ended are nobody's business.
CASE(a_childs_own_after_threads) {
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; ++i) threads[i] = start(opens_nothing, NULL);
    for (int i = 0; i < THREADS; ++i) finish(threads[i]);
    opens_nothing(NULL);
    finish(start(opens_nothing, NULL));
}

// What libc looks up before it makes the system calls of all threads may wait, too.
static void* names_groups(void* argument) {
    if (privileged()) WORKS(initgroups("daemon", 65534));
    else FAILS(EPERM, initgroups("daemon", 65534));
    return argument;
}
PROCESS(groups_by_name) {
    pthread_t threads[THREADS];
    sem_init(&looked, 0, 0);
    for (int i = 0; i < THREADS; ++i) threads[i] = start(names_groups, NULL);
    for (int i = 0; i < THREADS; ++i) finish(threads[i]);
    names_groups(NULL);
    atomic_store(&conform_checks, 0);
}
CASE(groups_of_a_name) { EQUAL(0, ending(run_process("groups_by_name"))); }

// By then the destructors of main's variables have run, perhaps on another kernel thread than main began on.
static void changes_late(void) {
    if (setegid(getegid()) != 0 || seteuid(geteuid()) != 0) _exit(77);
}
static void* waits_on(void* argument) {
    for (;;) pause();
    return argument;
}
PROCESS(at_exit) {
    for (int i = 0; i < 2; ++i) pthread_detach(start(waits_on, NULL));
    atexit(changes_late);
    pause_ms(5);
    struct timespec now;
    do clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    while (now.tv_sec == 0 && now.tv_nsec < 200000000);
    pause_ms(5);
    exit(5);
}
CASE(at_the_end) { EQUAL(5, ending(run_process("at_exit"))); }
