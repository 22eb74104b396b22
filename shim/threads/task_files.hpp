// SPDX-License-Identifier: Apache-2.0
#pragma once

// Files of /proc about a green thread, of which the kernel knows nothing: its name, to be read by itself or by others.

namespace weft::shim::task_files {

/// What an open of that path, which has succeeded or found nothing, is to give: where it is a green thread's `comm`, and only read, a
/// file with its name in place of `fd`; else `fd`.
int instead_of(int fd, const char* path, int flags) noexcept;

} // namespace weft::shim::task_files
