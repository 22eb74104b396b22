// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the files of /proc say of threads: the kernel's words, with what is a green thread's own in their place.

#include "threads/task_path.hpp"

#include <sys/stat.h>
#include <sys/uio.h>

namespace weft::shim::task_text {

/// Whether the kernel's own words will not do: a green thread's name, number and state, or how many threads there are.
bool is_made(const task_path& path) noexcept;

/// A descriptor of a file that says so, as of now, opened with these flags; -1: there is no such thread or no such file.
int open(const task_path& path, int flags) noexcept;

/// Whether that regular file is `comm` of a green thread, opened by this.
bool is_name(int fd, const struct stat& s) noexcept;
/// writev on such a file: names the thread.
ssize_t write_name(int fd, const iovec* parts, int count) noexcept;

} // namespace weft::shim::task_text
