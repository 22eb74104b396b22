// SPDX-License-Identifier: Apache-2.0
// Buffered output to pipes and sockets: what each call returns, what it says afterwards (2: error), what is still to be written, and what
// the other side gets.
#include "probe.h"

#include <err.h>
#include <error.h>
#include <stdio_ext.h>
#include <wchar.h>

static long by_fputs(FILE* f) { return fputs("12 line\n", f) >= 0 ? 8 : -1; }
static long by_fwrite(FILE* f) { return (long)fwrite("12 line\n", 2, 4, f); }
static long by_fprintf(FILE* f) { return fprintf(f, "%d %s\n", 12, "line"); }
static long with_va(FILE* f, const char* format, ...) {
    va_list args;
    va_start(args, format);
    const long n = vfprintf(f, format, args);
    va_end(args);
    return n;
}
static long by_vfprintf(FILE* f) { return with_va(f, "%d %s\n", 12, "line"); }
static long by_fputc(FILE* f) { return fputc('1', f); }
static long by_putc(FILE* f) { return putc('1', f); }
static long by_putc_unlocked(FILE* f) { return putc_unlocked('1', f); }
static long by_fputs_unlocked(FILE* f) { return fputs_unlocked("12 line\n", f) >= 0 ? 8 : -1; }
static long by_fwrite_unlocked(FILE* f) { return (long)fwrite_unlocked("12 line\n", 1, 8, f); }
static long by_putw(FILE* f) { return putw(0x41424344, f); }
static long by_dprintf(FILE* f) { return dprintf(fileno(f), "%d %s\n", 12, "line"); }
static long by_fputwc(FILE* f) { return (long)(int)fputwc(L'1', f); }
static long by_fputws(FILE* f) { return fputws(L"12 line\n", f) >= 0 ? 8 : -1; }
static long by_fwprintf(FILE* f) { return fwprintf(f, L"%d %s\n", 12, "line"); }

static const struct writer {
    const char* name;
    long (*call)(FILE*);
    int wide; // without a buffer, glibc writes past its end when it fails
} writers[] = {
    {"fputs", by_fputs, 0},
    {"fwrite", by_fwrite, 0},
    {"fprintf", by_fprintf, 0},
    {"vfprintf", by_vfprintf, 0},
    {"fputc", by_fputc, 0},
    {"putc", by_putc, 0},
    {"putc_unlocked", by_putc_unlocked, 0},
    {"fputs_unlocked", by_fputs_unlocked, 0},
    {"fwrite_unlocked", by_fwrite_unlocked, 0},
    {"putw", by_putw, 0},
    {"dprintf", by_dprintf, 0},
    {"fputwc", by_fputwc, 1},
    {"fputws", by_fputws, 1},
    {"fwprintf", by_fwprintf, 1},
};
#define EACH_WRITER(w) for (const struct writer* w = writers; w < writers + sizeof writers / sizeof *writers; ++w)

static const int modes[] = {_IOFBF, _IOLBF, _IONBF};
static const char* const mode_name[] = {"full", "line", "none"};

static long state(FILE* f) { return (ferror(f) ? 2 : 0) | (long)(__fpending(f) << 4); }

static void outcome(const struct writer* w, FILE* f) {
    begin();
    const long n = w->call(f);
    done(n, NULL, state(f));
}

static FILE* open_writer(enum medium kind, int* other, int mode) {
    int pair[2];
    open_pair(kind, pair);
    *other = pair[0];
    FILE* f = fdopen(pair[1], "w");
    setvbuf(f, NULL, mode, mode == _IONBF ? 0 : 64);
    return f;
}

/// What is there to be read, without waiting.
static void arrived(int fd) {
    char got[33] = "";
    struct pollfd readable = {fd, POLLIN, 0};
    long n = 0;
    if (raw(SYS_poll, &readable, 1, 0) > 0) n = raw(SYS_read, fd, got, 32);
    begin();
    done(n, got, -1);
}

