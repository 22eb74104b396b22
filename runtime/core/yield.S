/* SPDX-License-Identifier: Apache-2.0 */
/* weft::this_fiber::yield(). Between its call and its return the processor has seen another fiber's calls, so a `ret` to the caller
   would be predicted to go where that one came from. The body returns to here, which is the same address for every fiber
   and so predicted right; the way back to the caller is an indirect jump, which is predicted by its history. */
    .text
    .globl  _ZN4weft10this_fiber5yieldEv
    .type   _ZN4weft10this_fiber5yieldEv, @function
_ZN4weft10this_fiber5yieldEv:
    .cfi_startproc
    subq    $8, %rsp
    .cfi_adjust_cfa_offset 8
    call    weft_yield_body
    addq    $8, %rsp
    .cfi_adjust_cfa_offset -8
    popq    %rcx
    .cfi_adjust_cfa_offset -8
    .cfi_register %rip, %rcx
    jmp     *%rcx
    .cfi_endproc
    .size   _ZN4weft10this_fiber5yieldEv, .-_ZN4weft10this_fiber5yieldEv
    .section .note.GNU-stack, "", @progbits
