// SPDX-License-Identifier: Apache-2.0
#pragma once

// Names of files in /proc that tell of this process's threads.

#include <cstddef>
#include <cstring>
#include <string_view>

namespace weft::shim {

struct task_path {
    enum class kind : unsigned char {
        other,   // of something else, or of a kernel thread
        list,    // the directory of all threads
        process, // a file about the process
        thread,  // a thread's directory, or a file in it
    };
    kind what = kind::other;
    int thread = 0;        // its number
    std::string_view file; // in that directory; empty: the directory itself
    bool slash = false;    // a slash follows: only a directory may have that name
    bool whole = false;    // it was named as a process is, /proc/<number>

    /// What every such name begins with. The caller has seen that the kernel could read the name.
    static bool may_be(const char* path) noexcept { return std::strncmp(path, "/proc/", 6) == 0; }
    static task_path of(const char* path) noexcept;

    [[nodiscard]] bool is_directory() const noexcept { return what == kind::list || (what == kind::thread && file.empty()); }

    /// The same of the main thread or of the process, whose files the kernel has. False: too long.
    bool of_main(char* to, std::size_t room) const noexcept;
};

/// The name of `path` as seen from that directory (AT_FDCWD: the current one), from the root. False: not known, or too long.
bool from_root(int directory, const char* path, char* to, std::size_t room) noexcept;

/// Whether that descriptor is the directory of this process's threads.
bool is_list(int fd) noexcept;

} // namespace weft::shim
