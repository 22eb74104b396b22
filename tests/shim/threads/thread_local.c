// SPDX-License-Identifier: Apache-2.0
// Thread-local storage: initial values in every thread, also in one that uses a former one's memory; a large segment; alignment; errno, locale, strerror.
#include "conform.h"

#include <ctype.h>
#include <locale.h>

static __thread int small = 42;
static __thread char zeroes[3000];
static __thread char large[1 << 20] = {[0] = 'a', [1000] = 'b', [(1 << 20) - 1] = 'z'};
static __thread struct aligned {
    char text[64];
} aligned __attribute__((aligned(64))) = {"aligned"};
static __thread void* own_address;
static __thread long double number = 2.5L;

static void* checks_fresh(void* argument) {
    const long mine = (long)argument;
    EQUAL(42, small);
    int dirty = 0;
    for (size_t i = 0; i < sizeof zeroes; ++i) dirty += zeroes[i] != 0;
    EQUAL(0, dirty);
    for (size_t i = 0; i < sizeof large; ++i) dirty += large[i] != 0;
    EQUAL(3, dirty);
    CHECK(large[0] == 'a' && large[1000] == 'b' && large[sizeof large - 1] == 'z');
    EQUAL(0, (uintptr_t)&aligned % 64);
    CHECK(strcmp(aligned.text, "aligned") == 0);
    CHECK(own_address == NULL);
    CHECK(number == 2.5L);
    EQUAL(0, errno);

    small = (int)mine;
    memset(zeroes, (int)mine, sizeof zeroes);
    memset(large, (int)mine, sizeof large);
    memset(&aligned, (int)mine, sizeof aligned);
    own_address = &own_address;
    number = (long double)mine;
    errno = (int)mine;
    sched_yield();
    pause_ms(1);
    sched_yield();
    EQUAL(mine, errno);
    EQUAL(mine, small);
    CHECK(large[0] == (char)mine && large[sizeof large / 2] == (char)mine && zeroes[2999] == (char)mine);
    CHECK(own_address == &own_address);
    CHECK(number == (long double)mine);
    return NULL;
}

CASE(fresh_and_own) {
    for (int round = 0; round < 4; ++round) {
        pthread_t threads[8];
        for (long i = 0; i < 8; ++i) threads[i] = start(checks_fresh, (void*)(i + 1 + round));
        for (int i = 0; i < 8; ++i) finish(threads[i]);
    }
    EQUAL(42, small);
    EQUAL('a', large[0]);
}

static int* seen_from_outside;
static sem_t ready, go;

static void* shows(void* argument) {
    small = 77;
    seen_from_outside = &small;
    sem_post(&ready);
    sem_wait(&go);
    EQUAL(78, small);
    return argument;
}

CASE(addresses_are_valid_everywhere) {
    sem_init(&ready, 0, 0);
    sem_init(&go, 0, 0);
    const pthread_t thread = start(shows, NULL);
    sem_wait(&ready);
    CHECK(seen_from_outside != &small);
    EQUAL(77, *seen_from_outside);
    *seen_from_outside = 78;
    sem_post(&go);
    finish(thread);
}

static void* errors(void* argument) {
    const int mine = (int)(long)argument;
    for (int i = 0; i < 50; ++i) {
        errno = mine;
        sched_yield();
        EQUAL(mine, errno);
        if (i % 10 == 0) pause_ms(1);
        CHECK(&errno == __errno_location());
    }
    errno = 0;
    CHECK(open("/no/such/file", O_RDONLY) == -1);
    sched_yield();
    EQUAL(ENOENT, errno);
    return NULL;
}

CASE(error_number) {
    pthread_t threads[6];
    errno = 0;
    for (long i = 0; i < 6; ++i) threads[i] = start(errors, (void*)(i + 20));
    for (int i = 0; i < 6; ++i) finish(threads[i]);
}

static void* uses_locale(void* argument) {
    CHECK(isalpha('a') && isdigit('7') && toupper('q') == 'Q'); // libc's tables are reached through thread-local storage
    const locale_t mine = newlocale(LC_ALL_MASK, "C.UTF-8", (locale_t)0);
    CHECK(mine != (locale_t)0);
    if (argument) uselocale(mine);
    sched_yield();
    wchar_t wide = 0;
    EQUAL(argument ? 2 : -1, mbtowc(&wide, "\xc3\xa4", 2));
    pause_ms(1);
    CHECK((uselocale((locale_t)0) == mine) == (argument != NULL));
    uselocale(LC_GLOBAL_LOCALE);
    freelocale(mine);
    return NULL;
}

CASE(locale) {
    pthread_t threads[6];
    for (int i = 0; i < 6; ++i) threads[i] = start(uses_locale, i % 2 ? &small : NULL);
    for (int i = 0; i < 6; ++i) finish(threads[i]);
}

static void* messages(void* argument) {
    char text[64], again[64];
    const int mine = 3000 + (int)(long)argument;
    snprintf(text, sizeof text, "Unknown error %d", mine);
    const char* message = strerror(mine); // a buffer per thread
    sched_yield();
    pause_ms(1);
    CHECK(strcmp(message, text) == 0);
    CHECK(strcmp(strerror_r(mine, again, sizeof again), text) == 0);
    return NULL;
}

CASE(buffers_of_libc) {
    pthread_t threads[6];
    for (long i = 0; i < 6; ++i) threads[i] = start(messages, (void*)i);
    for (int i = 0; i < 6; ++i) finish(threads[i]);
}
