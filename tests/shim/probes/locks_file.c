// SPDX-License-Identifier: Apache-2.0
// Locks on files: flock, lockf and fcntl's two kinds, held by another process for a while.
#include "probe.h"

#include <sys/file.h>

static char path[] = "/tmp/probe-lock-XXXXXX";

static int locked_file(void) {
    strcpy(path, "/tmp/probe-lock-XXXXXX");
    return must(mkstemp(path), "mkstemp");
}

// A child that holds a lock of that kind for so long, and says through a pipe when it has it.
enum kind { by_flock, by_record, by_description };
static const char* const kind_name[] = {"flock", "record", "description"};

static long take(enum kind how, int fd, int type, int wait) {
    struct flock whole = {.l_type = (short)type, .l_whence = SEEK_SET};
    if (how == by_flock) return raw(SYS_flock, fd, (type == F_RDLCK ? LOCK_SH : LOCK_EX) | (wait ? 0 : LOCK_NB));
    if (how == by_record) return raw(SYS_fcntl, fd, wait ? F_SETLKW : F_SETLK, &whole);
    return raw(SYS_fcntl, fd, wait ? F_OFD_SETLKW : F_OFD_SETLK, &whole);
}

static void hold(enum kind how, int type, long ms) {
    int told[2];
    char c;
    must(pipe(told), "pipe");
    PEER {
        const int own = (int)raw(SYS_openat, AT_FDCWD, path, O_RDWR, 0);
        take(how, own, type, 1);
        put(told[1], "x");
        delay(ms);
    }
    while (raw(SYS_read, told[0], &c, 1) < 0) {}
    close_pair(told);
}

static long call(enum kind how, int fd, int type, int wait) {
    struct flock whole = {.l_type = (short)type, .l_whence = SEEK_SET};
    if (how == by_flock) return flock(fd, (type == F_RDLCK ? LOCK_SH : type == F_WRLCK ? LOCK_EX : LOCK_UN) | (wait ? 0 : LOCK_NB));
    if (how == by_record) return fcntl(fd, wait ? F_SETLKW : F_SETLK, &whole);
    return fcntl(fd, wait ? F_OFD_SETLKW : F_OFD_SETLK, &whole);
}

PROBE(locks) {
    for (int how = 0; how < 3; ++how) {
        const char* name = kind_name[how];
        const int fd = locked_file();
        label(how == by_flock ? "flock.ready" : "fcntl.ready/%s", name);
        begin();
        done(call(how, fd, F_WRLCK, 1), NULL, flags_of(fd));
        begin();
        done(call(how, fd, F_UNLCK, 1), NULL, -1);
        label(how == by_flock ? "flock.blocks" : "fcntl.blocks/%s", name);
        hold(how, F_WRLCK, 60);
        begin();
        done(call(how, fd, F_WRLCK, 1), NULL, flags_of(fd));
        reap();
        begin();
        done(call(how, fd, F_UNLCK, 1), NULL, -1);
        label(how == by_flock ? "flock.blocks/shared" : "fcntl.blocks/%s_shared", name);
        hold(how, F_WRLCK, 60);
        begin();
        done(call(how, fd, F_RDLCK, 1), NULL, -1);
        reap();
        hold(how, F_RDLCK, 30); // two readers
        begin();
        done(call(how, fd, F_RDLCK, 1), NULL, -1);
        begin();
        done(call(how, fd, F_WRLCK, 1), NULL, -1);
        call(how, fd, F_UNLCK, 1);
        reap();
        label(how == by_flock ? "flock.nonblock" : "fcntl.nonblock/%s", name);
        hold(how, F_WRLCK, 50);
        begin();
        done(call(how, fd, F_WRLCK, 0), NULL, -1);
        reap();
        label(how == by_flock ? "flock.eintr" : "fcntl.eintr/%s", name);
        handle(SIGUSR1, 0);
        hold(how, F_WRLCK, 120);
        PEER { delay(50); poke(SIGUSR1); }
        begin();
        done(call(how, fd, F_WRLCK, 1), NULL, -1);
        fact("caught", caught);
        reap();
        label(how == by_flock ? "flock.restart" : "fcntl.restart/%s", name);
        handle(SIGUSR1, SA_RESTART);
        hold(how, F_WRLCK, 100);
        PEER { delay(50); poke(SIGUSR1); }
        begin();
        done(call(how, fd, F_WRLCK, 1), NULL, -1);
        fact("caught", caught);
        call(how, fd, F_UNLCK, 1);
        reap();
        label(how == by_flock ? "flock.fork" : "fcntl.fork/%s", name);
        call(how, fd, F_WRLCK, 1);
        const pid_t child = fork();
        if (child == 0) {
            const int own = open(path, O_RDWR);
            const long result = call(how, own, F_WRLCK, 1);
            _exit(result == 0 && call(how, own, F_UNLCK, 1) == 0 ? 0 : 1);
        }
        delay(60);
        call(how, fd, F_UNLCK, 1);
        int status = -1;
        begin();
        raw(SYS_wait4, child, &status, 0, NULL);
        done(status, NULL, -1);
        label(how == by_flock ? "flock.badfd" : "fcntl.badfd/%s", name);
        close(fd);
        begin();
        done(call(how, fd, F_WRLCK, 1), NULL, -1);
        unlink(path);
    }
    begin();
    label("flock.flags");
    const int fd = locked_file();
    done(flock(fd, 77), NULL, -1);
    begin();
    done(flock(fd, LOCK_EX | LOCK_SH), NULL, -1);
    int p[2];
    must(pipe(p), "pipe");
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    label("fcntl.flags");
    begin();
    done(fcntl(p[0], F_SETLKW, &whole), NULL, -1);
    begin();
    done(fcntl(fd, F_SETLKW, NULL), NULL, -1);
    whole.l_type = 99;
    begin();
    done(fcntl(fd, F_SETLKW, &whole), NULL, -1);
    close_pair(p);
    close(fd);
    unlink(path);
}

