// SPDX-License-Identifier: Apache-2.0
// scanf from what arrives in pieces.
#include "probe.h"

#include <wchar.h>

static long state(FILE* f) { return (feof(f) ? 1 : 0) | (ferror(f) ? 2 : 0) | ((f->_IO_read_end - f->_IO_read_ptr) << 4); }

static int number;
static char word[64];

static long by_fscanf(FILE* f) { return fscanf(f, "%d %31s", &number, word); }
static long by_fscanf_set(FILE* f) { return fscanf(f, " %31[^;];", word); }
static long by_fscanf_count(FILE* f) {
    int n = -1;
    return fscanf(f, "%*d%n", &n) == 0 ? n : -2;
}
static long with_va(FILE* f, const char* format, ...) {
    va_list args;
    va_start(args, format);
    const long n = vfscanf(f, format, args);
    va_end(args);
    return n;
}
static long by_vfscanf(FILE* f) { return with_va(f, "%d %31s", &number, word); }
static long by_fwscanf(FILE* f) { return fwscanf(f, L"%d %31s", &number, word); }

static const struct scanner {
    const char* name;
    long (*call)(FILE*);
} scanners[] = {
    {"fscanf", by_fscanf},
    {"fscanf_set", by_fscanf_set},
    {"fscanf_count", by_fscanf_count},
    {"vfscanf", by_vfscanf},
    {"fwscanf", by_fwscanf},
};
#define EACH_SCANNER(s) for (const struct scanner* s = scanners; s < scanners + sizeof scanners / sizeof *scanners; ++s)

static void outcome(const struct scanner* s, FILE* f) {
    number = -1;
    memset(word, 0, sizeof word);
    begin();
    const long n = s->call(f);
    const int error = errno;
    const long length = (long)strlen(word);
    errno = error;
    done(length, word, state(f));
    fact("result", n);
    fact("number", number);
}

static FILE* open_reader(enum medium kind, int* other) {
    int pair[2];
    open_pair(kind, pair);
    *other = pair[1];
    return fdopen(pair[0], "r");
}

PROBE(ready) {
    EACH_SCANNER(s) {
        int other;
        FILE* f = open_reader(on_pipe, &other);
        put(other, "12 line; 13 more;\n");
        label("%s.ready", s->name);
        outcome(s, f);
        outcome(s, f);
        fclose(f);
        close(other);
    }
}

PROBE(blocks) {
    EACH_SCANNER(s) for (enum medium kind = on_pipe; kind < media; ++kind) {
        int other;
        FILE* f = open_reader(kind, &other);
        PEER {
            delay(40);
            put(other, "1");
            delay(40);
            put(other, "2 li");
            delay(40);
            put(other, "ne; 13");
        }
        close(other);
        label("%s.blocks/%s", s->name, medium_name[kind]);
        outcome(s, f);
        outcome(s, f);
        outcome(s, f);
        fclose(f);
        reap();
    }
}

PROBE(mismatch) {
    EACH_SCANNER(s) {
        int other;
        FILE* f = open_reader(on_pipe, &other);
        PEER {
            delay(40);
            put(other, "x12 line\n");
        }
        close(other);
        label("%s.blocks/mismatch", s->name);
        outcome(s, f);
        fclose(f);
        reap();
    }
}

PROBE(interrupted) {
    EACH_SCANNER(s) for (int restart = 0; restart < 2; ++restart) {
        int other;
        FILE* f = open_reader(on_pipe, &other);
        handle(SIGUSR1, restart ? SA_RESTART : 0);
        put(other, "12 li");
        PEER {
            delay(50);
            poke(SIGUSR1);
            delay(50);
            put(other, "ne; 13 more;\n");
        }
        label("%s.%s", s->name, restart ? "restart" : "eintr");
        outcome(s, f);
        fact("caught", caught);
        clearerr(f);
        outcome(s, f);
        close(other);
        fclose(f);
        reap();
    }
}

PROBE(standard_input) {
    int p[2];
    must(pipe(p), "pipe");
    const int saved = dup(0);
    dup2(p[0], 0);
    clearerr(stdin);
    PEER {
        delay(50);
        put(p[1], "7 word\n");
    }
    close(p[1]);
    label("scanf.blocks");
    begin();
    const int n = scanf("%d %31s", &number, word);
    done(n, NULL, state(stdin));
    fact("number", number);
    begin();
    done(scanf("%d", &number), NULL, state(stdin));
    dup2(saved, 0);
    clearerr(stdin);
    close(saved);
    close(p[0]);
}
