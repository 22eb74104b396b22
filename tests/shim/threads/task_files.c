// SPDX-License-Identifier: Apache-2.0
// /proc/self/task and what it says of threads: how many there are, by which numbers; their names and states.
#include "conform.h"

#include <dirent.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define THREADS 40
static sem_t begun, stop;
static pid_t numbers[THREADS];

static void* stays(void* argument) {
    const int i = (int)(intptr_t)argument;
    numbers[i] = gettid();
    char name[16];
    snprintf(name, sizeof name, "stays %d", i);
    pthread_setname_np(pthread_self(), name);
    sem_post(&begun);
    sem_wait(&stop);
    return NULL;
}

static void begin_all(pthread_t* threads) {
    sem_init(&begun, 0, 0);
    sem_init(&stop, 0, 0);
    for (int i = 0; i < THREADS; ++i) threads[i] = start(stays, (void*)(intptr_t)i);
    for (int i = 0; i < THREADS; ++i) sem_wait(&begun);
}

static void end_all(pthread_t* threads) {
    for (int i = 0; i < THREADS; ++i) sem_post(&stop);
    for (int i = 0; i < THREADS; ++i) finish(threads[i]);
}

/// Which of main and the threads are in a list of names: all of them once, and nobody else.
static atomic_int seen[THREADS + 1], others;
static void begin_list(void) {
    for (int i = 0; i <= THREADS; ++i) seen[i] = 0;
    others = 0;
}
static void note(const char* name) {
    if (name[0] == '.') return;
    const pid_t number = (pid_t)atol(name);
    if (number == getpid()) {
        ++seen[THREADS];
        return;
    }
    for (int i = 0; i < THREADS; ++i)
        if (numbers[i] == number) {
            ++seen[i];
            return;
        }
    ++others;
}
static bool is_complete(void) {
    for (int i = 0; i <= THREADS; ++i)
        if (seen[i] != 1) return false;
    return others == 0;
}

static bool lists_all(DIR* d) {
    begin_list();
    if (d == NULL) return false;
    errno = 0;
    for (const struct dirent* e; (e = readdir(d)) != NULL;) note(e->d_name);
    return errno == 0 && is_complete();
}

/// Threads that have been joined may be seen for a moment, bare.
static int count_threads(void) {
    DIR* const d = opendir("/proc/self/task");
    int n = 0;
    for (const struct dirent* e; (e = readdir(d)) != NULL;) n += e->d_name[0] != '.';
    closedir(d);
    return n;
}
static void wait_for_count(int wanted) {
    while (count_threads() != wanted) pause_ms(1);
}

CASE(all_are_listed) {
    pthread_t threads[THREADS];
    wait_for_count(1);
    begin_all(threads);
    EQUAL(THREADS + 1, count_threads());
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task/", getpid());
    static const char* const ways[] = {"/proc/self/task", "/proc/self/task/", NULL};
    for (int i = 0; i < 3; ++i) {
        DIR* const d = opendir(ways[i] == NULL ? path : ways[i]);
        CHECK(lists_all(d));
        CHECK(readdir(d) == NULL);
        rewinddir(d);
        CHECK(lists_all(d));
        WORKS(closedir(d));
    }
    end_all(threads);
    wait_for_count(1);
}

CASE(as_others_read_it) {
    pthread_t threads[THREADS];
    wait_for_count(1);
    begin_all(threads);
    // By descriptor.
    int fd = open("/proc/self/task", O_RDONLY | O_DIRECTORY);
    DIR* d = fdopendir(fd);
    CHECK(lists_all(d));
    WORKS(closedir(d));
    fd = openat(AT_FDCWD, "/proc/self/task", O_RDONLY);
    for (int way = 0; way < 2; ++way) {
        begin_list();
        int dots = 0;
        _Alignas(8) char room[400];
        for (;;) {
            const long n = way == 0 ? getdents64(fd, room, sizeof room) : syscall(SYS_getdents64, fd, room, sizeof room);
            if (n <= 0) {
                EQUAL(0, n);
                break;
            }
            for (long at = 0; at < n;) {
                const struct dirent64* const e = (const struct dirent64*)(room + at);
                EQUAL(DT_DIR, e->d_type);
                dots += e->d_name[0] == '.';
                note(e->d_name);
                at += e->d_reclen;
            }
        }
        CHECK(is_complete());
        EQUAL(2, dots);
        EQUAL(0, lseek(fd, 0, SEEK_SET));
    }
    char room[8];
    FAILS(EINVAL, syscall(SYS_getdents64, fd, room, sizeof room));
    FAILS(EFAULT, syscall(SYS_getdents64, fd, 16, 4096));
    close(fd);
    // Sorted, and some only.
    struct dirent** list = NULL;
    begin_list();
    const int n = scandir("/proc/self/task", &list, NULL, alphasort);
    EQUAL(THREADS + 3, n);
    for (int i = 0; i < n; ++i) {
        note(list[i]->d_name);
        CHECK(i == 0 || strcoll(list[i - 1]->d_name, list[i]->d_name) < 0);
        free(list[i]);
    }
    free(list);
    CHECK(is_complete());
    // From a place in the middle.
    d = opendir("/proc/self/task");
    long place = 0;
    char third[256] = "";
    for (int i = 0; i < 10; ++i) {
        if (i == 9) place = telldir(d);
        strcpy(third, readdir(d)->d_name);
    }
    for (int i = 0; i < 10; ++i) CHECK(readdir(d) != NULL);
    seekdir(d, place);
    CHECK(strcmp(third, readdir(d)->d_name) == 0);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    struct dirent one, *next = NULL;
    begin_list();
    rewinddir(d);
    while (readdir_r(d, &one, &next) == 0 && next != NULL) note(one.d_name);
#pragma GCC diagnostic pop
    CHECK(is_complete());
    closedir(d);
    end_all(threads);
}

