// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the files of /proc say of threads: the kernel's words, with what is a green thread's own in their place.

#include "threads/task_path.hpp"

namespace weft::shim::task_text {

/// Whether the kernel's own words will not do: a green thread's name, number and state, or how many threads there are.
bool is_made(const task_path& path) noexcept;

/// A descriptor of a file that says so, as of now; -1: there is no such thread or no such file.
int open(const task_path& path, bool close_on_exec) noexcept;

} // namespace weft::shim::task_text
