// SPDX-License-Identifier: Apache-2.0
// Thread-local storage of modules that are loaded and unloaded while threads live.
#include "conform.h"

#include <dlfcn.h>
#include <libgen.h>

#ifdef STATIC_TLS
static const char module_name[] = "conform-tls_static.so"; // variables in libc's spare room behind the thread pointer
#else
static const char module_name[] = "conform-tls_module.so";
#endif

struct module {
    void* handle;
    int (*check)(int);
    int* (*address)(void);
};

static struct module load(const char* name) {
    char path[PATH_MAX] = "", file[PATH_MAX + 64];
    if (readlink("/proc/self/exe", path, sizeof path - 1) < 0) abort();
    snprintf(file, sizeof file, "%s/%s", dirname(path), name);
    struct module m = {dlopen(file, RTLD_NOW), NULL, NULL};
    if (!CHECK(m.handle != NULL)) {
        printf("%s\n", dlerror());
        exit(1);
    }
    *(void**)&m.check = dlsym(m.handle, "module_check"); // as POSIX has it
    *(void**)&m.address = dlsym(m.handle, "module_address");
    CHECK(m.check != NULL && m.address != NULL);
    return m;
}

static struct module loaded;
static sem_t ready, go;

static void* lives_before(void* argument) {
    const int mine = (int)(long)argument;
    sem_post(&ready);
    while (sem_wait(&go) != 0) {}
    EQUAL(0, loaded.check(mine)); // fresh in a thread that was there before the module
    sched_yield();
    pause_ms(1);
    EQUAL(mine, loaded.check(mine));
    EQUAL(mine, *loaded.address());
    return NULL;
}

static void* made_after(void* argument) {
    const int mine = (int)(long)argument;
    EQUAL(0, loaded.check(mine));
    sched_yield();
    EQUAL(mine, loaded.check(mine));
    return NULL;
}

static void in_all(const char* name) {
    sem_init(&ready, 0, 0);
    sem_init(&go, 0, 0);
    pthread_t threads[6];
    for (long i = 0; i < 6; ++i) threads[i] = start(lives_before, (void*)(30 + i));
    for (int i = 0; i < 6; ++i) sem_wait(&ready);
    loaded = load(name);
    EQUAL(0, loaded.check(99));
    for (int i = 0; i < 6; ++i) sem_post(&go);
    for (int i = 0; i < 6; ++i) finish(threads[i]);
    for (long i = 0; i < 12; ++i) finish(start(made_after, (void*)(60 + i)));
    EQUAL(99, loaded.check(99));
}

CASE(loaded_while_threads_live) {
    in_all(module_name);
    CHECK(dlclose(loaded.handle) == 0);
}

CASE(again_and_again) {
    for (int round = 0; round < 5; ++round) {
        in_all(module_name);
        CHECK(dlclose(loaded.handle) == 0);
    }
}

static void* loads(void* argument) {
    const struct module mine = load(module_name);
    const int seen = mine.check((int)(long)argument);
    CHECK(seen == 0 || seen == (int)(long)argument);
    sched_yield();
    EQUAL((long)argument, mine.check((int)(long)argument));
    CHECK(dlclose(mine.handle) == 0);
    return NULL;
}

CASE(loaded_by_several_threads) {
    pthread_t threads[6];
    for (long i = 0; i < 6; ++i) threads[i] = start(loads, (void*)(i + 80));
    for (int i = 0; i < 6; ++i) finish(threads[i]);
}
