// SPDX-License-Identifier: Apache-2.0
// Streams and threads: a call is never torn apart, flockfile keeps others out, a thread that waits for input stops nobody.
#include "conform.h"

static FILE* stream;
static atomic_int tried, done;

static void* writes_lines(void* argument) {
    const int mine = (int)(long)argument;
    for (int i = 0; i < 100; ++i) {
        fprintf(stream, "%c%c%c%c%c%c%c%c\n", 'a' + mine, 'a' + mine, 'a' + mine, 'a' + mine, 'a' + mine, 'a' + mine, 'a' + mine, 'a' + mine);
        if (i % 10 == 0) sched_yield();
    }
    return NULL;
}

CASE(lines_stay_whole) {
    char* text = NULL;
    size_t size = 0;
    stream = open_memstream(&text, &size);
    pthread_t threads[6];
    for (long i = 0; i < 6; ++i) threads[i] = start(writes_lines, (void*)i);
    for (int i = 0; i < 6; ++i) finish(threads[i]);
    fclose(stream);
    EQUAL(5400, size);
    int torn = 0;
    for (size_t i = 0; i < size; i += 9) {
        for (int k = 1; k < 8; ++k) torn += text[i + k] != text[i];
        torn += text[i + 8] != '\n';
    }
    EQUAL(0, torn);
    free(text);
}

static void* writes_group(void* argument) {
    for (int i = 0; i < 20; ++i) {
        flockfile(stream);
        flockfile(stream); // it counts
        for (int k = 0; k < 5; ++k) {
            putc_unlocked('a' + (int)(long)argument, stream);
            sched_yield();
            if (k == 2) pause_ms(i % 10 == 0);
        }
        funlockfile(stream);
        funlockfile(stream);
    }
    return NULL;
}

CASE(groups_stay_whole) {
    char* text = NULL;
    size_t size = 0;
    stream = open_memstream(&text, &size);
    pthread_t threads[4];
    for (long i = 0; i < 4; ++i) threads[i] = start(writes_group, (void*)i);
    for (int i = 0; i < 4; ++i) finish(threads[i]);
    fclose(stream);
    EQUAL(400, size);
    int torn = 0;
    for (size_t i = 0; i < size; i += 5)
        for (int k = 1; k < 5; ++k) torn += text[i + k] != text[i];
    EQUAL(0, torn);
    free(text);
}

static void* tries(void* argument) {
    CHECK(ftrylockfile(stream) != 0);
    atomic_store(&tried, 1);
    fputs(argument, stream); // waits for its turn
    atomic_store(&done, 1);
    return NULL;
}

CASE(another_waits) {
    char* text = NULL;
    size_t size = 0;
    stream = open_memstream(&text, &size);
    atomic_store(&done, 0);
    flockfile(stream);
    atomic_store(&tried, 0);
    const pthread_t thread = start(tries, "second");
    UNTIL(tried, 1);
    settle();
    EQUAL(0, atomic_load(&done));
    fputs("first ", stream);
    funlockfile(stream);
    finish(thread);
    CHECK(ftrylockfile(stream) == 0);
    funlockfile(stream);
    fclose(stream);
    CHECK(strcmp(text, "first second") == 0);
    free(text);
}

static void* reads_line(void* argument) {
    char* line = NULL;
    size_t size = 0;
    EQUAL(6, getline(&line, &size, argument));
    CHECK(strcmp(line, "hello\n") == 0);
    free(line);
    return NULL;
}

static void* works(void* argument) {
    for (int i = 0; i < 20; ++i) {
        atomic_fetch_add(&done, 1);
        sched_yield();
    }
    return argument;
}

CASE(input_stops_nobody) {
    int ends[2];
    CHECK(pipe(ends) == 0);
    FILE* input = fdopen(ends[0], "r");
    const pthread_t reader = start(reads_line, input);
    settle();
    atomic_store(&done, 0);
    finish(start(works, NULL));
    EQUAL(20, atomic_load(&done));
    CHECK(write(ends[1], "hel", 3) == 3);
    settle();
    CHECK(write(ends[1], "lo\n", 3) == 3);
    finish(reader);
    fclose(input);
    close(ends[1]);
}
