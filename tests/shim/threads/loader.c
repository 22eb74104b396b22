// SPDX-License-Identifier: Apache-2.0
// Code that runs within the loader, and may wait there: constructors, destructors, callbacks of dl_iterate_phdr.
#include "conform.h"

#include <dlfcn.h>
#include <libgen.h>
#include <link.h>

static void* load(const char* name, int mode) {
    char path[PATH_MAX] = "", file[PATH_MAX + 64];
    if (readlink("/proc/self/exe", path, sizeof path - 1) < 0) abort();
    snprintf(file, sizeof file, "%s/%s", dirname(path), name);
    return dlopen(file, mode);
}

static int use(void* module, int n) {
    int (*f)(int);
    *(void**)&f = dlsym(module, "module_use");
    return f == NULL ? -1 : f(n);
}

static void* dlopen_twice(const char* name) {
    void* module = load(name, RTLD_NOW);
    if (CHECK(module != NULL)) return module;
    printf("%s\n", dlerror());
    exit(1);
}

static void (*begins)(void (*use)(int));
static void (*ends)(void);
void module_begins(void (*use)(int));
void module_ends(void);
void module_begins(void (*f)(int)) {
    if (begins != NULL) begins(f);
}
void module_ends(void) {
    if (ends != NULL) ends();
}

static const char one[] = "conform-hooked_one.so", two[] = "conform-hooked_two.so";

/// Computes for so long that the other threads must go on beside it.
static atomic_int spinning;
static void* spins(void* argument) {
    const long long until = now_us(CLOCK_MONOTONIC) + 40000;
    atomic_store(&spinning, 1);
    while (now_us(CLOCK_MONOTONIC) < until) {}
    return argument;
}
static void others_compute(void) {
    pthread_t thread;
    atomic_store(&spinning, 0);
    if (pthread_create(&thread, NULL, spins, NULL) != 0) abort();
    while (!atomic_load(&spinning)) sched_yield();
    pause_ms(15);
    pthread_join(thread, NULL);
}

// ---- constructors that wait -------------------------------------------------------------------------------------------

static atomic_int constructed, began;
static void waits_long(void (*f)(int)) {
    (void)f;
    atomic_store(&began, 1);
    others_compute();
    pause_ms(20);
    atomic_fetch_add(&constructed, 1);
}

static void* opens_one(void* argument) {
    void* module = dlopen_twice(one);
    CHECK(atomic_load(&constructed) == 1);
    return argument != NULL ? argument : module;
}

/// The first thread of the process is made by a constructor that the main thread runs.
CASE(the_first_thread_is_made_by_a_constructor) {
    begins = waits_long;
    void* module = opens_one(NULL);
    begins = NULL;
    CHECK(finish(start(opens_one, NULL)) == module);
    EQUAL(0, dlclose(module));
    EQUAL(0, dlclose(module));
}

CASE(everybody_waits_for_the_constructor) {
    atomic_store(&constructed, 0);
    begins = waits_long;
    pthread_t threads[20];
    for (int i = 0; i < 20; ++i) threads[i] = start(opens_one, NULL);
    void* module = NULL;
    for (int i = 0; i < 20; ++i) module = finish(threads[i]);
    begins = NULL;
    EQUAL(1, atomic_load(&constructed));
    EQUAL(530, use(module, 1));
    for (int i = 0; i < 20; ++i) EQUAL(0, dlclose(module));
    CHECK(load(one, RTLD_NOW | RTLD_NOLOAD) == NULL);
}

static void* asks(void* argument) {
    void* module = dlopen(NULL, RTLD_NOW);
    CHECK(dlsym(module, "module_begins") != NULL);
    CHECK(atomic_load(&constructed) == 1);
    Dl_info info;
    CHECK(dladdr((void*)(intptr_t)asks, &info) != 0);
    return argument;
}

