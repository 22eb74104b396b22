// SPDX-License-Identifier: Apache-2.0
#include "threads/rights.hpp"

#include "core/serve.hpp"
#include "threads/green.hpp"

#include "core/observer_chain.hpp"
#include "core/sys.hpp"
#include <weft/detail/spinlock.hpp>
#include <weft/export.hpp>

#include <atomic>
#include <cerrno>
#include <mutex>

#include <cpuid.h>
#include <sys/mman.h>

namespace weft::shim::rights {

namespace {

std::uint32_t get() noexcept {
    std::uint32_t low = 0, high = 0;
    asm volatile("rdpkru" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}
void set(std::uint32_t value) noexcept { asm volatile("wrpkru" : : "a"(value), "c"(0), "d"(0) : "memory"); }

/// The register is there: the processor has it, and the kernel uses it.
bool is_there() noexcept {
    unsigned a = 0, b = 0, c = 0, d = 0;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (c & bit_OSPKE) != 0;
}

constinit rt::spinlock beginning;
constinit std::atomic<bool> used{false}; // there has been a key
constinit std::uint32_t at_first = 0;    // what all threads had until then
constinit bool watched = false;
constinit const rt::observer* others = nullptr;

/// Of the frame: what its thread has while it does not run.
struct kept {
    std::uint32_t value = 0;
    bool is_known = false; // else: at_first
};
constinit thread_local kept own __attribute__((tls_model("initial-exec")));

constexpr rt::observer watching{
    .leaves =
        [](rt::fiber_core& f) noexcept {
            own = {get(), true};
            if (others != nullptr) others->leaves(f);
            set(at_first); // the hub's
        },
    .arrives =
        [](rt::fiber_core& f) noexcept {
            if (others != nullptr) others->arrives(f);
            set(own.is_known ? own.value : at_first);
        },
};

/// The lock is held.
void watch() noexcept {
    if (watched || !used.load(std::memory_order_relaxed)) return;
    if (const rt::observer* const before = rt::add_observer(watching); before != &watching) others = before; // a parent's thread may have been about it
    watched = true;
}

/// What the thread had changes without a switch.
void note() noexcept {
    if (used.load(std::memory_order_relaxed)) own = {get(), true};
}

} // namespace

void after_fork() noexcept { beginning.reset(); }

void threads_begin() noexcept {
    const std::lock_guard hold(beginning);
    watch();
}

void inherit(char* pointer) noexcept {
    if (!used.load(std::memory_order_relaxed)) return;
    auto* const its = pointer + (reinterpret_cast<char*>(&own) - static_cast<char*>(__builtin_thread_pointer()));
    *reinterpret_cast<kept*>(its) = {get(), true};
}

long allocate(unsigned flags, unsigned access) noexcept {
    if (!is_there()) return rt::sys::call(SYS_pkey_alloc, flags, access);
    const std::uint32_t before = get(); // the call gives the caller the rights that it wants
    const long key = rt::sys::call(SYS_pkey_alloc, flags, access);
    if (key < 0) return key;
    const std::lock_guard hold(beginning);
    if (!used.load(std::memory_order_relaxed)) at_first = before;
    own = {get(), true};
    used.store(true, std::memory_order_release);
    if (green::self() != nullptr) watch();
    return key;
}

of_handler::of_handler() noexcept {
    if (__builtin_expect(!used.load(std::memory_order_relaxed), 1)) return;
    before_ = get();
    changed_ = true;
    set(at_first);
}

of_handler::~of_handler() {
    if (changed_) set(before_);
}

namespace {

int alloc(unsigned flags, unsigned access) noexcept {
    const long key = allocate(flags, access);
    if (key < 0) errno = static_cast<int>(-key);
    return key < 0 ? -1 : static_cast<int>(key);
}

int change(int key, unsigned access) noexcept {
    const int result = real().pkey_set(key, access);
    if (result == 0) note();
    return result;
}

} // namespace

} // namespace weft::shim::rights

using weft::shim::call;
using weft::shim::serve_thread;
namespace rights = weft::shim::rights;

extern "C" {

WEFT_API int pkey_alloc(unsigned flags, unsigned access) noexcept { return serve_thread<call::pkey_alloc>(rights::alloc, flags, access); }
WEFT_API int pkey_set(int key, unsigned access) noexcept { return serve_thread<call::pkey_set>(rights::change, key, access); }

} // extern "C"
