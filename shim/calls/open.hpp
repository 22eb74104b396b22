// SPDX-License-Identifier: Apache-2.0
#pragma once

// Opening a file. It waits where the file is a FIFO (for its other end) or a line (for its carrier): then a kernel thread waits.

#include <fcntl.h>
#include <sys/types.h>

namespace weft::shim::opening {

int openat(int directory, const char* path, int flags, mode_t mode) noexcept;
inline int open(const char* path, int flags, mode_t mode) noexcept { return opening::openat(AT_FDCWD, path, flags, mode); }
inline int creat(const char* path, mode_t mode) noexcept { return opening::open(path, O_CREAT | O_WRONLY | O_TRUNC, mode); }

} // namespace weft::shim::opening