CASE(names_are_asked_for_meanwhile) {
    atomic_store(&constructed, 0);
    atomic_store(&began, 0);
    begins = waits_long;
    const pthread_t loader = start(opens_one, &began);
    UNTIL(began, 1);
    finish(start(asks, NULL));
    finish(loader);
    begins = NULL;
    void* module = load(one, RTLD_NOW);
    EQUAL(0, dlclose(module));
    EQUAL(0, dlclose(module));
}

// ---- constructors that load, or let others use what they load -------------------------------------------------------

static void* inner;
static void loads_another(void (*f)(int)) {
    (void)f;
    begins = NULL;
    pause_ms(2);
    inner = dlopen_twice(two);
    pause_ms(2);
    EQUAL(530, use(inner, 7));
}
static void* nested(void* argument) {
    begins = loads_another;
    void* outer = dlopen_twice(one);
    EQUAL(537, use(inner, 0));
    EQUAL(530, use(outer, 1));
    EQUAL(0, dlclose(inner));
    EQUAL(0, dlclose(outer));
    return argument;
}
CASE(a_constructor_loads) {
    nested(NULL);
    finish(start(nested, NULL));
    nested(NULL);
}

static sem_t wanted, again, done;
static void (*module_uses)(int);
static void* serves(void* argument) {
    while (sem_wait(&wanted) != 0) {}
    module_uses(3);
    sem_post(&done);
    return argument;
}
static void lets_others_use(void (*f)(int)) {
    module_uses = f;
    for (int i = 0; i < 5; ++i) sem_post(&wanted);
    for (int i = 0; i < 5; ++i) sem_wait(&done);
    pthread_join(start(serves, (sem_post(&wanted), NULL)), NULL);
}
static void* sums(void* argument) {
    serves(NULL);
    while (sem_wait(&again) != 0) {}
    EQUAL(533, use(*(void**)argument, 1)); // fresh when the constructor had it called
    return NULL;
}
CASE(threads_that_were_there_are_used_by_a_constructor) {
    sem_init(&wanted, 0, 0);
    sem_init(&again, 0, 0);
    sem_init(&done, 0, 0);
    void* module = NULL;
    pthread_t threads[5];
    for (int i = 0; i < 5; ++i) threads[i] = start(sums, &module);
    begins = lets_others_use;
    module = dlopen_twice(one);
    begins = NULL;
    EQUAL(530, use(module, 0));
    for (int i = 0; i < 5; ++i) sem_post(&again);
    for (int i = 0; i < 5; ++i) finish(threads[i]);
    EQUAL(0, dlclose(module));
}

// ---- destructors --------------------------------------------------------------------------------------------------------

static atomic_int ended;
static void ends_slowly(void) {
    others_compute();
    atomic_fetch_add(&ended, 1);
}
static void* opens_and_closes(void* argument) {
    for (int i = 0; i < 3; ++i) {
        void* module = dlopen_twice(argument == NULL || i == 1 ? one : two);
        CHECK(use(module, 1) >= 530);
        EQUAL(0, dlclose(module));
    }
    return NULL;
}
CASE(destructors_wait) {
    ends = ends_slowly;
    pthread_t threads[4];
    for (long i = 0; i < 4; ++i) threads[i] = start(opens_and_closes, (void*)(i % 2));
    for (int i = 0; i < 4; ++i) finish(threads[i]);
    ends = NULL;
    CHECK(atomic_load(&ended) > 0);
    CHECK(load(one, RTLD_NOW | RTLD_NOLOAD) == NULL && load(two, RTLD_NOW | RTLD_NOLOAD) == NULL);
}

// ---- many threads ---------------------------------------------------------------------------------------------------------

