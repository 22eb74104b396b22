// SPDX-License-Identifier: Apache-2.0
// A program with an allocator of its own that makes calls while it holds its lock, as jemalloc does from its first allocation on, long before
// main: none of them may allocate.
#include "probe.h"

#include <malloc.h>
#include <sched.h>

// Not in the object that is loaded later: nobody would call it there.
#ifndef PROBE_CTOR

static char arena[64 << 20] __attribute__((aligned(16)));
static size_t used;
static int owner;            // the kernel thread that holds the lock
static volatile long nested; // allocations by who holds it
static volatile long calls;

static void make_calls(void) {
    char byte;
    const int fd = (int)syscall(SYS_openat, AT_FDCWD, "/dev/zero", O_RDONLY | O_CLOEXEC);
    if (syscall(SYS_read, fd, &byte, 1) == 1) ++calls;
    if (read(fd, &byte, 1) == 1) ++calls;
    struct pollfd p = {fd, POLLIN, 0};
    if (poll(&p, 1, 0) == 1) ++calls;
    if (fcntl(fd, F_GETFL) >= 0) ++calls;
    if (sched_yield() == 0) ++calls;
    close(fd);
}

static void* take(size_t size, size_t alignment) {
    const int saved_errno = errno, self = (int)raw(SYS_gettid);
    const int already = __atomic_load_n(&owner, __ATOMIC_RELAXED) == self;
    if (already) ++nested;
    for (int nobody = 0; !already && !__atomic_compare_exchange_n(&owner, &nobody, self, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED); nobody = 0)
        raw(SYS_sched_yield);
    static int first = 1;
    if (first) {
        first = 0;
        make_calls();
    }
    size_t at = (used + 16 + alignment - 1) / alignment * alignment; // the size lies before each block
    void* block = NULL;
    if (at + size <= sizeof arena) {
        block = arena + at;
        memcpy(arena + at - sizeof size, &size, sizeof size);
        used = at + size;
    }
    if (!already) __atomic_store_n(&owner, 0, __ATOMIC_RELEASE);
    errno = block ? saved_errno : ENOMEM;
    return block;
}

void* malloc(size_t size) { return take(size, 16); }
void* calloc(size_t count, size_t size) { return take(count * size, 16); } // the arena is fresh
void* memalign(size_t alignment, size_t size) { return take(size, alignment < 16 ? 16 : alignment); }
void* aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }
int posix_memalign(void** to, size_t alignment, size_t size) {
    *to = memalign(alignment, size);
    return *to ? 0 : ENOMEM;
}
void free(void* block) { (void)block; }
void* realloc(void* block, size_t size) {
    void* fresh = take(size, 16);
    if (block && fresh) {
        size_t old;
        memcpy(&old, (char*)block - sizeof old, sizeof old);
        memcpy(fresh, block, old < size ? old : size);
    }
    return fresh;
}

PROBE(allocator_calls) {
    char* volatile some = malloc(100);
    label("allocator.ready");
    fact("allocated", some != NULL);
    fact("calls", calls);
    fact("nested", nested);
}

#else

PROBE(allocator_calls) { label("allocator.ready"); fact("allocated", 1); fact("calls", 5); fact("nested", 0); }

#endif
