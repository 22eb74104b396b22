// SPDX-License-Identifier: Apache-2.0
// Buffered input from pipes and sockets: what each call returns, what it says afterwards (1: end of file, 2: error), what stays in the buffer.
#include "probe.h"

#include <pthread.h>
#include <wchar.h>

static char text[256];

static long by_fgets(FILE* f) { return fgets(text, 64, f) ? (long)strlen(text) : -1; }
static long by_fread(FILE* f) { return (long)fread(text, 1, 8, f); }
static long by_fread_items(FILE* f) { return (long)fread(text, 3, 3, f); }
static long by_getline(FILE* f) {
    char* line = NULL;
    size_t size = 0;
    const long n = getline(&line, &size, f);
    const int error = errno;
    if (n > 0) memcpy(text, line, (size_t)n);
    free(line);
    errno = error;
    return n;
}
static long by_getdelim(FILE* f) {
    char* line = NULL;
    size_t size = 0;
    const long n = getdelim(&line, &size, 'i', f);
    const int error = errno;
    if (n > 0) memcpy(text, line, (size_t)n);
    free(line);
    errno = error;
    return n;
}
static long by_fgetc(FILE* f) { return fgetc(f); }
static long by_getc(FILE* f) { return getc(f); }
static long by_getc_unlocked(FILE* f) { return getc_unlocked(f); }
static long by_fgetc_unlocked(FILE* f) { return fgetc_unlocked(f); }
static long by_fgets_unlocked(FILE* f) { return fgets_unlocked(text, 64, f) ? (long)strlen(text) : -1; }
static long by_fread_unlocked(FILE* f) { return (long)fread_unlocked(text, 1, 8, f); }
static long by_getw(FILE* f) { return getw(f); }
static long by_fgetwc(FILE* f) { return (long)(int)fgetwc(f); }
static long by_fgetws(FILE* f) {
    wchar_t line[64];
    return fgetws(line, 64, f) ? (long)wcslen(line) : -1;
}

static const struct reader {
    const char* name;
    long (*call)(FILE*);
    int bytes; // its result counts bytes of `text`
} readers[] = {
    {"fgets", by_fgets, 1},
    {"fread", by_fread, 1},
    {"fread_items", by_fread_items, 0},
    {"getline", by_getline, 1},
    {"getdelim", by_getdelim, 1},
    {"fgetc", by_fgetc, 0},
    {"getc", by_getc, 0},
    {"getc_unlocked", by_getc_unlocked, 0},
    {"fgetc_unlocked", by_fgetc_unlocked, 0},
    {"fgets_unlocked", by_fgets_unlocked, 1},
    {"fread_unlocked", by_fread_unlocked, 1},
    {"getw", by_getw, 0},
    {"fgetwc", by_fgetwc, 0},
    {"fgetws", by_fgetws, 0},
};
#define EACH_READER(r) for (const struct reader* r = readers; r < readers + sizeof readers / sizeof *readers; ++r)

static long state(FILE* f) { return (feof(f) ? 1 : 0) | (ferror(f) ? 2 : 0) | ((f->_IO_read_end - f->_IO_read_ptr) << 4); }

static void outcome(const struct reader* r, FILE* f) {
    begin();
    const long n = r->call(f);
    done(n, r->bytes ? text : NULL, state(f));
}

/// A FILE on the reading end; the writing end is *other.
static FILE* open_reader(enum medium kind, int* other) {
    int pair[2];
    open_pair(kind, pair);
    *other = pair[1];
    return fdopen(pair[0], "r");
}

PROBE(ready) {
    EACH_READER(r) {
        int other;
        FILE* f = open_reader(on_pipe, &other);
        put(other, "12 line\nanother line\n");
        label("%s.ready", r->name);
        outcome(r, f);
        outcome(r, f);
        fclose(f);
        close(other);
    }
}

