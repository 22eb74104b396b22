// SPDX-License-Identifier: Apache-2.0
// A kernel thread that the program makes by clone(2), past libc's threads: it calls nothing of libc, and wakes threads that wait for a
// futex by its own system call, or by its end.
#include "conform.h"

#include <linux/futex.h>
#include <sys/syscall.h>

static atomic_int word, lives;

static long by_instruction(long number, const void* a, long b, long c) {
    long result = number;
    __asm__ volatile("syscall" : "+a"(result) : "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
    return result;
}

static int by_itself(void* argument) {
    (void)argument;
    const struct timespec soon = {0, 20000000};
    by_instruction(SYS_nanosleep, &soon, 0, 0);
    atomic_store(&word, 1);
    by_instruction(SYS_futex, &word, FUTEX_WAKE, 1);
    by_instruction(SYS_nanosleep, &soon, 0, 0);
    by_instruction(SYS_exit, NULL, 0, 0);
    return 0;
}

static void* awaits(void* argument) {
    atomic_int* const of = argument;
    const int before = of == &word ? 0 : 1;
    while (atomic_load(of) == before)
        if (syscall(SYS_futex, of, FUTEX_WAIT, before, NULL) != 0) CHECK(errno == EAGAIN || errno == EINTR);
    return NULL;
}

CASE(wakes) {
    char* const stack = malloc(65536);
    atomic_store(&lives, 1);
    const int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_CHILD_CLEARTID;
    CHECK(clone(by_itself, stack + 65536, flags, NULL, NULL, NULL, &lives) > 0);
    const pthread_t one = start(awaits, &word), other = start(awaits, &lives);
    finish(one);
    finish(other);
    free(stack);
}
