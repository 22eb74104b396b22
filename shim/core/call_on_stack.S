/* SPDX-License-Identifier: Apache-2.0 */
/* A handler is called on the present stack (top is null), or on another one. The frame pointer leads back, for unwinders too.
   bool weft_call_on_stack(void* top, handler, int number, siginfo_t* info, void* context): whether the handler has ended its thread instead
   of returning. Then its frames are gone, and what called it goes on to its own end first (threads/exit.cpp). */
    .text
    .globl weft_call_on_stack, weft_handler_returned, weft_handler_left
    .hidden weft_call_on_stack, weft_handler_returned, weft_handler_left
    .type weft_call_on_stack, @function
weft_call_on_stack:
    .cfi_startproc
    endbr64
    pushq %rbp
    .cfi_def_cfa_offset 16
    .cfi_offset %rbp, -16
    movq %rsp, %rbp
    .cfi_def_cfa_register %rbp
    pushq %rbx
    .cfi_offset %rbx, -24
    pushq %r12
    .cfi_offset %r12, -32
    pushq %r13
    .cfi_offset %r13, -40
    pushq %r14
    .cfi_offset %r14, -48
    pushq %r15
    .cfi_offset %r15, -56
    subq $8, %rsp
    testq %rdi, %rdi
    jz 1f
    andq $-16, %rdi
    movq %rdi, %rsp
1:  movq %rsi, %rax
    movl %edx, %edi
    movq %rcx, %rsi
    movq %r8, %rdx
    call *%rax
weft_handler_returned:
    xorl %eax, %eax
2:  leaq -40(%rbp), %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    .cfi_remember_state
    .cfi_def_cfa %rsp, 8
    ret
    .cfi_restore_state
weft_handler_left:
    movl $1, %eax
    jmp 2b
    .cfi_endproc
    .size weft_call_on_stack, . - weft_call_on_stack
    .section .note.GNU-stack, "", @progbits
