// SPDX-License-Identifier: Apache-2.0
// Names of threads' files in /proc: whether they are there, where they lead, how they are found; and threads' own, set by writing.
#include "conform.h"

#include <dirent.h>
#include <fts.h>
#include <ftw.h>
#include <glob.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>

static sem_t begun, stop;
static atomic_int number;
static void* waits(void* argument) {
    atomic_store(&number, gettid());
    sem_post(&begun);
    sem_wait(&stop);
    return argument;
}
static pthread_t thread;
static void begin(void) {
    sem_init(&begun, 0, 0);
    sem_init(&stop, 0, 0);
    thread = start(waits, NULL);
    sem_wait(&begun);
}
static void end(void) {
    sem_post(&stop);
    finish(thread);
    while (syscall(SYS_tgkill, getpid(), (pid_t)number, 0) == 0) pause_ms(1); // whom others have joined the kernel may still know for a moment
}

/// The three names of the thread's directory, and what follows.
static const char* name_of(int way, const char* rest) {
    static char name[2][100];
    static int turn;
    char* const to = name[turn ^= 1];
    if (way == 0) snprintf(to, 100, "/proc/self/task/%d%s", number, rest);
    if (way == 1) snprintf(to, 100, "/proc/%d/task/%d%s", getpid(), number, rest);
    if (way == 2) snprintf(to, 100, "/proc/%d%s", number, rest);
    return to;
}

static bool alike(const struct stat* a, mode_t mode) { return a->st_mode == mode && a->st_uid == geteuid(); }

CASE(what_is_there) {
    begin();
    for (int way = 0; way < 3; ++way) {
        struct stat s;
        struct statx x;
        WORKS(stat(name_of(way, ""), &s));
        CHECK(alike(&s, S_IFDIR | 0555));
        WORKS(lstat(name_of(way, "/"), &s));
        CHECK(alike(&s, S_IFDIR | 0555));
        WORKS(fstatat(AT_FDCWD, name_of(way, "/comm"), &s, AT_SYMLINK_NOFOLLOW));
        CHECK(alike(&s, S_IFREG | 0644));
        WORKS(statx(AT_FDCWD, name_of(way, "/stat"), 0, STATX_MODE, &x));
        EQUAL(S_IFREG | 0444, x.stx_mode);
        WORKS(stat(name_of(way, "/cwd"), &s));
        CHECK(S_ISDIR(s.st_mode));
        WORKS(lstat(name_of(way, "/cwd"), &s));
        CHECK(S_ISLNK(s.st_mode));
        WORKS(access(name_of(way, ""), R_OK | X_OK));
        WORKS(access(name_of(way, "/comm"), R_OK | W_OK));
        WORKS(faccessat(AT_FDCWD, name_of(way, "/status"), R_OK, AT_EACCESS));
        WORKS(euidaccess(name_of(way, "/fd"), R_OK));
        WORKS(eaccess(name_of(way, "/fd"), F_OK));
        FAILS(ENOENT, stat(name_of(way, "/nothing"), &s));
        FAILS(ENOENT, access(name_of(way, "/nothing"), F_OK));
        FAILS(ENOTDIR, stat(name_of(way, "/comm/"), &s));
        FAILS(ENOTDIR, open(name_of(way, "/comm/"), O_RDONLY));
        FAILS(EFAULT, stat(name_of(way, ""), (struct stat*)8));
        // By number.
        WORKS(syscall(SYS_stat, name_of(way, "/comm"), &s));
        WORKS(syscall(SYS_lstat, name_of(way, "/cwd"), &s));
        CHECK(S_ISLNK(s.st_mode));
        WORKS(syscall(SYS_newfstatat, AT_FDCWD, name_of(way, ""), &s, 0));
        CHECK(alike(&s, S_IFDIR | 0555));
        WORKS(syscall(SYS_statx, AT_FDCWD, name_of(way, ""), 0, STATX_MODE, &x));
        WORKS(syscall(SYS_access, name_of(way, ""), F_OK));
        WORKS(syscall(SYS_faccessat, AT_FDCWD, name_of(way, ""), F_OK));
        FAILS(ENOENT, syscall(SYS_access, name_of(way, "/nothing"), F_OK));
    }
    // A call that works leaves errno alone.
    struct stat s;
    errno = 77;
    EQUAL(0, stat(name_of(0, ""), &s));
    EQUAL(77, errno);
    end();
    FAILS(ENOENT, stat(name_of(0, ""), &s));
    FAILS(ENOENT, access(name_of(1, "/comm"), F_OK));
    FAILS(ENOENT, access(name_of(2, ""), F_OK));
}

CASE(from_a_directory) {
    begin();
    const int list = open("/proc/self/task", O_RDONLY | O_DIRECTORY);
    char name[40];
    struct stat s;
    snprintf(name, sizeof name, "%d", number);
    WORKS(fstatat(list, name, &s, 0));
    CHECK(alike(&s, S_IFDIR | 0555));
    WORKS(faccessat(list, name, F_OK, 0));
    snprintf(name, sizeof name, "%d/comm", number);
    WORKS(fstatat(list, name, &s, 0));
    CHECK(alike(&s, S_IFREG | 0644));
    char here[PATH_MAX];
    CHECK(getcwd(here, sizeof here) != NULL);
    WORKS(fchdir(list));
    WORKS(stat(name, &s));
    WORKS(access(name, R_OK));
    WORKS(chdir(here));
    FAILS(ENOENT, access(name, R_OK));
    close(list);
    end();
}

