/* SPDX-License-Identifier: Apache-2.0 */
/* The system calls that are never trapped: the kernel is told this range. Nothing here changes a register but those that a system
   call changes, rax, rcx and r11. */
    .text
    .globl  weft_trap_begin, weft_trap_end, weft_trap_restorer, weft_trap_native, weft_trap_return, weft_trap_clone
    .hidden weft_trap_begin, weft_trap_end, weft_trap_restorer, weft_trap_native, weft_trap_return, weft_trap_clone

weft_trap_begin:

/* The handler's way out. Unwinders know a signal's frame by these very bytes, and look at the one before, which must be no function's. */
    nop
    .type weft_trap_restorer, @function
weft_trap_restorer:
    movq    $15, %rax
    syscall
    .size weft_trap_restorer, .-weft_trap_restorer

/* A call as the program made it. The stack holds where it came from and its own stack pointer; both lie in what is left of the trap's
   signal frame, just behind which nothing is needed any more. */
    .type weft_trap_native, @function
weft_trap_native:
    .cfi_startproc
    .cfi_escape 0x0f, 3, 0x77, 8, 0x06      /* the caller's stack pointer is what lies at 8(%rsp) */
    .cfi_escape 0x10, 16, 2, 0x77, 0        /* it returns to where (%rsp) says */
    syscall
    movq    (%rsp), %rcx
    movq    8(%rsp), %rsp
    .cfi_def_cfa %rsp, 0
    .cfi_register %rip, %rcx
    jmp     *%rcx
    .cfi_endproc
    .size weft_trap_native, .-weft_trap_native

/* The end of a signal handler: the frame lies where the stack pointer says, and nothing comes back. */
    .type weft_trap_return, @function
weft_trap_return:
    syscall
    hlt
    .size weft_trap_return, .-weft_trap_return

/* A call that begins a task on the same memory: both sides go on where it was made, each with its own stack pointer. */
    .type weft_trap_clone, @function
weft_trap_clone:
    syscall
    movq    weft_trap_origin@gottpoff(%rip), %rcx
    movq    %fs:(%rcx), %rcx
    jmp     *%rcx
    .size weft_trap_clone, .-weft_trap_clone

weft_trap_end:
    .section .note.GNU-stack, "", @progbits
