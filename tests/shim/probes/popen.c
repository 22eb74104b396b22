// SPDX-License-Identifier: Apache-2.0
// popen and pclose, fopen and freopen of what waits for its other end, words from a shell.
#include "probe.h"

#include <sys/stat.h>
#include <wordexp.h>

static char text[64];

static long line_of(FILE* f) { return fgets(text, sizeof text, f) ? (long)strlen(text) : -1; }

PROBE(reads) {
    label("popen.ready");
    begin();
    FILE* f = popen("echo word; exit 3", "r");
    done(f != NULL, NULL, -1);
    begin();
    done(line_of(f), text, -1);
    begin();
    done(line_of(f), text, feof(f));
    begin();
    done(pclose(f), NULL, -1);
}

PROBE(reads_late) {
    FILE* f = popen("sleep 0.1; echo word", "r");
    label("popen.blocks");
    begin();
    done(line_of(f), text, -1);
    begin();
    done(pclose(f), NULL, -1);
}

PROBE(writes) {
    FILE* f = popen("read a; sleep 0.1; test \"$a\" = word", "w");
    label("pclose.blocks");
    fputs("word\n", f);
    begin();
    done(pclose(f), NULL, -1);
    int (*close_it)(FILE*) = fclose; // the same in glibc
    f = popen("sleep 0.1; exit 4", "r");
    __asm__("" : "+r"(close_it));
    begin();
    done(close_it(f), NULL, -1);
    f = popen("kill -9 $$", "r");
    begin();
    done(pclose(f), NULL, -1);
}

PROBE(interrupted) {
    for (int restart = 0; restart < 2; ++restart) {
        handle(SIGUSR1, restart ? SA_RESTART : 0);
        FILE* f = popen("sleep 0.12; exit 5", "r");
        PEER {
            delay(50);
            poke(SIGUSR1);
        }
        label("pclose.%s", restart ? "restart" : "eintr");
        begin();
        done(pclose(f), NULL, -1);
        fact("caught", caught);
        reap();
    }
}

PROBE(reaped_elsewhere) {
    FILE* f = popen("exit 6", "r");
    delay(60);
    reap();
    label("pclose.badfd/reaped");
    begin();
    done(pclose(f), NULL, -1);
}

PROBE(wrong_mode) {
    label("popen.flags");
    begin();
    done(popen("true", "x") != NULL, NULL, -1);
    FILE* f = popen("true", "re");
    fact("cloexec", fcntl(fileno(f), F_GETFD));
    begin();
    done(pclose(f), NULL, -1);
}

PROBE(fifo) {
    char path[64];
    snprintf(path, sizeof path, "/tmp/weft-popen-%d", getpid());
    must(mkfifo(path, 0600), "mkfifo");
    for (int writes = 0; writes < 2; ++writes) {
        PEER {
            delay(60);
            const int fd = (int)raw(SYS_open, path, writes ? O_RDONLY : O_WRONLY, 0);
            if (!writes) put(fd, "word\n");
            else drain(fd, 5);
        }
        label("fopen.blocks/%s", writes ? "w" : "r");
        begin();
        FILE* f = fopen(path, writes ? "w" : "r");
        done(f != NULL, NULL, f ? flags_of(fileno(f)) : -1);
        begin();
        if (writes) done(fputs("word\n", f), NULL, -1);
        else done(line_of(f), text, -1);
        begin();
        done(fclose(f), NULL, -1);
        reap();
    }
    for (int restart = 0; restart < 2; ++restart) {
        handle(SIGUSR1, restart ? SA_RESTART : 0);
        PEER {
            delay(50);
            poke(SIGUSR1);
            delay(50);
            const int fd = (int)raw(SYS_open, path, O_WRONLY | (restart ? 0 : O_NONBLOCK), 0);
            if (fd >= 0) put(fd, "word\n");
        }
        label("fopen.%s", restart ? "restart" : "eintr");
        begin();
        FILE* f = fopen(path, "r");
        done(f != NULL, NULL, -1);
        fact("caught", caught);
        if (f) fclose(f);
        reap();
    }
    FILE* f = fopen("/dev/null", "r");
    PEER {
        delay(60);
        const int fd = (int)raw(SYS_open, path, O_WRONLY, 0);
        put(fd, "other\n");
    }
    label("freopen.blocks");
    begin();
    done(freopen(path, "r", f) == f, NULL, -1);
    begin();
    done(line_of(f), text, -1);
    begin();
    done(freopen("/nonexistent", "r", f) != NULL, NULL, -1);
    unlink(path);
    reap();
}

PROBE(none) {
    label("fopen.badfd");
    begin();
    done(fopen("/nonexistent", "r") != NULL, NULL, -1);
    begin();
    done(fopen("/dev/null", "q") != NULL, NULL, -1);
}

PROBE(words) {
    wordexp_t words;
    label("wordexp.blocks");
    begin();
    const int result = wordexp("a $(sleep 0.06; echo b c)", &words, 0);
    done_code(result, NULL);
    fact("count", (long)words.we_wordc);
    begin();
    done_code((long)strlen(words.we_wordv[2]), words.we_wordv[2]);
    wordfree(&words);
    begin();
    done_code(wordexp("$(", &words, 0), NULL);
}
