# SPDX-License-Identifier: Apache-2.0
# setjmp in its flavours. The mask that a jump restores is the calling green thread's, which the kernel does not know: we note it in the buffer, and
# libc is told to save none. There is no frame here, since the caller returns twice: libc's own function goes on in our place.
#define MASK 72             /* where libc would save it (jump.cpp checks that) */
#define NOTED 80            /* and behind it, our sign */
    .text
    .globl setjmp
    .type setjmp, @function
setjmp:
    .cfi_startproc
    endbr64
    movl $1, %esi
    jmp weft_set_jump
    .cfi_endproc
    .size setjmp, .-setjmp

    .globl _setjmp
    .type _setjmp, @function
_setjmp:
    .cfi_startproc
    endbr64
    xorl %esi, %esi
    jmp weft_set_jump
    .cfi_endproc
    .size _setjmp, .-_setjmp

    .globl __sigsetjmp
    .type __sigsetjmp, @function
__sigsetjmp:
    .cfi_startproc
    endbr64
    jmp weft_set_jump
    .cfi_endproc
    .size __sigsetjmp, .-__sigsetjmp

    .type weft_set_jump, @function
weft_set_jump:
    .cfi_startproc
    cmpq $0, weft_real_sigsetjmp(%rip)
    je 1f
    testl %esi, %esi
    jne 1f
    movq $0, NOTED(%rdi)
2:  jmp *weft_real_sigsetjmp(%rip)
1:  pushq %rdi
    .cfi_adjust_cfa_offset 8
    subq $16, %rsp
    .cfi_adjust_cfa_offset 16
    call weft_note_mask
    addq $16, %rsp
    .cfi_adjust_cfa_offset -16
    popq %rdi
    .cfi_adjust_cfa_offset -8
    movl %eax, %esi
    jmp 2b
    .cfi_endproc
    .size weft_set_jump, .-weft_set_jump
    .section .note.GNU-stack, "", @progbits