static void* looks_at_itself(void* argument) {
    char wanted[64], got[PATH_MAX] = "";
    const int n = snprintf(wanted, sizeof wanted, "%d/task/%d", getpid(), gettid());
    EQUAL(n, readlink("/proc/thread-self", got, sizeof got));
    CHECK(strcmp(got, wanted) == 0);
    memset(got, 0, sizeof got);
    EQUAL(n, syscall(SYS_readlinkat, AT_FDCWD, "/proc/thread-self", got, sizeof got));
    CHECK(strcmp(got, wanted) == 0);
    EQUAL(4, readlink("/proc/thread-self", got, 4));
    snprintf(wanted, sizeof wanted, "/proc/%d/task/%d", getpid(), gettid());
    CHECK(realpath("/proc/thread-self", got) == got && strcmp(got, wanted) == 0);
    strcat(wanted, "/comm");
    char* const made = canonicalize_file_name("/proc/thread-self/comm");
    CHECK(made != NULL && strcmp(made, wanted) == 0);
    free(made);
    struct stat s;
    WORKS(stat("/proc/thread-self/comm", &s));
    return argument;
}

CASE(where_they_lead) {
    looks_at_itself(NULL);
    finish(start(looks_at_itself, NULL));
    begin();
    char got[PATH_MAX], wanted[PATH_MAX], here[PATH_MAX];
    for (int way = 0; way < 3; ++way) {
        FAILS(EINVAL, readlink(name_of(way, ""), got, sizeof got));
        FAILS(EINVAL, readlink(name_of(way, "/comm"), got, sizeof got));
        FAILS(ENOENT, readlink(name_of(way, "/nothing"), got, sizeof got));
        memset(got, 0, sizeof got);
        CHECK(readlink(name_of(way, "/cwd"), got, sizeof got) > 0);
        CHECK(strcmp(got, getcwd(here, sizeof here)) == 0);
        CHECK(realpath(name_of(way, "/cwd"), got) == got && strcmp(got, here) == 0);
        if (way == 2) snprintf(wanted, sizeof wanted, "/proc/%d/comm", number);
        else snprintf(wanted, sizeof wanted, "/proc/%d/task/%d/comm", getpid(), number);
        CHECK(realpath(name_of(way, "/comm"), got) == got && strcmp(got, wanted) == 0);
        *strrchr(wanted, '/') = 0;
        CHECK(realpath(name_of(way, "/"), got) == got && strcmp(got, wanted) == 0);
        CHECK(realpath(name_of(way, "/nothing"), got) == NULL && errno == ENOENT);
    }
    end();
}

static int mains, its, files;
static int visits(const char* path, const struct stat* s, int kind, struct FTW* where) {
    char main_name[64];
    snprintf(main_name, sizeof main_name, "/proc/self/task/%d", getpid());
    if (strcmp(path, main_name) == 0 && kind == FTW_D) ++mains;
    if (strcmp(path, name_of(0, "")) == 0 && kind == FTW_D && S_ISDIR(s->st_mode)) ++its;
    if (strcmp(path, name_of(0, "/comm")) == 0 && kind == FTW_F && where->level == 2) ++files;
    return where->level == 2 && kind == FTW_D ? FTW_SKIP_SUBTREE : FTW_CONTINUE;
}

CASE(found_by_others) {
    begin();
    glob_t found;
    EQUAL(0, glob("/proc/self/task/*/comm", 0, NULL, &found));
    EQUAL(2, found.gl_pathc);
    EQUAL(0, found.gl_flags & GLOB_ALTDIRFUNC);
    int n = 0;
    for (size_t i = 0; i < found.gl_pathc; ++i) n += strcmp(found.gl_pathv[i], name_of(0, "/comm")) == 0;
    EQUAL(1, n);
    EQUAL(0, glob("/proc/self/task/[0-9]*", GLOB_ONLYDIR | GLOB_MARK | GLOB_APPEND, NULL, &found));
    EQUAL(4, found.gl_pathc);
    EQUAL(0, glob(name_of(1, "/sta*s"), GLOB_APPEND, NULL, &found));
    EQUAL(5, found.gl_pathc);
    EQUAL(0, glob(name_of(2, ""), GLOB_APPEND, NULL, &found));
    EQUAL(6, found.gl_pathc);
    EQUAL(GLOB_NOMATCH, glob("/proc/self/task/*/nothing", 0, NULL, &found));
    globfree(&found);

    mains = its = files = 0;
    EQUAL(0, nftw("/proc/self/task", visits, 8, FTW_PHYS | FTW_ACTIONRETVAL));
    EQUAL(1, mains);
    EQUAL(1, its);
    EQUAL(1, files);

    for (int options = FTS_PHYSICAL; options <= (FTS_PHYSICAL | FTS_NOCHDIR); options += FTS_NOCHDIR) {
        char* const paths[] = {"/proc/self/task", NULL};
        FTS* const all = fts_open(paths, options, NULL);
        CHECK(all != NULL);
        its = files = 0;
        for (FTSENT* e; (e = fts_read(all)) != NULL;) {
            if (strcmp(e->fts_path, name_of(0, "")) == 0 && e->fts_info == FTS_D) ++its;
            if (strcmp(e->fts_path, name_of(0, "/comm")) == 0 && e->fts_info == FTS_F) ++files;
            if (e->fts_level == 2 && e->fts_info == FTS_D) fts_set(all, e, FTS_SKIP);
        }
        WORKS(fts_close(all));
        EQUAL(1, its);
        EQUAL(1, files);
    }

    const int self = open("/proc/self", O_RDONLY | O_DIRECTORY);
    struct dirent** list = NULL;
    EQUAL(4, scandirat(self, "task", &list, NULL, alphasort));
    for (int i = 0; i < 4; ++i) free(list[i]);
    free(list);
    EQUAL(4, scandirat(AT_FDCWD, "/proc/self/task", &list, NULL, alphasort));
    for (int i = 0; i < 4; ++i) free(list[i]);
    free(list);
    close(self);
    end();
}

