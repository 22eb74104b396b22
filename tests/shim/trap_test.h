// SPDX-License-Identifier: Apache-2.0
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

/// Makes the call with a mark in every register that a system call keeps, in the red zone, and with the direction flag set; its result if
/// all marks are there afterwards, else a number below -10000.
long registers_survive(long number, long a, long b, long c);

#ifdef __cplusplus
}
#endif
