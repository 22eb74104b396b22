/* SPDX-License-Identifier: Apache-2.0 */
/* dlopen and dlmopen look at where they are called from: by that object's search path libraries are found. Where they are not served they go on as
   libc's own, with the stack as the caller left it. dlclose and dl_iterate_phdr are here because code that they call may be unwound. */
    .text
    .macro entry name, caller
    .globl  \name
    .type   \name, @function
\name:
    .cfi_startproc
    endbr64
    movq    weft_real_\name(%rip), %rax
    testq   %rax, %rax
    jz      1f              /* before the start */
    cmpb    $0, weft_loader_serves(%rip)
    jne     1f
    jmp     *%rax
1:
    .ifnb \caller
    movq    (%rsp), \caller
    .endif
    jmp     weft_\name
    .cfi_endproc
    .size   \name, .-\name
    .endm
    entry   dlopen, %rdx
    entry   dlmopen, %rcx
    entry   dlclose
    entry   dl_iterate_phdr

/* void* weft_call_from(void* function, long a, long b, long c, const void* ret): calls the function so that it seems to be called from where the
   instruction `ret` lies. */
    .globl  weft_call_from
    .hidden weft_call_from
    .type   weft_call_from, @function
weft_call_from:
    .cfi_startproc
    pushq   %rbp
    .cfi_adjust_cfa_offset 8
    .cfi_offset %rbp, -16
    movq    %rsp, %rbp
    .cfi_def_cfa_register %rbp
    subq    $8, %rsp
    leaq    1f(%rip), %rax
    pushq   %rax
    pushq   %r8
    movq    %rdi, %r11
    movq    %rsi, %rdi
    movq    %rdx, %rsi
    movq    %rcx, %rdx
    jmp     *%r11
    nop
1:  leave
    .cfi_def_cfa %rsp, 8
    ret
    .cfi_endproc
    .size   weft_call_from, .-weft_call_from
    .section .note.GNU-stack, "", @progbits
