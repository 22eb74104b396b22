// SPDX-License-Identifier: Apache-2.0
// The guards of function-local statics. The C++ library takes a process with one kernel thread for one in which nobody can wait: another
// fiber that comes to a static while its initialiser waits would be an error there (recursive_init_error). These are the same
// functions, on the same bits, which know of fibers.
#include "core/gate.hpp"
#include "threads/futex.hpp"

#include <weft/export.hpp>

#include <atomic>
#include <climits>
#include <cxxabi.h>
#include <exception>

#include <dlfcn.h>
#include <sys/single_threaded.h>

namespace weft::shim {

namespace {

constexpr std::uint32_t made = 1, pending = 0x100, awaited = 0x10000;

std::uint32_t* word_of(__cxxabiv1::__guard* g) noexcept { return reinterpret_cast<std::uint32_t*>(g); }

/// A copy of the C++ library within a program waits and wakes by the plain futex call, which the kernel keeps apart from the private one.
void end(__cxxabiv1::__guard* g, std::uint32_t state) noexcept {
    if ((std::atomic_ref(*word_of(g)).exchange(state, std::memory_order_acq_rel) & awaited) == 0) return;
    futex::wake(word_of(g), INT_MAX, false);
    futex::wake_in_kernel(word_of(g), INT_MAX, true);
}

/// The initialiser came to its own static: the library says so, as it would have.
int report_recursion(__cxxabiv1::__guard* g) {
    const auto original = reinterpret_cast<decltype(&__cxxabiv1::__cxa_guard_acquire)>(::dlsym(RTLD_NEXT, "__cxa_guard_acquire"));
    if (original == nullptr) std::terminate();
    return original(g);
}

int begin(__cxxabiv1::__guard* g) {
    std::uint32_t* const word = word_of(g);
    const std::atomic_ref state(*word);
    for (;;) {
        std::uint32_t seen = 0;
        if (state.compare_exchange_strong(seen, pending, std::memory_order_acq_rel)) return 1;
        if (seen == made) return 0;
        const bool fiber = gate::open(family::locks);
        const bool alone = __libc_single_threaded && (!fiber || rt::hub::current()->live_fibers() == 1);
        if (alone) return report_recursion(g); // nobody else can be at it
        if (seen == pending && !state.compare_exchange_strong(seen, pending | awaited, std::memory_order_acq_rel)) continue;
        futex::wait(word, pending | awaited, !fiber, {}, "a static's initialiser");
    }
}

} // namespace

} // namespace weft::shim

extern "C" {

WEFT_API int __cxa_guard_acquire(__cxxabiv1::__guard* g) { return weft::shim::begin(g); }
WEFT_API void __cxa_guard_release(__cxxabiv1::__guard* g) noexcept { weft::shim::end(g, weft::shim::made); }
WEFT_API void __cxa_guard_abort(__cxxabiv1::__guard* g) noexcept { weft::shim::end(g, 0); }

} // extern "C"
