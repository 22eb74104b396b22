// SPDX-License-Identifier: Apache-2.0
#pragma once

// Calls that move bytes from one descriptor to another within the kernel.

#include <cstddef>

#include <fcntl.h>
#include <sys/types.h>
#include <sys/uio.h>

namespace weft::shim::splicing {

ssize_t sendfile(int out, int in, off64_t* offset, std::size_t size) noexcept;
ssize_t splice(int in, off64_t* in_offset, int out, off64_t* out_offset, std::size_t size, unsigned flags) noexcept;
ssize_t tee(int in, int out, std::size_t size, unsigned flags) noexcept;
ssize_t vmsplice(int fd, const iovec* v, std::size_t count, unsigned flags) noexcept;

} // namespace weft::shim::splicing
