// SPDX-License-Identifier: Apache-2.0
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

/// A system call by instruction, out of libc's sight: the kernel's own result.
long by_instruction(long number, long a, long b, long c, long d, long e, long f);

/// Makes the call with a mark in every register that a system call keeps, vector registers and the flags included; its result if all marks
/// are there afterwards, else a number below -10000.
long registers_survive(long number, long a, long b, long c);

#ifdef __cplusplus
}
#endif
