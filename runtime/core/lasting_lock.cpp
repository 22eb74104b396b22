// SPDX-License-Identifier: Apache-2.0
#include <weft/detail/hand_off.hpp>

#include "core/fork.hpp"

#include <array>
#include <cstdint>

namespace weft::rt {

namespace {

constexpr std::size_t lock_count = 256; // a power of two
constexpr std::size_t cache_line = 64;

struct alignas(cache_line) padded_lock {
    spinlock lock;
};
constinit std::array<padded_lock, lock_count> locks{};

} // namespace

spinlock& lasting_lock(const void* object) noexcept {
    constexpr std::uint64_t golden = 0x9e3779b97f4a7c15; // Fibonacci hashing: the upper bits of the product are well mixed
    const auto hash = reinterpret_cast<std::uintptr_t>(object) * golden;
    return locks[hash >> 56 & (lock_count - 1)].lock;
}

/// Whoever held one in the parent, on another kernel thread, does not exist in the child.
void reset_lasting_locks() noexcept {
    for (padded_lock& l : locks) l.lock.reset();
}

} // namespace weft::rt
