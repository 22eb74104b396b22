// SPDX-License-Identifier: Apache-2.0
#pragma once

// Files and directories of /proc about the program's threads, of which the kernel knows little: green threads are found there by their
// numbers, and weft's own kernel threads are not counted. What a call is to give is decided after the kernel's own answer, so that
// names elsewhere cost a comparison of their beginning, and names that cannot be read fail as ever.

#include "threads/task_path.hpp"

#include <cerrno>
#include <cstdio>

#include <dirent.h>
#include <fcntl.h>

namespace weft::shim::task_files {

namespace made {
int descriptor(int fd, int directory, const char* path, int flags) noexcept;
FILE* stream(FILE* f, const char* path, const char* mode) noexcept;
DIR* directory(DIR* d, const char* path) noexcept;
} // namespace made

/// The kernel has read the name, and it may be one of these.
inline bool may_be(bool worked, const char* path) noexcept { return (worked || errno == ENOENT) && task_path::may_be(path); }
/// One that is relative to a directory, which the kernel has not found.
inline bool may_be_in(int directory, bool worked, const char* path) noexcept {
    return !worked && directory != AT_FDCWD && errno == ENOENT && path[0] >= '1' && path[0] <= '9';
}

/// What an open of that path has given, or what it is to give instead; the same of fopen and opendir.
inline int opened(int fd, int directory, const char* path, int flags) noexcept {
    if (__builtin_expect(may_be(fd >= 0, path) || may_be_in(directory, fd >= 0, path), 0)) return made::descriptor(fd, directory, path, flags);
    return fd;
}
inline FILE* opened(FILE* f, const char* path, const char* mode) noexcept {
    return __builtin_expect(may_be(f != nullptr, path), 0) ? made::stream(f, path, mode) : f;
}
inline DIR* opened(DIR* d, const char* path) noexcept {
    return __builtin_expect(may_be(d != nullptr, path), 0) ? made::directory(d, path) : d;
}

/// fdopendir has made it of a descriptor.
DIR* adopted(DIR* d) noexcept;
/// It is about to be closed.
void closing(DIR* d) noexcept;
/// Whether it is open and lists the threads.
bool is_list(DIR* d) noexcept;

/// getdents64(2): the kernel's result. That directory shows the program's threads.
long getdents64(unsigned fd, void* to, std::size_t bytes) noexcept;

} // namespace weft::shim::task_files
