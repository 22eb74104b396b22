// SPDX-License-Identifier: Apache-2.0
// Rights by protection keys: a thread's own, inherited from its maker, reset for a handler. Without such a processor there is nothing to check.
#include "conform.h"

static int alloc_key(void) {
    const int key = pkey_alloc(0, 0);
    if (key < 0) CHECK(errno == ENOSPC || errno == ENOSYS || errno == EINVAL);
    return key;
}

static int key;
static sem_t begun, go;

static void* has_none(void* argument) {
    sem_post(&begun);
    sem_wait(&go);
    EQUAL(PKEY_DISABLE_ACCESS, pkey_get(key)); // it was there before the key was
    RETURNS(0, pkey_set(key, PKEY_DISABLE_WRITE));
    for (int i = 0; i < 20; ++i) {
        pause_ms(1);
        EQUAL(PKEY_DISABLE_WRITE, pkey_get(key));
    }
    return argument;
}

CASE(older_threads_have_none) {
    sem_init(&begun, 0, 0);
    sem_init(&go, 0, 0);
    const pthread_t thread = start(has_none, NULL);
    sem_wait(&begun);
    key = alloc_key();
    if (key < 0) {
        pthread_cancel(thread);
        finish(thread);
        return;
    }
    sem_post(&go);
    EQUAL(0, pkey_get(key));
    for (int i = 0; i < 20; ++i) {
        pause_ms(1);
        EQUAL(0, pkey_get(key));
    }
    finish(thread);
    EQUAL(0, pkey_get(key));
    WORKS(pkey_free(key));
}

static void* has_makers(void* wanted) {
    EQUAL((intptr_t)wanted, pkey_get(key));
    pause_ms(1);
    EQUAL((intptr_t)wanted, pkey_get(key));
    RETURNS(0, pkey_set(key, 3 - (unsigned)(intptr_t)wanted));
    pause_ms(1);
    sched_yield();
    EQUAL(3 - (intptr_t)wanted, pkey_get(key));
    return NULL;
}

CASE(inherited) {
    if ((key = alloc_key()) < 0) return;
    pthread_t threads[30];
    for (int i = 0; i < 30; ++i) {
        RETURNS(0, pkey_set(key, (unsigned)i % 3));
        threads[i] = start(has_makers, (void*)(intptr_t)(i % 3));
    }
    for (int i = 0; i < 30; ++i) finish(threads[i]);
    EQUAL(2, pkey_get(key));
    WORKS(pkey_free(key));
}

static int in_handler = -1;
static void note_rights(int number) {
    (void)number;
    in_handler = pkey_get(key);
}

static void* is_signalled(void* argument) {
    RETURNS(0, pkey_set(key, 0));
    WORKS(pthread_kill(pthread_self(), SIGUSR1));
    pause_ms(1);
    EQUAL(PKEY_DISABLE_ACCESS, in_handler);
    EQUAL(0, pkey_get(key));
    return argument;
}

CASE(handlers_begin_anew) {
    if ((key = alloc_key()) < 0) return;
    signal(SIGUSR1, note_rights);
    finish(start(is_signalled, NULL));
    in_handler = -1;
    is_signalled(NULL);
    signal(SIGUSR1, SIG_DFL);
    WORKS(pkey_free(key));
}

/// Memory that one thread may write and another may not.
static char* page;
static void* writes(void* argument) {
    RETURNS(0, pkey_set(key, 0));
    for (int i = 0; i < 50; ++i) {
        *(volatile char*)page = (char)i;
        sched_yield();
    }
    return argument;
}

static void* may_not(void* argument) {
    RETURNS(0, pkey_set(key, PKEY_DISABLE_ACCESS));
    int ends[2];
    WORKS(pipe(ends));
    for (int i = 0; i < 50; ++i) {
        errno = 0;
        CHECK(write(ends[1], page, 1) == -1 && errno == EFAULT); // the kernel looks as well
        sched_yield();
    }
    close(ends[0]);
    close(ends[1]);
    return argument;
}

CASE(memory_is_guarded) {
    if ((key = alloc_key()) < 0) return;
    page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    WORKS(pkey_mprotect(page, 4096, PROT_READ | PROT_WRITE, key));
    const pthread_t a = start(writes, NULL), b = start(may_not, NULL), c = start(writes, NULL);
    finish(a);
    finish(b);
    finish(c);
    EQUAL(49, *page);
    munmap(page, 4096);
    WORKS(pkey_free(key));
}