enum { crowd = 200, rounds = 4 };
static pthread_barrier_t turn;
static void* module_now;
static void* lives(void* argument) {
    for (int i = 0; i < rounds; ++i) {
        pthread_barrier_wait(&turn); // loaded
        EQUAL(530, use(module_now, (int)(long)argument));
        EQUAL(530 + (long)argument, use(module_now, 0));
        pthread_barrier_wait(&turn); // used
    }
    return NULL;
}
CASE(loaded_again_while_many_live) {
    pthread_barrier_init(&turn, NULL, crowd + 1);
    pthread_t threads[crowd];
    for (long i = 0; i < crowd; ++i) threads[i] = start(lives, (void*)(i + 1));
    for (int i = 0; i < rounds; ++i) {
        module_now = dlopen_twice(i % 2 ? two : one);
        pthread_barrier_wait(&turn);
        pthread_barrier_wait(&turn);
        EQUAL(0, dlclose(module_now));
    }
    for (int i = 0; i < crowd; ++i) finish(threads[i]);
}

static void* sums_large(void* argument) {
    int (*sum)(void);
    *(void**)&sum = dlsym(argument, "large_sum");
    EQUAL(1, sum());
    sched_yield();
    EQUAL(2, sum());
    pause_ms(1);
    EQUAL(3, sum());
    return NULL;
}
CASE(a_megabyte_each) {
    void* module = dlopen_twice("conform-large_tls.so");
    for (int i = 0; i < 3; ++i) {
        pthread_t threads[8];
        for (int k = 0; k < 8; ++k) threads[k] = start(sums_large, module);
        for (int k = 0; k < 8; ++k) finish(threads[k]);
    }
    sums_large(module);
    EQUAL(0, dlclose(module));
}

static void* too_large(void* argument) {
    CHECK(load("conform-large_static.so", RTLD_NOW) == NULL);
    const char* message = dlerror();
    CHECK(message != NULL && strstr(message, "cannot allocate memory in static TLS block") != NULL);
    CHECK(dlerror() == NULL);
    return argument;
}
CASE(more_than_the_spare_room) {
    too_large(NULL);
    finish(start(too_large, NULL));
}

// ---- the list of modules ----------------------------------------------------------------------------------------------

static int counts(struct dl_phdr_info* info, size_t size, void* argument) {
    (void)size;
    CHECK(info->dlpi_phnum > 0);
    if (++*(int*)argument == 2) pause_ms(3);
    return 0;
}
static int computes(struct dl_phdr_info* info, size_t size, void* argument) {
    if (*(int*)argument == 1) others_compute();
    return counts(info, size, argument);
}
static void* lists(void* argument) {
    for (int i = 0; i < 3; ++i) {
        int seen = 0;
        EQUAL(0, dl_iterate_phdr(argument == NULL ? counts : computes, &seen));
        atomic_fetch_add(&conform_checks, -seen); // how many modules there are is not the same under weft
        CHECK(seen > 2);
    }
    return NULL;
}
CASE(callbacks_wait) {
    pthread_t threads[6];
    for (int i = 0; i < 6; ++i) threads[i] = start(lists, i == 3 ? &threads : NULL);
    for (int i = 0; i < 6; ++i) finish(threads[i]);
    for (int i = 0; i < 6; ++i) threads[i] = start(i % 3 ? lists : opens_and_closes, NULL);
    for (int i = 0; i < 6; ++i) finish(threads[i]);
}

static int stops(struct dl_phdr_info* info, size_t size, void* argument) {
    CHECK(size >= sizeof *info && info->dlpi_name != NULL && *(int*)argument == 5);
    return 17;
}
static void* asks_once(void* argument) {
    int five = 5;
    EQUAL(17, dl_iterate_phdr(stops, &five));
    return argument;
}
CASE(a_callback_ends_it) {
    finish(start(asks_once, NULL));
    asks_once(NULL);
}

// ---- messages -----------------------------------------------------------------------------------------------------------

