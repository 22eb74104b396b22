// SPDX-License-Identifier: Apache-2.0
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

/// A system call by instruction, out of libc's sight: the kernel's own result.
long by_instruction(long number, long a, long b, long c, long d, long e, long f);

#ifdef __cplusplus
}
#endif
