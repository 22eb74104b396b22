// SPDX-License-Identifier: Apache-2.0
#pragma once

// pthread read-write locks. Their state is libc's and so are the calls that change it. A fiber only tries; where it must wait, whoever unlocks
// takes the lock for it. One that processes share is waited for by a helper thread.

#include <pthread.h>
#include <time.h>

namespace weft::shim::rwlock {

int rdlock(pthread_rwlock_t* l) noexcept;
int wrlock(pthread_rwlock_t* l) noexcept;
int timedrdlock(pthread_rwlock_t* l, const timespec* at) noexcept;
int timedwrlock(pthread_rwlock_t* l, const timespec* at) noexcept;
int clockrdlock(pthread_rwlock_t* l, clockid_t clock, const timespec* at) noexcept;
int clockwrlock(pthread_rwlock_t* l, clockid_t clock, const timespec* at) noexcept;
int tryrdlock(pthread_rwlock_t* l) noexcept;
int trywrlock(pthread_rwlock_t* l) noexcept;
int unlock(pthread_rwlock_t* l) noexcept;

} // namespace weft::shim::rwlock