PROBE(ready) {
    EACH_WRITER(w) for (int m = 0; m < 3; ++m) {
        int other;
        FILE* f = open_writer(on_pipe, &other, modes[m]);
        label("%s.ready/%s", w->name, mode_name[m]);
        outcome(w, f);
        arrived(other);
        outcome(w, f);
        begin();
        done(fflush(f), NULL, state(f));
        arrived(other);
        fclose(f);
        close(other);
    }
}

PROBE(blocks) {
    EACH_WRITER(w) for (enum medium kind = on_pipe; kind < on_tcp; ++kind) {
        int other;
        FILE* f = open_writer(kind, &other, _IONBF);
        const long full = fill(fileno(f), kind);
        PEER {
            delay(60);
            drain(other, full);
            delay(60);
        }
        label("%s.blocks/%s", w->name, medium_name[kind]);
        outcome(w, f);
        begin();
        done(fclose(f), NULL, -1);
        close(other);
        reap();
    }
}

PROBE(large) {
    static char data[300000];
    memset(data, 'x', sizeof data);
    for (enum medium kind = on_pipe; kind < media; ++kind) for (int m = 0; m < 3; ++m) {
        int other;
        FILE* f = open_writer(kind, &other, modes[m]);
        PEER {
            close(fileno(f));
            delay(60);
            const long n = drain(other, 400000);
            _exit(n == 300003 ? 7 : 8);
        }
        close(other);
        label("fwrite.blocks/large/%s/%s", medium_name[kind], mode_name[m]);
        begin();
        done(fwrite(data, 1, sizeof data, f), NULL, -1);
        begin();
        done(fprintf(f, "end"), NULL, -1);
        fclose(f);
        int status = 0;
        raw(SYS_wait4, -1, &status, 0, NULL);
        fact("all", WEXITSTATUS(status));
    }
}

PROBE(flushes) {
    for (int m = 0; m < 2; ++m) {
        int other;
        FILE* f = open_writer(on_pipe, &other, _IOFBF);
        const long full = fill(fileno(f), on_pipe);
        fputs("text", f);
        PEER {
            delay(60);
            drain(other, full);
            delay(60);
        }
        label("fflush.blocks/%s", m ? "all" : "one");
        begin();
        done(fflush(m ? NULL : f), NULL, state(f));
        arrived(other);
        fclose(f);
        close(other);
        reap();
    }
}

PROBE(closes) {
    int other;
    FILE* f = open_writer(on_pipe, &other, _IOFBF);
    const long full = fill(fileno(f), on_pipe);
    fputs("text", f);
    PEER {
        delay(60);
        drain(other, full);
        delay(60);
    }
    label("fclose.blocks");
    begin();
    done(fclose(f), NULL, -1);
    arrived(other);
    close(other);
}

PROBE(reset) {
    signal(SIGPIPE, SIG_IGN);
    EACH_WRITER(w) for (int m = 0; m < (w->wide ? 2 : 3); ++m) {
        int other;
        FILE* f = open_writer(on_unix, &other, modes[m]);
        close(other);
        label("%s.reset/%s", w->name, mode_name[m]);
        outcome(w, f);
        outcome(w, f);
        begin();
        done(fflush(f), NULL, state(f));
        begin();
        done(fclose(f), NULL, -1);
    }
    signal(SIGPIPE, SIG_DFL);
}

PROBE(bad_descriptor) {
    EACH_WRITER(w) {
        int p[2];
        must(pipe(p), "pipe");
        FILE* wrong = fdopen(p[0], "r");
        FILE* f = fdopen(p[1], "w");
        label("%s.badfd/mode", w->name);
        outcome(w, wrong);
        close(p[1]);
        label("%s.badfd", w->name);
        outcome(w, f);
        begin();
        done(fclose(f), NULL, -1);
        fclose(wrong);
    }
}

PROBE(full_device) {
    EACH_WRITER(w) {
        FILE* f = fopen("/dev/full", "w");
        label("%s.reset/nospace", w->name);
        outcome(w, f);
        begin();
        done(fclose(f), NULL, -1);
    }
}