PROBE(blocks) {
    EACH_READER(r) for (enum medium kind = on_pipe; kind < media; ++kind) {
        int other;
        FILE* f = open_reader(kind, &other);
        PEER {
            delay(40);
            put(other, "12 line\nmore");
        }
        close(other);
        label("%s.blocks/%s", r->name, medium_name[kind]);
        outcome(r, f);
        fclose(f);
        reap();
    }
}

PROBE(partial) {
    EACH_READER(r) {
        int other;
        FILE* f = open_reader(on_pipe, &other);
        put(other, "12 l");
        PEER {
            delay(40);
            put(other, "ine");
            delay(40);
            put(other, "\nmore");
        }
        close(other);
        label("%s.blocks/partial", r->name);
        outcome(r, f);
        outcome(r, f);
        fclose(f);
        reap();
    }
}

PROBE(end) {
    EACH_READER(r) {
        int other;
        FILE* f = open_reader(on_unix, &other);
        put(other, "12 ");
        PEER {
            delay(40);
            put(other, "x");
        }
        close(other);
        label("%s.eof", r->name);
        for (int i = 0; i < 6; ++i) outcome(r, f);
        clearerr(f);
        outcome(r, f);
        fclose(f);
        reap();
    }
}

PROBE(bad_descriptor) {
    EACH_READER(r) {
        int p[2];
        must(pipe(p), "pipe");
        FILE* f = fdopen(p[0], "r");
        FILE* wrong = fdopen(p[1], "w");
        label("%s.badfd/mode", r->name);
        outcome(r, wrong);
        close(p[0]);
        label("%s.badfd", r->name);
        outcome(r, f);
        fclose(wrong);
        label("%s.badfd/fclose", r->name);
        begin();
        done(fclose(f), NULL, -1);
    }
}

PROBE(nonblock) {
    EACH_READER(r) {
        int other;
        FILE* f = open_reader(on_pipe, &other);
        fcntl(fileno(f), F_SETFL, O_NONBLOCK);
        label("%s.nonblock", r->name);
        outcome(r, f);
        put(other, "12");
        outcome(r, f);
        clearerr(f);
        put(other, " line\n");
        outcome(r, f);
        fact("flags", flags_of(fileno(f)));
        fclose(f);
        close(other);
    }
}

PROBE(interrupted) {
    EACH_READER(r) for (int restart = 0; restart < 2; ++restart) {
        int other;
        FILE* f = open_reader(restart ? on_unix : on_pipe, &other);
        handle(SIGUSR1, restart ? SA_RESTART : 0);
        put(other, "1");
        if (!restart) getc(f);
        PEER {
            delay(40);
            poke(SIGUSR1);
            delay(40);
            put(other, "2 line\nmore");
        }
        close(other);
        label("%s.%s", r->name, restart ? "restart" : "eintr");
        outcome(r, f);
        fact("caught", caught);
        clearerr(f);
        outcome(r, f);
        fclose(f);
        reap();
    }
}

