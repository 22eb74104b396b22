// SPDX-License-Identifier: Apache-2.0
#pragma once

// What policies of system calls by number are made of: a function with libc's conventions as one, and the kernel's own call.

#include "calls/syscall.hpp"

#include "core/sys.hpp"

#include <cerrno>
#include <type_traits>
#include <utility>

namespace weft::shim::syscalls {

/// The size of the kernel's sets of signals.
constexpr long mask_size = 8;

template <class T>
T from_register(long value) noexcept {
    if constexpr (std::is_pointer_v<T>) return reinterpret_cast<T>(value);
    else return static_cast<T>(value);
}

template <class R>
long result_of(R result) noexcept {
    return result == static_cast<R>(-1) ? -errno : static_cast<long>(result);
}

template <class R, class... P, std::size_t... I>
long apply(R (*function)(P...) noexcept, const arguments& a, std::index_sequence<I...>) noexcept {
    return result_of(function(from_register<P>(a[I])...));
}

template <class R, class... P>
long apply(R (*function)(P...) noexcept, const arguments& a) noexcept {
    return apply(function, a, std::index_sequence_for<P...>());
}

/// Of one that gives the kernel's result.
template <class... P, std::size_t... I>
long apply_kernel(long (*function)(P...) noexcept, const arguments& a, std::index_sequence<I...>) noexcept {
    return function(from_register<P>(a[I])...);
}

template <class... P>
long apply_kernel(long (*function)(P...) noexcept, const arguments& a) noexcept {
    return apply_kernel(function, a, std::index_sequence_for<P...>());
}

template <auto function>
long plain(const arguments& a) noexcept {
    return apply(function, a);
}

/// The kernel's own, made on this kernel thread.
inline long make(long number, const arguments& a) noexcept {
    return rt::sys::call(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

} // namespace weft::shim::syscalls
