// SPDX-License-Identifier: Apache-2.0
#pragma once

// dlopen, dlclose and dl_iterate_phdr among green threads. libc's loader has locks that a kernel thread may take again, and that only the kernel thread
// that took them can let go of: constructors, destructors and callbacks run with them, and may wait. So here a green thread owns
// them, and libc knows it by a number of its own meanwhile, wherever it is carried.

namespace weft::shim::loader {

/// Numbered in core/init.cpp.
void initialise() noexcept;
/// The main thread has become a green one, perhaps within a constructor.
void threads_begin() noexcept;
void after_fork() noexcept;

} // namespace weft::shim::loader
