// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <pthread.h>

namespace weft::shim::once {

/// As pthread_once; an exception of the routine, or its thread's cancellation, passes through and leaves it undone.
int run(pthread_once_t* control, void (*routine)());
void after_fork() noexcept;

} // namespace weft::shim::once