/// The thread's name as it reads itself, then by its file.
static bool is_called(const char* wanted) {
    char name[16] = "", text[40] = "";
    pthread_getname_np(thread, name, sizeof name);
    const int fd = open(name_of(0, "/comm"), O_RDONLY);
    const ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    const size_t length = strlen(wanted);
    return strcmp(name, wanted) == 0 && n == (ssize_t)length + 1 && memcmp(text, wanted, length) == 0 && text[length] == '\n';
}

CASE(set_by_writing) {
    begin();
    for (int way = 0; way < 3; ++way) {
        const int fd = open(name_of(way, "/comm"), O_WRONLY | O_CLOEXEC);
        CHECK(fd >= 0);
        EQUAL(5, write(fd, "hello", 5));
        CHECK(is_called("hello"));
        FAILS(ESPIPE, pwrite(fd, "at", 2, 0));
        EQUAL(25, write(fd, "a name of more than 15 by", 25));
        CHECK(is_called("a name of more "));
        EQUAL(3, write(fd, "nl\n", 3));
        CHECK(is_called("nl\n"));
        EQUAL(3, write(fd, "a\0b", 3));
        CHECK(is_called("a"));
        EQUAL(6, writev(fd, (struct iovec[]){{"one", 3}, {"two", 3}}, 2));
        CHECK(is_called("two"));
        EQUAL(3, syscall(SYS_write, fd, "raw", 3));
        CHECK(is_called("raw"));
        EQUAL(0, write(fd, "", 0));
        CHECK(is_called(""));
        FAILS(EFAULT, syscall(SYS_write, fd, 8, 4));
        FAILS(EBADF, read(fd, (char[8]){0}, 8));
        EQUAL(0, lseek(fd, 0, SEEK_SET));
        const int again = dup(fd);
        EQUAL(6, write(again, "copied", 6));
        CHECK(is_called("copied"));
        close(again);
        close(fd);
    }
    // Buffered, and to be read as well.
    FILE* f = fopen(name_of(0, "/comm"), "w");
    CHECK(f != NULL);
    fprintf(f, "by %s %d", "FILE", 3);
    WORKS(fclose(f));
    CHECK(is_called("by FILE 3"));
    f = fopen(name_of(1, "/comm"), "r+");
    char text[40] = "";
    CHECK(f != NULL && fgets(text, sizeof text, f) != NULL && strcmp(text, "by FILE 3\n") == 0);
    fseek(f, 0, SEEK_SET);
    fputs("updated", f);
    WORKS(fclose(f));
    CHECK(is_called("updated"));
    int fd = open(name_of(0, "/comm"), O_RDWR | O_TRUNC | O_CREAT, 0600);
    EQUAL(4, write(fd, "both", 4));
    EQUAL(5, pread(fd, text, sizeof text, 0));
    CHECK(memcmp(text, "both\n", 5) == 0);
    close(fd);
    fd = creat(name_of(0, "/comm"), 0600);
    EQUAL(5, write(fd, "creat", 5));
    CHECK(is_called("creat"));
    close(fd);
    FAILS(EEXIST, open(name_of(0, "/comm"), O_WRONLY | O_CREAT | O_EXCL, 0600));
    FAILS(ENOTDIR, open(name_of(0, "/comm"), O_RDONLY | O_DIRECTORY));
    end();
    FAILS(ENOENT, open(name_of(0, "/comm"), O_WRONLY));
    // The main thread's.
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%d/comm", getpid());
    fd = open(path, O_WRONLY);
    EQUAL(4, write(fd, "main", 4));
    close(fd);
    char name[16];
    pthread_getname_np(pthread_self(), name, sizeof name);
    CHECK(strcmp(name, "main") == 0);
}
