// SPDX-License-Identifier: Apache-2.0
#pragma once

// What ASan, TSan and valgrind must be told about stacks. Everything is empty where the tool is absent.

#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
#define WEFT_ASAN 1
#else
#define WEFT_ASAN 0
#endif
#if defined(__SANITIZE_THREAD__)
#define WEFT_TSAN 1
#else
#define WEFT_TSAN 0
#endif

#if WEFT_ASAN
#include <pthread.h>
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#include <sanitizer/lsan_interface.h>
#endif
#if WEFT_TSAN
#include <sanitizer/tsan_interface.h>
#endif
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#define WEFT_VALGRIND 1
#else
#define WEFT_VALGRIND 0
#endif

// The function that calls __tsan_switch_to_fiber must not be instrumented around the switch.
#if WEFT_TSAN
#define WEFT_NO_TSAN __attribute__((no_sanitize("thread")))
#else
#define WEFT_NO_TSAN
#endif

namespace weft::rt::sanitizer {

constexpr bool asan = WEFT_ASAN;
constexpr bool tsan = WEFT_TSAN;

/// The calling thread's own stack, which ASan wants to hear about when a fiber switches back to it.
inline void thread_stack([[maybe_unused]] const void*& base, [[maybe_unused]] std::size_t& size) noexcept {
#if WEFT_ASAN
    pthread_attr_t attr;
    if (pthread_getattr_np(pthread_self(), &attr) != 0) return;
    void* low = nullptr;
    pthread_attr_getstack(&attr, &low, &size);
    base = low;
    pthread_attr_destroy(&attr);
#endif
}

inline void* current_fiber() noexcept {
#if WEFT_TSAN
    return __tsan_get_current_fiber();
#else
    return nullptr;
#endif
}

inline void* create_fiber() noexcept {
#if WEFT_TSAN
    return __tsan_create_fiber(0);
#else
    return nullptr;
#endif
}

inline void destroy_fiber([[maybe_unused]] void* fiber) noexcept {
#if WEFT_TSAN
    __tsan_destroy_fiber(fiber);
#endif
}

/// Before a switch. `fake_stack` is where ASan keeps the left side's fake stack, null for one that ends.
WEFT_NO_TSAN inline void start_switch([[maybe_unused]] void** fake_stack, [[maybe_unused]] const void* base,
                                      [[maybe_unused]] std::size_t size, [[maybe_unused]] void* to) noexcept {
#if WEFT_ASAN
    __sanitizer_start_switch_fiber(fake_stack, base, size);
#elif WEFT_TSAN
    __tsan_switch_to_fiber(to, 0);
#endif
}

/// On arrival. `fake_stack` is what start_switch kept for this side.
inline void finish_switch([[maybe_unused]] void* fake_stack) noexcept {
#if WEFT_ASAN
    __sanitizer_finish_switch_fiber(fake_stack, nullptr, nullptr);
#endif
}

/// Recycled memory whose last frames never returned.
inline void unpoison([[maybe_unused]] void* base, [[maybe_unused]] std::size_t size) noexcept {
#if WEFT_ASAN
    __asan_unpoison_memory_region(base, size);
#endif
}

/// A stack whose contents keep heap memory alive.
inline void stack_in_use([[maybe_unused]] void* base, [[maybe_unused]] std::size_t size) noexcept {
#if WEFT_ASAN
    __lsan_register_root_region(base, size);
#endif
}
inline void stack_unused([[maybe_unused]] void* base, [[maybe_unused]] std::size_t size) noexcept {
#if WEFT_ASAN
    __lsan_unregister_root_region(base, size);
#endif
}

/// Stack memory as valgrind should see it, once per stack.
inline void register_stack([[maybe_unused]] void* base, [[maybe_unused]] std::size_t size) noexcept {
#if WEFT_VALGRIND
    if (RUNNING_ON_VALGRIND) VALGRIND_STACK_REGISTER(base, static_cast<char*>(base) + size);
#endif
}

} // namespace weft::rt::sanitizer