PROBE(time_limit) {
    EACH_READER(r) {
        int other;
        FILE* f = open_reader(on_unix, &other);
        const struct timeval limit = {0, 80000};
        setsockopt(fileno(f), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        label("%s.timeout", r->name);
        outcome(r, f);
        fclose(f);
        close(other);
    }
}

PROBE(unbuffered) {
    EACH_READER(r) {
        int other;
        FILE* f = open_reader(on_unix, &other);
        setvbuf(f, NULL, _IONBF, 0);
        put(other, "12");
        PEER {
            delay(40);
            put(other, " line\n");
        }
        close(other);
        label("%s.blocks/unbuffered", r->name);
        outcome(r, f);
        fclose(f);
        reap();
    }
}

PROBE(pushed_back) {
    int other;
    FILE* f = open_reader(on_pipe, &other);
    put(other, "ab\n");
    label("ungetc.ready");
    fgetc(f);
    begin();
    done(ungetc('X', f), NULL, state(f));
    begin();
    done(fgets(text, 64, f) ? (long)strlen(text) : -1, text, state(f));
    ungetc('Y', f);
    PEER {
        delay(50);
        put(other, "cd\n");
    }
    begin();
    done(fgets(text, 64, f) ? (long)strlen(text) : -1, text, state(f));
    begin();
    done(ungetc(EOF, f), NULL, state(f));
    fclose(f);
    close(other);
}

PROBE(positions) {
    int other;
    FILE* f = open_reader(on_pipe, &other);
    put(other, "ab\n");
    fgetc(f);
    fpos_t at;
    label("fseek.badfd/pipe");
    begin();
    done(fseek(f, 0, SEEK_SET), NULL, state(f));
    begin();
    done(ftell(f), NULL, state(f));
    begin();
    done(fgetpos(f, &at), NULL, state(f));
    begin();
    rewind(f);
    done(0, NULL, state(f));
    begin();
    done(fgetc(f), NULL, state(f));
    begin();
    done(fflush(f), NULL, state(f));
    fclose(f);
    close(other);
}

static void* read_one(void* f) {
    char line[64];
    return (void*)(intptr_t)(fgets(line, 64, f) ? (long)strlen(line) : -1);
}

PROBE(two) {
    int other;
    FILE* f = open_reader(on_pipe, &other);
    PEER {
        delay(50);
        put(other, "fir");
        delay(50);
        put(other, "st!\nsecond!\n");
    }
    pthread_t second;
    label("fgets.two");
    begin();
    pthread_create(&second, NULL, read_one, f);
    const long mine = (long)(intptr_t)read_one(f);
    void* theirs;
    pthread_join(second, &theirs);
    done(mine + (long)(intptr_t)theirs, NULL, state(f));
    fclose(f);
    close(other);
}

PROBE(forked) {
    int other, result[2];
    FILE* f = open_reader(on_pipe, &other);
    must(pipe(result), "pipe");
    put(other, "one\nha");
    label("fgets.fork");
    begin();
    done(fgets(text, 64, f) ? (long)strlen(text) : -1, text, state(f));
    if (probe_fork()) {
        char line[64];
        const char n = fgets(line, 64, f) ? (char)strlen(line) : 0;
        raw(SYS_write, result[1], &n, 1);
        _exit(0);
    }
    delay(50);
    put(other, "lf\n");
    char n = 0;
    raw(SYS_read, result[0], &n, 1);
    begin();
    done(n, NULL, state(f));
    PEER {
        delay(50);
        put(other, "way\n");
    }
    begin();
    done(fgets(text, 64, f) ? (long)strlen(text) : -1, text, state(f));
    fclose(f);
    close(other);
    close_pair(result);
}

PROBE(standard_input) {
    int p[2];
    must(pipe(p), "pipe");
    const int saved = dup(0);
    dup2(p[0], 0);
    clearerr(stdin);
    PEER {
        delay(50);
        put(p[1], "word 7\nab");
        delay(50);
        put(p[1], "c\n");
    }
    close(p[1]);
    label("stdin.blocks");
    begin();
    done(fgets(text, 64, stdin) ? (long)strlen(text) : -1, text, state(stdin));
    begin();
    done(getchar(), NULL, state(stdin));
    begin();
    done(getchar_unlocked(), NULL, state(stdin));
    begin();
    done(fgets(text, 64, stdin) ? (long)strlen(text) : -1, text, state(stdin));
    begin();
    done(getchar(), NULL, state(stdin));
    fact("flags", flags_of(0));
    dup2(saved, 0);
    clearerr(stdin);
    close(saved);
    close(p[0]);
}

PROBE(locked) {
    int other;
    FILE* f = open_reader(on_pipe, &other);
    put(other, "ab");
    PEER {
        delay(50);
        put(other, "c\n");
    }
    label("flockfile.ready");
    begin();
    flockfile(f);
    done(ftrylockfile(f), NULL, -1);
    begin();
    done(getc_unlocked(f), NULL, state(f));
    begin();
    done(fgets(text, 64, f) ? (long)strlen(text) : -1, text, state(f));
    funlockfile(f);
    funlockfile(f);
    begin();
    done(ftrylockfile(f), NULL, -1);
    funlockfile(f);
    fclose(f);
    close(other);
}
