/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

enum { C_LOG_SIZE = 16 };

/** What a call into the C library went through. `left` stays 0 if anything jumped over its frames. */
struct c_log {
    int entered, left;
    int failures, errors[C_LOG_SIZE];
    int rounds, last_error;
};

/** Waits for data; where that fails it tries five other waits, then unlocks and frees what it holds. */
long c_fetch(int fd, struct c_log* log);

/** Calls read until it works or *stop is set, whatever the errors. */
long c_stubborn(int fd, volatile int* stop, struct c_log* log);

/** Makes seven calls that need not wait; returns how many worked. */
int c_needs_no_wait(int with_data, int with_room, struct c_log* log);

#ifdef __cplusplus
}
#endif
