// SPDX-License-Identifier: Apache-2.0
// Spin locks: a fiber lets the others run, one of which may be the holder. Their format is libc's affair.
#include "threads/spin.hpp"

#include "core/serve.hpp"
#include "threads/table.hpp"

#include "core/interruption.hpp"
#include <weft/export.hpp>

#include <algorithm>

namespace weft::shim::spin {

int lock(pthread_spinlock_t* l) noexcept {
    if (::pthread_spin_trylock(l) == 0) return 0;
    if (!may_suspend()) return real().pthread_spin_lock(l);
    constexpr int turns = 200; // before it is taken for a lock that is held over a wait
    std::chrono::microseconds pause{50};
    for (int i = 0; ::pthread_spin_trylock(l) != 0; ++i) {
        if (i < turns) {
            rt::yield_quietly();
            continue;
        }
        rt::waiter w("a pthread spin lock", const_cast<const int*>(l), rt::interruption::deferred);
        w.suspend(deadline(pause));
        pause = std::min(pause * 2, std::chrono::microseconds(2000));
    }
    return 0;
}

} // namespace weft::shim::spin

using weft::shim::call;
using weft::shim::serve_everywhere;

extern "C" WEFT_API int pthread_spin_lock(pthread_spinlock_t* l) noexcept {
    return serve_everywhere<call::pthread_spin_lock>(weft::shim::spin::lock, l);
}
