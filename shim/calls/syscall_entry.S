/* SPDX-License-Identifier: Apache-2.0 */
/* long syscall(long number, ...). A child that vfork or clone makes returns through the same frame as its parent, and the end of a handler
   finds its frame by the stack pointer: libc's own code gets these, with the stack as the caller left it. */
    .text
    .globl  syscall
    .type   syscall, @function
    .hidden weft_children_begun
syscall:
    .cfi_startproc
    cmpq    $58, %rdi       /* vfork */
    je      1f
    cmpq    $56, %rdi       /* clone */
    je      1f
    cmpq    $435, %rdi      /* clone3 */
    je      1f
    cmpq    $15, %rdi       /* rt_sigreturn */
    jne     weft_syscall
1:  lock incl weft_children_begun(%rip) /* descriptor.hpp */
    movq    weft_real_syscall(%rip), %rax
    testq   %rax, %rax
    jz      weft_syscall    /* before the start */
    jmp     *%rax
    .cfi_endproc
    .size syscall, .-syscall
    .section .note.GNU-stack, "", @progbits
