/* SPDX-License-Identifier: Apache-2.0 */
/* The outermost frame of a green thread: void* weft_thread_entry(void* (*start)(void*), void* argument). Unwinders and debuggers end here, as they do
   at a thread of libc's: an exception that nobody catches finds no handler, and ends the program without unwinding. */
    .text
    .globl  weft_thread_entry
    .hidden weft_thread_entry
    .type   weft_thread_entry, @function
weft_thread_entry:
    .cfi_startproc
    .cfi_undefined %rip
    endbr64
    subq    $8, %rsp
    .cfi_adjust_cfa_offset 8
    movq    %rdi, %rax
    movq    %rsi, %rdi
    call    *%rax
    addq    $8, %rsp
    .cfi_adjust_cfa_offset -8
    ret
    .cfi_endproc
    .size   weft_thread_entry, .-weft_thread_entry

/* Where the main thread's unwinding ends: the stack is that of the function that called main. */
    .globl  weft_main_exit
    .hidden weft_main_exit
    .type   weft_main_exit, @function
weft_main_exit:
    .cfi_startproc
    .cfi_undefined %rip
    endbr64
    andq    $-16, %rsp
    call    weft_main_has_exited
    hlt
    .cfi_endproc
    .size   weft_main_exit, .-weft_main_exit

/* A thread that was interrupted by a signal, and is to end there. The stack holds where it was and its own stack pointer; unwinders take this for a
   signal's frame, so that they look at the very instruction. */
    .globl  weft_interrupted_end
    .hidden weft_interrupted_end
    .type   weft_interrupted_end, @function
    .cfi_startproc
    .cfi_signal_frame
    .cfi_escape 0x0f, 3, 0x77, 8, 0x06      /* the interrupted stack pointer is what lies at 8(%rsp) */
    .cfi_escape 0x10, 16, 2, 0x77, 0        /* it was where (%rsp) says */
    nop
weft_interrupted_end:
    call    weft_end_now
    hlt
    .cfi_endproc
    .size   weft_interrupted_end, .-weft_interrupted_end
    .section .note.GNU-stack, "", @progbits
