// SPDX-License-Identifier: Apache-2.0
#pragma once

// Masks and pending signals: of the calling green thread, or else libc's own functions.

#include "core/signal_bits.hpp"

#include <csignal>

namespace weft::shim::signal_mask {

/// As pthread_sigmask: returns the error number.
int change(int how, const sigset_t* set, sigset_t* old) noexcept;
int change_errno(int how, const sigset_t* set, sigset_t* old) noexcept;
/// By number: the kernel's own arguments and result.
long change_by_number(long how, const void* set, void* old, std::size_t size) noexcept;
int pending(sigset_t* set) noexcept;
/// By number: the kernel's own arguments and result.
long pending_by_number(void* set, std::size_t size) noexcept;

int hold(int number) noexcept;
int release(int number) noexcept;
int ignore(int number) noexcept;
sighandler_t set_disposition(int number, sighandler_t disposition) noexcept;
/// BSD's: the first 32 signals; what the mask was.
int block_bsd(int mask) noexcept;
int set_bsd(int mask) noexcept;

} // namespace weft::shim::signal_mask
