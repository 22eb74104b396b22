// SPDX-License-Identifier: Apache-2.0
#pragma once

// System calls to which a green thread's number, or a name in /proc that contains one, must be translated. The kernel makes them.

#include "calls/syscall_policy.hpp"
#include "threads/numbers.hpp"
#include "threads/task_files.hpp"

#include <cerrno>
#include <cstddef>

#include <fcntl.h>

namespace weft::shim::syscalls {

constexpr std::size_t nowhere = 6;

/// A call about a name, its argument `name`, in the directory of argument `directory`: there may be a green thread's.
template <long number, std::size_t name, std::size_t directory = nowhere>
long looks_up(const arguments& a) noexcept {
    const auto where = static_cast<int>(directory == nowhere ? AT_FDCWD : a[directory % nowhere]);
    const auto* const path = from_register<const char*>(a[name]);
    return result_of(task_files::looked_up(where, path, [&](int from, const char* its) noexcept -> long {
        arguments all = a;
        all.at[name] = rt::sys::arg(its);
        if (directory != nowhere) all.at[directory % nowhere] = from;
        const long result = make(number, all);
        if (result < 0) errno = static_cast<int>(-result);
        return result < 0 ? -1 : result;
    }));
}

template <long number, std::size_t name, std::size_t directory = nowhere>
long reads_link(const arguments& a) noexcept {
    const long result = looks_up<number, name, directory>(a);
    const auto* const path = from_register<const char*>(a[name]);
    return task_files::link(result, path, from_register<char*>(a[name + 1]), static_cast<std::size_t>(a[name + 2]));
}

/// A thread's number there means its process.
template <long number, std::size_t... where>
long about_process(const arguments& a) noexcept {
    arguments its = a;
    ((its.at[where] = numbers::for_kernel(a[where])), ...);
    return make(number, its);
}

/// One whose function gives the kernel's result.
template <auto function>
long straight(const arguments& a) noexcept {
    return apply_kernel(function, a);
}

} // namespace weft::shim::syscalls
