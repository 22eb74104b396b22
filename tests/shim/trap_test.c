// SPDX-License-Identifier: Apache-2.0
#include "trap_test.h"

#include <string.h>

long registers_survive(long number, long a, long b, long c) {
    struct {
        long a, b, c, number; // 0, the arguments; the result comes back where the number was
        long kept[10];        // 32
        long vectors[6];      // 112
        long vectors_kept[6]; // 160
    } p = {a, b, c, number, {0}, {1, 2, 3, 4, 5, 6}, {0}};
    __asm__ volatile(
        "mov %[p], %%r15\n\t"
        "sub $512, %%rsp\n\t" // the marks below are in no local variable
        "movdqu 112(%%r15), %%xmm0\n\t"
        "movdqu 128(%%r15), %%xmm7\n\t"
        "movdqu 144(%%r15), %%xmm15\n\t"
        "movq $0x7878, -120(%%rsp)\n\t"
        "mov $0x1111, %%rbx\n\t"
        "mov $0x1212, %%r12\n\t"
        "mov $0x1313, %%r13\n\t"
        "mov $0x1414, %%r14\n\t"
        "mov $0x1010, %%r10\n\t"
        "mov $0x0808, %%r8\n\t"
        "mov $0x0909, %%r9\n\t"
        "mov (%%r15), %%rdi\n\t"
        "mov 8(%%r15), %%rsi\n\t"
        "mov 16(%%r15), %%rdx\n\t"
        "mov 24(%%r15), %%rax\n\t"
        "std\n\t"
        "syscall\n\t"
        "pushfq\n\t"
        "cld\n\t"
        "mov %%rax, 24(%%r15)\n\t"
        "pop %%rax\n\t"
        "and $0x400, %%eax\n\t" // the direction flag
        "mov %%rax, 104(%%r15)\n\t"
        "movdqu %%xmm0, 160(%%r15)\n\t"
        "movdqu %%xmm7, 176(%%r15)\n\t"
        "movdqu %%xmm15, 192(%%r15)\n\t"
        "mov %%rbx, 32(%%r15)\n\t"
        "mov %%r12, 40(%%r15)\n\t"
        "mov %%r13, 48(%%r15)\n\t"
        "mov %%r14, 56(%%r15)\n\t"
        "mov %%r10, 64(%%r15)\n\t"
        "mov %%r8, 72(%%r15)\n\t"
        "mov %%r9, 80(%%r15)\n\t"
        "mov %%rdx, 88(%%r15)\n\t"
        "mov -120(%%rsp), %%rbx\n\t"
        "mov %%rbx, 96(%%r15)\n\t"
        "add $512, %%rsp\n\t"
        :
        : [p] "r"(&p)
        : "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "xmm0", "xmm7", "xmm15",
          "memory", "cc");
    const long marks[10] = {0x1111, 0x1212, 0x1313, 0x1414, 0x1010, 0x0808, 0x0909, c, 0x7878, 0x400};
    for (int i = 0; i < 10; ++i)
        if (p.kept[i] != marks[i]) return -10001 - i;
    return memcmp(p.vectors, p.vectors_kept, sizeof p.vectors) == 0 ? p.number : -10020;
}
