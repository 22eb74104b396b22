// SPDX-License-Identifier: Apache-2.0
#pragma once

// Waiting for requests that the kernel completes: its aio contexts and its rings. libc has no names for these calls; they come by number.

#include <cstddef>
#include <ctime>

namespace weft::shim::aio_kernel {

/// The conventions of libc: -1 and errno.
int io_getevents(unsigned long context, long least, long most, void* events, timespec* timeout) noexcept;
/// `signals` is the kernel's pair of a mask and its size.
int io_pgetevents(unsigned long context, long least, long most, void* events, timespec* timeout, const void* signals) noexcept;
int io_uring_enter(int ring, unsigned to_submit, unsigned least, unsigned flags, const void* argument, std::size_t size) noexcept;

} // namespace weft::shim::aio_kernel
