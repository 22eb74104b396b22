// SPDX-License-Identifier: Apache-2.0
#pragma once

// Reads and writes at an offset, or with flags of their own. On files they never wait; some other descriptors take them too, and there they
// may, preadv2 and pwritev2 without an offset on all of them.

#include <cstddef>

#include <sys/uio.h>

namespace weft::shim::positioned {

ssize_t pread(int fd, void* buffer, std::size_t size, off64_t offset) noexcept;
ssize_t pwrite(int fd, const void* buffer, std::size_t size, off64_t offset) noexcept;
ssize_t preadv(int fd, const iovec* v, int count, off64_t offset) noexcept;
ssize_t pwritev(int fd, const iovec* v, int count, off64_t offset) noexcept;
ssize_t preadv2(int fd, const iovec* v, int count, off64_t offset, int flags) noexcept;
ssize_t pwritev2(int fd, const iovec* v, int count, off64_t offset, int flags) noexcept;

} // namespace weft::shim::positioned
