// SPDX-License-Identifier: Apache-2.0
// pthread barriers, in libc's own format.
#include "threads/barrier.hpp"

#include "core/serve.hpp"
#include "threads/futex.hpp"

#include "core/interruption.hpp"
#include <weft/export.hpp>

#include <climits>

namespace weft::shim::barrier {

namespace {

/// What lies in a pthread_barrier_t. `in` counts who came, `round` how many of them may go, `out` how many went. All three begin anew
/// before they overflow, when everybody is out.
struct layout {
    std::uint32_t in;
    std::uint32_t round;
    std::uint32_t count;
    int shared;
    std::uint32_t out;
};
static_assert(sizeof(layout) <= sizeof(pthread_barrier_t));

std::atomic_ref<std::uint32_t> atomic(std::uint32_t& word) noexcept { return std::atomic_ref(word); }

/// How many may come before it begins anew: whole rounds only.
std::uint32_t most_of(const layout& b) noexcept {
    constexpr std::uint32_t threshold = UINT_MAX / 2;
    return threshold - threshold % b.count;
}

int wait_here(layout& b) noexcept {
    const std::uint32_t most = most_of(b), count = b.count;
    const bool shared = b.shared != 0;
    std::uint32_t mine = 0;
    for (;;) {
        mine = atomic(b.in).fetch_add(1, std::memory_order_acq_rel) + 1;
        if (mine <= most) break;
        // One too many: wait until the others are out and have begun anew.
        for (std::uint32_t in = atomic(b.in).load(std::memory_order_relaxed); in > most; in = atomic(b.in).load(std::memory_order_relaxed))
            futex::wait(&b.in, in, shared, {}, "a pthread barrier");
    }
    std::uint32_t round = atomic(b.round).load(std::memory_order_relaxed);
    while (round + count <= mine) {
        const std::uint32_t next = mine - mine % count; // every round that is complete as far as we see
        if (!atomic(b.round).compare_exchange_weak(round, next, std::memory_order_seq_cst, std::memory_order_relaxed)) continue;
        futex::wake(&b.round, INT_MAX, shared);
        break;
    }
    for (round = atomic(b.round).load(std::memory_order_acquire); mine > round; round = atomic(b.round).load(std::memory_order_acquire))
        futex::wait(&b.round, round, shared, {}, "a pthread barrier");
    const int result = mine % count == 0 ? PTHREAD_BARRIER_SERIAL_THREAD : 0;
    if (atomic(b.out).fetch_add(1, std::memory_order_acq_rel) + 1 != most) return result;
    atomic(b.round).store(0, std::memory_order_relaxed);
    atomic(b.out).store(0, std::memory_order_relaxed);
    atomic(b.in).store(0, std::memory_order_seq_cst);
    futex::wake(&b.in, INT_MAX, shared);
    return result;
}

} // namespace

int wait(pthread_barrier_t* barrier) noexcept { return wait_here(*reinterpret_cast<layout*>(barrier)); }

/// It waits until everybody is out.
int destroy(pthread_barrier_t* barrier) noexcept {
    auto& b = *reinterpret_cast<layout*>(barrier);
    if (!may_suspend()) return real().pthread_barrier_destroy(barrier);
    // Those who are not out yet may be fibers of this hub.
    while (atomic(b.in).load(std::memory_order_acquire) != atomic(b.out).load(std::memory_order_acquire)) rt::yield_quietly();
    return real().pthread_barrier_destroy(barrier);
}

} // namespace weft::shim::barrier

using weft::shim::call;
using weft::shim::serve_everywhere;

extern "C" {

WEFT_API int pthread_barrier_wait(pthread_barrier_t* b) noexcept {
    return serve_everywhere<call::pthread_barrier_wait>(weft::shim::barrier::wait, b);
}
WEFT_API int pthread_barrier_destroy(pthread_barrier_t* b) noexcept {
    return serve_everywhere<call::pthread_barrier_destroy>(weft::shim::barrier::destroy, b);
}

} // extern "C"
