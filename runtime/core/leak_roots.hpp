// SPDX-License-Identifier: Apache-2.0
#pragma once

// A program that looks for leaks (LeakSanitizer, preloaded programs too) does not know where fibers keep their pointers. Nothing where it is absent.

#include <cstddef>

extern "C" {
[[gnu::weak]] void __lsan_register_root_region(const void* base, std::size_t size);
[[gnu::weak]] void __lsan_unregister_root_region(const void* base, std::size_t size);
}

namespace weft::rt::leak_roots {

/// What that memory points at is no leak.
inline void add(const void* base, std::size_t size) noexcept {
    if (__builtin_expect(&__lsan_register_root_region != nullptr, 0)) __lsan_register_root_region(base, size);
}
/// An end to that.
inline void remove(const void* base, std::size_t size) noexcept {
    if (__builtin_expect(&__lsan_unregister_root_region != nullptr, 0)) __lsan_unregister_root_region(base, size);
}

} // namespace weft::rt::leak_roots
