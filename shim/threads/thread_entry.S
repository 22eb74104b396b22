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
    .section .note.GNU-stack, "", @progbits
