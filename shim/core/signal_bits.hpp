// SPDX-License-Identifier: Apache-2.0
#pragma once

// Sets of signals as the kernel has them: a bit a number.

#include "core/sys.hpp"

#include <csignal>
#include <cstdint>
#include <cstring>

namespace weft::shim::signals {

using bits = std::uint64_t;
inline constexpr int last_number = 64;
inline constexpr long mask_size = sizeof(bits);

constexpr bits bit(int number) noexcept { return bits{1} << (number - 1); }

inline bits bits_of(const sigset_t& set) noexcept {
    bits b = 0;
    std::memcpy(&b, &set, sizeof b);
    return b;
}
/// The rest of libc's longer set is unused; it need not even be there.
inline void put_bits(sigset_t& set, bits b) noexcept { std::memcpy(&set, &b, sizeof b); }

/// Nobody can block them; and libc keeps two for itself.
inline constexpr bits unblockable = bit(SIGKILL) | bit(SIGSTOP);
inline constexpr bits libcs_own = bit(32) | bit(33);

/// Changes the mask of the calling kernel thread, and says what it was.
inline bits kernel_mask(int how, bits set) noexcept {
    bits before = 0;
    rt::sys::call(SYS_rt_sigprocmask, how, rt::sys::arg(&set), rt::sys::arg(&before), mask_size);
    return before;
}
inline bits kernel_mask() noexcept { return kernel_mask(SIG_BLOCK, 0); }

} // namespace weft::shim::signals