/// A line of a file that begins so, without that; or its first line.
static const char* line_of(const char* path, const char* beginning) {
    static char text[4096];
    FILE* const f = fopen(path, "r");
    if (f == NULL) return "";
    while (fgets(text, sizeof text, f) != NULL) {
        if (strncmp(text, beginning, strlen(beginning)) != 0) continue;
        fclose(f);
        text[strcspn(text, "\n")] = 0;
        return text + strlen(beginning);
    }
    fclose(f);
    return "";
}

/// The field of `stat`, numbered as proc(5) has them from 3 on.
static const char* field_of(const char* path, int field) {
    static char value[64];
    const char* text = strrchr(line_of(path, ""), ')');
    if (text == NULL) return "";
    for (text += 2; field > 3; --field) text = strchr(text, ' ') + 1;
    snprintf(value, sizeof value, "%.*s", (int)strcspn(text, " \n"), text);
    return value;
}

CASE(what_is_said) {
    pthread_t threads[THREADS];
    wait_for_count(1);
    begin_all(threads);
    EQUAL(THREADS + 1, atol(line_of("/proc/self/status", "Threads:\t")));
    EQUAL(THREADS + 1, atol(field_of("/proc/self/stat", 20)));
    CHECK(getpid() == atol(line_of("/proc/self/status", "Pid:\t")));
    for (int i = 0; i < THREADS; i += 7) {
        char path[80], wanted[64];
        snprintf(wanted, sizeof wanted, "stays %d", i);
        snprintf(path, sizeof path, "/proc/self/task/%d/comm", numbers[i]);
        CHECK(strcmp(line_of(path, ""), wanted) == 0);
        snprintf(path, sizeof path, "/proc/%d/task/%d/status", getpid(), numbers[i]);
        CHECK(strcmp(line_of(path, "Name:\t"), wanted) == 0);
        CHECK(atol(line_of(path, "Pid:\t")) == numbers[i]);
        CHECK(atol(line_of(path, "Tgid:\t")) == getpid());
        EQUAL(THREADS + 1, atol(line_of(path, "Threads:\t")));
        while (!(strcmp(line_of(path, "State:\t"), "S (sleeping)") == 0)) pause_ms(1);
        snprintf(path, sizeof path, "/proc/self/task/%d/stat", numbers[i]);
        CHECK(atol(line_of(path, "")) == numbers[i]);
        snprintf(wanted, sizeof wanted, "(stays %d)", i);
        CHECK(strstr(line_of(path, ""), wanted) != NULL);
        CHECK(strcmp(field_of(path, 3), "S") == 0);
        EQUAL(THREADS + 1, atol(field_of(path, 20)));
        CHECK(atol(field_of(path, 4)) == getppid());
        snprintf(path, sizeof path, "/proc/%d/comm", numbers[i]);
        snprintf(wanted, sizeof wanted, "stays %d", i);
        CHECK(strcmp(line_of(path, ""), wanted) == 0);
    }
    // From the directory.
    const int list = open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char name[40], text[40] = "";
    snprintf(name, sizeof name, "%d/comm", numbers[3]);
    const int fd = openat(list, name, O_RDONLY);
    CHECK(fd >= 0);
    EQUAL(8, read(fd, text, sizeof text));
    CHECK(strcmp(text, "stays 3\n") == 0);
    close(fd);
    snprintf(name, sizeof name, "%d", numbers[4]);
    const int its = openat(list, name, O_RDONLY | O_DIRECTORY);
    CHECK(its >= 0);
    close(its);
    close(list);
    CHECK(strcmp(line_of("/proc/thread-self/comm", ""), line_of("/proc/self/comm", "")) == 0);
    end_all(threads);
    // Nobody has those numbers any more.
    char path[80];
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", numbers[0]);
    wait_for_count(1);
    FAILS(ENOENT, open(path, O_RDONLY));
    CHECK(opendir("/proc/self/task/1/") == NULL || getpid() == 1);
}

static void* counts(void* argument) {
    (void)argument;
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%d/status", gettid());
    CHECK(strcmp(line_of(path, "State:\t"), "R (running)") == 0);
    CHECK(atol(line_of("/proc/thread-self/status", "Pid:\t")) == gettid());
    return (void*)(intptr_t)count_threads();
}

CASE(by_one_of_them) {
    wait_for_count(1);
    CHECK((intptr_t)finish(start(counts, NULL)) == 2);
    wait_for_count(1);
    EQUAL(1, atol(line_of("/proc/self/status", "Threads:\t")));
}

/// Other directories are as ever.
CASE(other_directories) {
    int n = 0;
    DIR* const d = opendir("/proc/self/fd");
    while (readdir(d) != NULL) ++n;
    closedir(d);
    CHECK(n >= 5);
    FAILS(ENOENT, opendir("/proc/self/nothing") == NULL ? -1 : 0);
    FAILS(ENOENT, opendir("/nothing") == NULL ? -1 : 0);
    FAILS(ENOTDIR, opendir("/proc/self/status") == NULL ? -1 : 0);
    struct dirent** list = NULL;
    FAILS(ENOENT, scandir("/nothing", &list, NULL, NULL));
}
