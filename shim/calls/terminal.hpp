// SPDX-License-Identifier: Apache-2.0
#pragma once

// Reading from a terminal. In canonical mode a read waits for a line; in raw mode VMIN and VTIME say when it ends, and a
// non-blocking description of our own knows nothing of them.

#include "core/descriptor.hpp"

#include <sys/types.h>
#include <sys/uio.h>

namespace weft::shim::io {

/// readv on a descriptor of kind terminal.
ssize_t read_terminal(int fd, descriptor& d, const iovec* v, int count) noexcept;

} // namespace weft::shim::io
