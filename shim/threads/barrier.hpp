// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <pthread.h>

namespace weft::shim::barrier {

int wait(pthread_barrier_t* barrier) noexcept;
int destroy(pthread_barrier_t* barrier) noexcept;

} // namespace weft::shim::barrier
