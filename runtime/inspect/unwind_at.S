/* SPDX-License-Identifier: Apache-2.0

   int weft_unwind_at(const registers* at, _Unwind_Trace_Fn function, void* argument)

   _Unwind_Backtrace begins with its caller. This one's unwinding information says that its own caller stands at the registers given (the
   structure of backtrace.hpp), so what follows is another stack's frames. Only memory is read. %rbx points to the registers meanwhile. */

        .text
        .hidden weft_unwind_at
        .globl  weft_unwind_at
        .type   weft_unwind_at, @function
weft_unwind_at:
        .cfi_startproc
        push    %rbx
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %rbx, 0
        mov     %rdi, %rbx
        mov     %rsi, %rdi
        mov     %rdx, %rsi
        .cfi_remember_state
        .cfi_escape 0x0f, 3, 0x73, 48, 0x06             /* the stack pointer: *(rbx + 48) */
        .cfi_escape 0x10, 12, 2, 0x73, 0                /* r12: at rbx + 0 */
        .cfi_escape 0x10, 13, 2, 0x73, 8
        .cfi_escape 0x10, 14, 2, 0x73, 16
        .cfi_escape 0x10, 15, 2, 0x73, 24
        .cfi_escape 0x10, 3, 2, 0x73, 32                /* rbx */
        .cfi_escape 0x10, 6, 2, 0x73, 40                /* rbp */
        .cfi_escape 0x10, 16, 2, 0x73, 56               /* the return address */
        call    _Unwind_Backtrace@PLT
        .cfi_restore_state
        pop     %rbx
        .cfi_adjust_cfa_offset -8
        .cfi_restore %rbx
        ret
        .cfi_endproc
        .size   weft_unwind_at, . - weft_unwind_at

        .section .note.GNU-stack, "", @progbits
