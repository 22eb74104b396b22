// SPDX-License-Identifier: Apache-2.0
#pragma once

// The thread pointer (fs base on x86-64): where the running code finds its TLS.

#include "core/sys.hpp"

#include <cstdint>

namespace weft::rt {

/// Whether user code may write fs base itself (FSGSBASE); else the kernel is asked.
extern constinit bool can_write_thread_pointer;

inline char* thread_pointer() noexcept { return static_cast<char*>(__builtin_thread_pointer()); }

inline void set_thread_pointer(char* to) noexcept {
    if (__builtin_expect(can_write_thread_pointer, 1)) {
        asm volatile("wrfsbase %0" : : "r"(to) : "memory");
    } else {
        constexpr long set_fs = 0x1002; // ARCH_SET_FS
        asm volatile("" : : : "memory");
        sys::call(SYS_arch_prctl, set_fs, sys::arg(to));
    }
}

} // namespace weft::rt