PROBE(nonblock) {
    EACH_WRITER(w) if (!w->wide) {
        int other;
        FILE* f = open_writer(on_pipe, &other, _IONBF);
        const long full = fill(fileno(f), on_pipe);
        fcntl(fileno(f), F_SETFL, O_NONBLOCK);
        label("%s.nonblock", w->name);
        outcome(w, f);
        drain(other, full);
        clearerr(f);
        outcome(w, f);
        fact("flags", flags_of(fileno(f)));
        fclose(f);
        close(other);
    }
}

PROBE(interrupted) {
    EACH_WRITER(w) if (!w->wide) for (int restart = 0; restart < 2; ++restart) {
        int other;
        FILE* f = open_writer(on_unix, &other, _IONBF);
        const long full = fill(fileno(f), on_unix);
        handle(SIGUSR1, restart ? SA_RESTART : 0);
        PEER {
            delay(40);
            poke(SIGUSR1);
            delay(40);
            drain(other, full);
            delay(60);
        }
        label("%s.%s", w->name, restart ? "restart" : "eintr");
        outcome(w, f);
        fact("caught", caught);
        clearerr(f);
        fclose(f);
        close(other);
        reap();
    }
}

PROBE(reads_flush_stdout) {
    int in[2], out[2];
    must(pipe(in), "pipe");
    must(pipe(out), "pipe");
    fflush(stdout);
    const int saved = dup(1);
    FILE* f = fdopen(in[0], "r");
    setvbuf(f, NULL, _IONBF, 0);
    dup2(out[1], 1);
    setvbuf(stdout, NULL, _IOLBF, 64);
    fputs("prompt: ", stdout);
    PEER {
        delay(50);
        put(in[1], "x");
    }
    const int c = fgetc(f);
    fflush(stdout);
    dup2(saved, 1);
    setvbuf(stdout, NULL, _IOFBF, BUFSIZ);
    label("fgetc.blocks/prompt");
    begin();
    done(c, NULL, -1);
    arrived(out[0]);
    close(saved);
    fclose(f);
    close(in[1]);
    close_pair(out);
}

PROBE(messages) {
    int p[2];
    must(pipe(p), "pipe");
    const int saved = dup(2);
    dup2(p[1], 2);
    label("perror.ready");
    errno = ENOENT;
    perror("what");
    arrived(p[0]);
    program_invocation_name = program_invocation_short_name = (char*)"p";
    errno = EACCES;
    warn("%s", "who");
    arrived(p[0]);
    warnx("%d", 5);
    arrived(p[0]);
    psignal(SIGUSR1, "sig");
    arrived(p[0]);
    error(0, ENOENT, "%s%d", "n", 7);
    arrived(p[0]);
    error_at_line(0, 0, "file", 3, "%s", "x");
    arrived(p[0]);
    dup2(saved, 2);
    close(saved);
    close_pair(p);
}

PROBE(prefix_exit) {
    int p[2];
    must(pipe(p), "pipe");
    for (int how = 0; how < 3; ++how) {
        if (probe_fork()) {
            dup2(p[1], 2);
            program_invocation_short_name = program_invocation_name = (char*)"p";
            errno = EPERM;
            if (how == 0) err(3, "%s", "end");
            if (how == 1) errx(4, "%s", "end");
            error(5, 0, "%s", "end");
        }
        int status = 0;
        raw(SYS_wait4, -1, &status, 0, NULL);
        label("err.ready/%d", how);
        begin();
        done(WEXITSTATUS(status), NULL, -1);
        arrived(p[0]);
    }
    close_pair(p);
}

PROBE(at_exit) {
    int p[2];
    must(pipe(p), "pipe");
    const long full = fill(p[1], on_pipe);
    if (probe_fork()) {
        close(p[0]);
        FILE* f = fdopen(p[1], "w");
        fputs("last words", f);
        exit(6);
    }
    close(p[1]);
    delay(60);
    label("exit.blocks");
    begin();
    done(drain(p[0], full), NULL, -1);
    int status = 0;
    raw(SYS_wait4, -1, &status, 0, NULL);
    fact("status", WEXITSTATUS(status));
    arrived(p[0]);
    close(p[0]);
}
