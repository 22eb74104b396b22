// SPDX-License-Identifier: Apache-2.0
// A thread's stack: as large as asked for, where it is said to be, with a guard below; one of the program's own is used and given back.
#include "conform.h"

struct bounds {
    char* low;
    size_t size, guard;
};

static struct bounds bounds_of(pthread_t thread) {
    pthread_attr_t attr;
    struct bounds b = {0};
    void* low = NULL;
    if (RETURNS(0, pthread_getattr_np(thread, &attr))) {
        RETURNS(0, pthread_attr_getstack(&attr, &low, &b.size));
        RETURNS(0, pthread_attr_getguardsize(&attr, &b.guard));
        RETURNS(0, pthread_attr_destroy(&attr));
    }
    b.low = low;
    return b;
}

static bool lies_in(const struct bounds* b, const void* address) {
    return (const char*)address >= b->low && (const char*)address < b->low + b->size;
}

static size_t asked;

static void* look(void* argument) {
    const struct bounds b = bounds_of(pthread_self());
    CHECK(lies_in(&b, __builtin_frame_address(0)));
    EQUAL(asked, b.size);
    EQUAL(0, (uintptr_t)b.low % 4096);
    for (volatile char* p = b.low; p < b.low + 4096; p += 64) *p = 1; // its low end is there
    return argument;
}

static void with_size(size_t size, void* (*run)(void*), void* argument) {
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    RETURNS(0, pthread_attr_setstacksize(&attr, size));
    pthread_t thread;
    asked = size;
    RETURNS(0, pthread_create(&thread, &attr, run, argument));
    finish(thread);
    pthread_attr_destroy(&attr);
}

CASE(sizes) {
    static const size_t sizes[] = {16384, 32768, 65536, 81920, 128 * 1024, 192 * 1024, 256 * 1024, 1 << 20, 2 << 20, 8 << 20, 64 << 20};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; ++i) with_size(sizes[i], look, NULL);
    with_size(PTHREAD_STACK_MIN, look, NULL);
    struct rlimit limit;
    getrlimit(RLIMIT_STACK, &limit);
    asked = limit.rlim_cur == RLIM_INFINITY ? 2 << 20 : limit.rlim_cur;
    finish(start(look, NULL));
}

/// Uses about `left` bytes of stack; not a loop, since what lies in the frame is read after the call.
static __attribute__((noinline, noclone)) size_t recurse(size_t left) {
    volatile char frame[1024];
    frame[0] = frame[sizeof frame - 1] = 1;
    const size_t below = left < 2048 ? 0 : recurse(left - 1060);
    return below + (size_t)frame[0];
}

static void* deep(void* argument) { return (void*)recurse((size_t)argument); }

CASE(can_be_used) {
    // glibc takes its own part off (the thread's TLS and struct pthread), so not to the last byte.
    with_size(16384, deep, (void*)8192);
    with_size(65536, deep, (void*)54000);
    with_size(1 << 20, deep, (void*)1000000);
    with_size(8 << 20, deep, (void*)8000000);
    for (int i = 0; i < 20; ++i) with_size(256 * 1024, deep, (void*)240000); // used again
    finish(start(deep, (void*)7000000));
}

static void* format(void* argument) {
    char text[2000];
    snprintf(text, sizeof text, "%Lf %s %d\n", 3.25L, "words", 7);
    CHECK(strncmp(text, "3.25", 4) == 0);
    struct timespec t = {0, 1000};
    nanosleep(&t, NULL);
    return argument;
}

CASE(smallest_can_do_work) {
    for (int i = 0; i < 20; ++i) with_size(PTHREAD_STACK_MIN, format, NULL);
}

CASE(main_thread) {
    const struct bounds b = bounds_of(pthread_self());
    int local;
    CHECK(lies_in(&b, &local));
    CHECK(lies_in(&b, __builtin_frame_address(0)));
}

static sem_t arrived, go;
static char* where;

static void* stay(void* argument) {
    int local;
    where = (char*)&local;
    sem_post(&arrived);
    sem_wait(&go);
    return argument;
}

CASE(seen_by_another) {
    sem_init(&arrived, 0, 0);
    sem_init(&go, 0, 0);
    const pthread_t thread = start(stay, NULL);
    sem_wait(&arrived);
    const struct bounds b = bounds_of(thread);
    CHECK(lies_in(&b, where));
    CHECK((long)b.guard >= sysconf(_SC_PAGESIZE));
    const struct bounds mine = bounds_of(pthread_self());
    CHECK(!lies_in(&mine, where));
    CHECK(!lies_in(&b, __builtin_frame_address(0)));
    sem_post(&go);
    finish(thread);
}

static char own[3 * 65536] __attribute__((aligned(4096)));

static void* in_own(void* argument) {
    int local;
    CHECK((char*)&local >= own && (char*)&local < own + sizeof own);
    const struct bounds b = bounds_of(pthread_self());
    CHECK(b.low == own && b.size == sizeof own);
    recurse(150000);
    return argument;
}

CASE(own_memory) {
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    RETURNS(0, pthread_attr_setstack(&attr, own, sizeof own));
    for (int i = 0; i < 20; ++i) {
        memset(own, 0x55, sizeof own);
        pthread_t thread;
        RETURNS(0, pthread_create(&thread, &attr, in_own, NULL));
        finish(thread);
        memset(own, 0xaa, sizeof own); // POSIX: after the join it is the program's again
    }
    pthread_attr_destroy(&attr);
}

static void* in_mapped(void* argument) {
    struct timespec t = {0, 100000};
    nanosleep(&t, NULL);
    return argument;
}

CASE(own_memory_is_unmapped_after_join) {
    for (int i = 0; i < 20; ++i) {
        pthread_attr_t attr;
        pthread_attr_init(&attr);
        void* memory = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        RETURNS(0, pthread_attr_setstack(&attr, memory, 65536));
        pthread_t thread;
        RETURNS(0, pthread_create(&thread, &attr, in_mapped, NULL));
        pthread_attr_destroy(&attr);
        finish(thread);
        CHECK(munmap(memory, 65536) == 0);
        finish(start(in_mapped, NULL));
    }
}

static void* guarded(void* argument) {
    const struct bounds b = bounds_of(pthread_self());
    const size_t wanted = (size_t)argument;
    CHECK(wanted == 0 ? b.guard == 0 : b.guard >= wanted); // POSIX lets it be larger
    return NULL;
}

CASE(guard_sizes) {
    static const size_t sizes[] = {0, 4096, 8192, 65536, 1 << 20};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; ++i) {
        pthread_attr_t attr;
        pthread_attr_init(&attr);
        RETURNS(0, pthread_attr_setstacksize(&attr, 128 * 1024));
        RETURNS(0, pthread_attr_setguardsize(&attr, sizes[i]));
        pthread_t thread;
        RETURNS(0, pthread_create(&thread, &attr, guarded, (void*)sizes[i]));
        finish(thread);
        pthread_attr_destroy(&attr);
    }
}

static void* overstep(void* argument) {
    const struct bounds b = bounds_of(pthread_self());
    *(volatile char*)(b.low - b.guard + 8) = 1;
    return argument;
}

PROCESS(oversteps) {
    const struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    with_size(128 * 1024, overstep, NULL);
}

PROCESS(overflows) {
    const struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    with_size(128 * 1024, deep, (void*)(1 << 30));
}

CASE(guard) {
    EQUAL(1000 + SIGSEGV, ending(run_process("oversteps")));
    EQUAL(1000 + SIGSEGV, ending(run_process("overflows")));
}
