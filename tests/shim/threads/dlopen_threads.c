// SPDX-License-Identifier: Apache-2.0
// Modules that come and go while threads live: their constructors run once, before anybody has them; their thread-local variables begin
// with their initial values in every thread, also in those that were there before.
#include "conform.h"

#include <dlfcn.h>
#include <libgen.h>

static char path[4096];

static void find_module(void) {
    const ssize_t n = readlink("/proc/self/exe", path, sizeof path - 64);
    if (n < 0) abort();
    path[n] = 0;
    strcat(dirname(path), "/conform-initial.so");
}

static void* opens(void* argument) {
    void* module = dlopen(path, RTLD_NOW);
    if (!CHECK(module != NULL)) return NULL;
    EQUAL(1, *(int*)dlsym(module, "constructed"));
    (void)argument;
    return module;
}

CASE(constructors_are_done) {
    find_module();
    pthread_t threads[8];
    for (int i = 0; i < 8; ++i) threads[i] = start(opens, NULL);
    void* first = NULL;
    for (int i = 0; i < 8; ++i) {
        void* module = finish(threads[i]);
        CHECK(i == 0 || module == first);
        first = module;
    }
    EQUAL(58, *(int*)dlsym(first, "seen"));
    EQUAL(58, *(int*)dlsym(first, "of_new_thread"));
    for (int i = 0; i < 8; ++i) EQUAL(0, dlclose(first));
    CHECK(dlopen(path, RTLD_NOW | RTLD_NOLOAD) == NULL);
}

static void* module_now;
static pthread_barrier_t step;
static void* lives_on(void* argument) {
    for (int round = 0; round < 4; ++round) {
        pthread_barrier_wait(&step);
        if (argument && round % 2 == 0) module_now = dlopen(path, RTLD_NOW);
        pthread_barrier_wait(&step);
        int (*add)(int);
        *(void**)&add = dlsym(module_now, "add");
        const int begin = argument && round % 2 == 0 ? 42 : 41; // of whoever ran the constructor
        EQUAL((begin + 1) * 10000 + 18 * 100 + 1, add(1));
        EQUAL((begin + 3) * 10000 + 20 * 100 + 3, add(2));
        pthread_barrier_wait(&step);
        if (argument && round % 2 == 0) EQUAL(0, dlclose(module_now));
        pthread_barrier_wait(&step);
    }
    return NULL;
}

/// Loaded by one thread, or by the first, while five wait for it.
CASE(values_in_threads_that_were_there) {
    find_module();
    pthread_t threads[5];
    pthread_barrier_init(&step, NULL, 6);
    for (int i = 0; i < 5; ++i) threads[i] = start(lives_on, i == 2 ? &step : NULL);
    for (int round = 0; round < 4; ++round) {
        pthread_barrier_wait(&step);
        if (round % 2 == 1) module_now = dlopen(path, RTLD_NOW);
        pthread_barrier_wait(&step);
        int (*add)(int);
        *(void**)&add = dlsym(module_now, "add");
        EQUAL((round % 2 == 1 ? 43 : 42) * 10000 + 18 * 100 + 1, add(1));
        pthread_barrier_wait(&step);
        if (round % 2 == 1) EQUAL(0, dlclose(module_now));
        pthread_barrier_wait(&step);
    }
    for (int i = 0; i < 5; ++i) finish(threads[i]);
}

static void* comes_and_goes(void* argument) {
    for (int i = 0; i < 10; ++i) {
        void* module = dlopen(path, RTLD_LAZY);
        int (*add)(int);
        *(void**)&add = dlsym(module, "add");
        CHECK(add(0) != 0);
        sched_yield();
        EQUAL(0, dlclose(module));
    }
    return argument;
}

CASE(by_many_at_once) {
    find_module();
    pthread_t threads[6];
    for (int i = 0; i < 6; ++i) threads[i] = start(comes_and_goes, NULL);
    for (int i = 0; i < 6; ++i) finish(threads[i]);
}

static void* fails(void* argument) {
    CHECK(dlopen("/nowhere/at/all.so", RTLD_NOW) == NULL);
    CHECK(strstr(dlerror(), "/nowhere/at/all.so") != NULL);
    CHECK(dlerror() == NULL);
    CHECK(dlopen("libweft-conform-none.so", RTLD_NOW) == NULL);
    CHECK(strstr(dlerror(), "libweft-conform-none.so") != NULL);
    void* self = dlopen(NULL, RTLD_NOW);
    CHECK(self != NULL && dlsym(self, "printf") != NULL);
    void* m = dlopen("libm.so.6", RTLD_NOW);
    CHECK(m != NULL && dlsym(m, "cos") != NULL);
    EQUAL(0, dlclose(m));
    CHECK(dlclose(self) == 0);
    return argument;
}
CASE(errors) { finish(start(fails, NULL)); }

static void* by_search_path(void* argument) {
    void* module = dlopen("conform-initial.so", RTLD_NOW); // by this program's own
    CHECK(module != NULL);
    if (module != NULL) dlclose(module);
    return argument;
}
CASE(found_by_the_callers_path) {
    finish(start(by_search_path, NULL));
    by_search_path(NULL);
}
