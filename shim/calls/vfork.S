/* SPDX-License-Identifier: Apache-2.0 */
/* vfork. The child returns first, over the place where the return address lay, and goes on in the caller's frame: so there is no frame here, and
   what the parent needs is kept in registers, which the kernel gives back to each of the two. The child runs on this thread's memory: until
   it has called exec or ended, weft's mark of the thread (thread_state.hpp, whose offsets children.cpp checks) says that all of its calls are real,
   and the trap of system calls, which the child does not have, is off. The child has the signal mask of the green thread that makes it. */
#define INSIDE 16
#define CARRIER 56
#define SELECTOR 73
#define VFORKED 0x10000
    .hidden weft_children_begun
    .text
    .globl  vfork
    .type   vfork, @function
    .globl  __vfork
    .type   __vfork, @function
vfork:
__vfork:
    .cfi_startproc
    endbr64
    cmpb    $0, _ZN4weft4shim7signals7severalE(%rip)
    je      3f
    subq    $8, %rsp
    .cfi_adjust_cfa_offset 8
    call    weft_before_vfork
    addq    $8, %rsp
    .cfi_adjust_cfa_offset -8
3:  popq    %rdx
    .cfi_adjust_cfa_offset -8
    .cfi_register %rip, %rdx
    movq    _ZN4weft2rt17this_thread_stateE@gottpoff(%rip), %rsi
    addq    %fs:0, %rsi
    movq    CARRIER(%rsi), %rdi
    testq   %rdi, %rdi
    cmoveq  %rsi, %rdi
    movzbl  SELECTOR(%rdi), %r8d
    movb    $0, SELECTOR(%rdi)
    addl    $VFORKED, INSIDE(%rsi)
    lock incl weft_children_begun(%rip)
    movl    $58, %eax
    syscall
    pushq   %rdx
    .cfi_adjust_cfa_offset 8
    .cfi_offset %rip, -8
    testl   %eax, %eax
    je      1f
    subl    $VFORKED, INSIDE(%rsi)
    movb    %r8b, SELECTOR(%rdi)
    cmpb    $0, _ZN4weft4shim7signals7severalE(%rip)
    je      4f
    pushq   %rax
    .cfi_adjust_cfa_offset 8
    call    weft_after_vfork
    popq    %rax
    .cfi_adjust_cfa_offset -8
4:
    cmpl    $-4095, %eax
    jae     2f
1:  ret
2:  negl    %eax
    pushq   %rax
    .cfi_adjust_cfa_offset 8
    call    __errno_location@PLT
    popq    %rcx
    .cfi_adjust_cfa_offset -8
    movl    %ecx, (%rax)
    movl    $-1, %eax
    ret
    .cfi_endproc
    .size   vfork, .-vfork
    .size   __vfork, .-__vfork
    .section .note.GNU-stack, "", @progbits
