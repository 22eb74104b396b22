// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <pthread.h>

namespace weft::shim::spin {

int lock(pthread_spinlock_t* l) noexcept;

} // namespace weft::shim::spin