PROBE(lockf_) {
    const int fd = locked_file();
    label("lockf.ready");
    begin();
    done(lockf(fd, F_LOCK, 10), NULL, -1);
    begin();
    done(lockf(fd, F_TEST, 10), NULL, -1);
    begin();
    done(lockf(fd, F_ULOCK, 0), NULL, -1);
    begin();
    done(lockf64(fd, F_TLOCK, 0), NULL, -1);
    begin();
    done(lockf64(fd, F_ULOCK, 0), NULL, -1);
    label("lockf.blocks");
    hold(by_record, F_WRLCK, 60);
    begin();
    done(lockf(fd, F_TLOCK, 10), NULL, -1);
    begin();
    done(lockf(fd, F_TEST, 10), NULL, -1);
    begin();
    done(lockf(fd, F_LOCK, 10), NULL, -1);
    lockf(fd, F_ULOCK, 0);
    reap();
    hold(by_record, F_WRLCK, 60);
    begin();
    done(lockf64(fd, F_LOCK, 10), NULL, -1);
    lockf(fd, F_ULOCK, 0);
    reap();
    label("lockf.eintr");
    handle(SIGUSR1, 0);
    hold(by_record, F_WRLCK, 120);
    PEER { delay(50); poke(SIGUSR1); }
    begin();
    done(lockf(fd, F_LOCK, 0), NULL, -1);
    reap();
    label("lockf.flags");
    begin();
    done(lockf(fd, 99, 0), NULL, -1);
    label("lockf.badfd");
    begin();
    done(lockf(-1, F_LOCK, 0), NULL, -1);
    close(fd);
    unlink(path);
}

// Each of two processes waits for what the other holds: the kernel tells the second.
PROBE(deadlock) {
    label("fcntl.flags/deadlock");
    const int fd = locked_file();
    struct flock first = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
    struct flock second = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 1, .l_len = 1};
    int told[2];
    char c;
    must(pipe(told), "pipe");
    must(fcntl(fd, F_SETLK, &first), "first");
    PEER {
        const int own = (int)raw(SYS_openat, AT_FDCWD, path, O_RDWR, 0);
        raw(SYS_fcntl, own, F_SETLKW, &second);
        put(told[1], "x");
        raw(SYS_fcntl, own, F_SETLKW, &first);
    }
    while (raw(SYS_read, told[0], &c, 1) < 0) {}
    delay(40);
    begin();
    done(fcntl(fd, F_SETLKW, &second), NULL, -1);
    first.l_type = F_UNLCK;
    fcntl(fd, F_SETLK, &first);
    reap();
    close_pair(told);
    close(fd);
    unlink(path);
}

PROBE(to_disk) {
    const int fd = locked_file();
    int p[2];
    must((int)write(fd, "contents", 8), "write");
    label("fsync.ready");
    begin();
    done(fsync(fd), NULL, -1);
    label("fdatasync.ready");
    begin();
    done(fdatasync(fd), NULL, -1);
    label("syncfs.ready");
    begin();
    done(syncfs(fd), NULL, -1);
    label("sync_file_range.ready");
    begin();
    done(sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER), NULL, -1);
    label("fsync.badfd");
    begin();
    done(fsync(-1), NULL, -1);
    must(pipe(p), "pipe");
    begin();
    done(fsync(p[0]), NULL, -1);
    label("fdatasync.badfd");
    begin();
    done(fdatasync(p[1]), NULL, -1);
    label("syncfs.badfd");
    begin();
    done(syncfs(-1), NULL, -1);
    label("sync_file_range.badfd");
    begin();
    done(sync_file_range(p[0], 0, 0, SYNC_FILE_RANGE_WRITE), NULL, -1);
    close_pair(p);
    close(fd);
    unlink(path);
}