static sem_t failed, seen;
static void* leaves_a_message(void* argument) {
    CHECK(dlerror() == NULL);
    CHECK(dlopen("/no/such/module", RTLD_NOW) == NULL);
    if (argument == NULL) return NULL;
    sem_post(&failed);
    while (sem_wait(&seen) != 0) {}
    CHECK(strstr(dlerror(), "/no/such/module") != NULL);
    CHECK(dlerror() == NULL);
    return NULL;
}
CASE(each_thread_has_its_message) {
    sem_init(&failed, 0, 0);
    sem_init(&seen, 0, 0);
    const pthread_t thread = start(leaves_a_message, &seen);
    while (sem_wait(&failed) != 0) {}
    CHECK(dlerror() == NULL);
    CHECK(dlsym(NULL, "no_such_name_at_all") == NULL);
    sem_post(&seen);
    finish(thread);
    CHECK(strstr(dlerror(), "no_such_name_at_all") != NULL);
    for (int i = 0; i < 10; ++i) finish(start(leaves_a_message, NULL));
}

// ---- destructors of thread-local objects ------------------------------------------------------------------------------

int __cxa_thread_atexit_impl(void (*destroy)(void*), void* object, void* module);
static atomic_int destroyed;
static void destroy(void* object) {
    CHECK(use(object, 0) >= 530); // the module is still there
    atomic_fetch_add(&destroyed, 1);
}
static void* has_object(void* argument) {
    void* module = dlopen_twice(one);
    use(module, 5);
    void* address = dlsym(module, "module_uses"); // any of the module's
    EQUAL(0, __cxa_thread_atexit_impl(destroy, module, address));
    EQUAL(0, dlclose(module));
    EQUAL(535, use(module, 0));
    pause_ms(2);
    return argument;
}
CASE(unloaded_while_threads_have_its_objects) {
    pthread_t threads[6];
    for (int i = 0; i < 6; ++i) threads[i] = start(has_object, NULL);
    for (int i = 0; i < 6; ++i) finish(threads[i]);
    EQUAL(6, atomic_load(&destroyed));
    for (int i = 0; i < 6; ++i) finish(start(has_object, NULL));
}

// ---- forks ------------------------------------------------------------------------------------------------------------------

static void forks(void (*f)(int)) {
    f(2);
    int status = -1;
    CHILD(status) {
        f(1);
        others_compute();
    }
    EQUAL(0, ending(status));
}
static void* opens_forking(void* argument) {
    begins = forks;
    void* module = dlopen_twice(two);
    begins = NULL;
    EQUAL(532, use(module, 0));
    EQUAL(0, dlclose(module));
    return argument;
}
CASE(a_constructor_forks) {
    finish(start(opens_forking, NULL));
    opens_forking(NULL);
}

static void* does_little(void* argument) {
    pause_ms(1);
    free(malloc(100));
    return argument;
}
CASE(forked_while_a_constructor_runs) {
    atomic_store(&constructed, 0);
    atomic_store(&began, 0);
    begins = waits_long;
    const pthread_t loader = start(opens_one, &began);
    UNTIL(began, 1);
    for (int i = 0; i < 3; ++i) {
        int status = -1;
        CHILD(status) {
            for (int k = 0; k < 3; ++k) finish(start(does_little, NULL));
        }
        EQUAL(0, ending(status));
    }
    finish(loader);
    begins = NULL;
    void* module = load(one, RTLD_NOW);
    EQUAL(0, dlclose(module));
    EQUAL(0, dlclose(module));
}

// ---- the end of the process ---------------------------------------------------------------------------------------------

static atomic_int handlers_run;
static void says_it_is_done(void (*f)(int)) {
    (void)f;
    atomic_store(&began, 1);
    until(&handlers_run, 1); // then the process is about to end, but for this
    pause_ms(60);
    say("constructed\n");
}
static void* opens_at_the_end(void* argument) {
    load(one, RTLD_NOW);
    for (;;) pause();
    return argument;
}
static void says_the_end(void) {
    say("exit\n");
    atomic_store(&handlers_run, 1);
}
PROCESS(exits) {
    atexit(says_the_end);
    begins = says_it_is_done;
    start(opens_at_the_end, NULL);
    UNTIL(began, 1);
    exit(7);
}
CASE(exit_waits_for_the_loader) { EQUAL(7, ending(run_process("exits"))); }
