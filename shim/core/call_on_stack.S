# SPDX-License-Identifier: Apache-2.0
# void weft_call_on_stack(void* top, void (*f)(int, siginfo_t*, void*), int number, siginfo_t* info, void* context)
# Calls f(number, info, context) on another stack, of which `top` is the end. A debugger finds the way back by the frame pointer.
    .text
    .globl weft_call_on_stack
    .hidden weft_call_on_stack
    .type weft_call_on_stack, @function
weft_call_on_stack:
    .cfi_startproc
    endbr64
    pushq %rbp
    .cfi_def_cfa_offset 16
    .cfi_offset %rbp, -16
    movq %rsp, %rbp
    .cfi_def_cfa_register %rbp
    andq $-16, %rdi
    movq %rdi, %rsp
    movq %rsi, %rax
    movl %edx, %edi
    movq %rcx, %rsi
    movq %r8, %rdx
    call *%rax
    movq %rbp, %rsp
    popq %rbp
    .cfi_def_cfa %rsp, 8
    ret
    .cfi_endproc
    .size weft_call_on_stack, . - weft_call_on_stack
    .section .note.GNU-stack, "", @progbits
