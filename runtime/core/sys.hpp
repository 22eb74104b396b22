// SPDX-License-Identifier: Apache-2.0
#pragma once

// System calls that must never be intercepted: made by instruction, past libc and past our own shim. errno is untouched;
// the result is the kernel's (negative errno on failure).

#include <cstdint>

#include <sys/syscall.h>

namespace weft::rt::sys {

inline long call(long n, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0, long f = 0) noexcept {
    long result = n;
    register long r10 asm("r10") = d;
    register long r8 asm("r8") = e;
    register long r9 asm("r9") = f;
    asm volatile("syscall" : "+a"(result) : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
    return result;
}

template <class T>
inline long arg(T* p) noexcept {
    return reinterpret_cast<long>(p);
}

inline void sched_yield() noexcept { call(SYS_sched_yield); }
inline int gettid() noexcept { return static_cast<int>(call(SYS_gettid)); }
inline int getpid() noexcept { return static_cast<int>(call(SYS_getpid)); }
inline void close(int fd) noexcept { call(SYS_close, fd); }

} // namespace weft::rt::sys
