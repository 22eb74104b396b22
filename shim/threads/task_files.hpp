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
/// The name under which the kernel has what it has not found. False: there is nothing of a green thread's.
bool name(int directory, const char* path, char* to, std::size_t room) noexcept;
} // namespace made

constexpr std::size_t name_room = 160; // for any of these names

/// The kernel has read the name, and it may be one of these.
inline bool may_be(bool worked, const char* path) noexcept { return (worked || errno == ENOENT) && task_path::may_be(path); }
/// One that is relative to a directory, which the kernel has not found.
inline bool may_be_in(bool worked, const char* path) noexcept { return !worked && errno == ENOENT && path[0] >= '1' && path[0] <= '9'; }

/// What asks for a name: `look(directory, name)` with libc's conventions, and once more with another name where the first was not found
/// and is one of a green thread's.
template <class F>
auto looked_up(int directory, const char* path, F look) noexcept {
    const int saved_errno = errno;
    const auto result = look(directory, path);
    if (__builtin_expect(result >= 0 || !(may_be(false, path) || may_be_in(false, path)), 1)) return result;
    char room[name_room];
    if (!made::name(directory, path, room, sizeof room)) return result;
    errno = saved_errno;
    return look(AT_FDCWD, static_cast<const char*>(room));
}

/// What an open of that path has given, or what it is to give instead; the same of fopen and opendir.
inline int opened(int fd, int directory, const char* path, int flags) noexcept {
    if (__builtin_expect(may_be(fd >= 0, path) || may_be_in(fd >= 0, path), 0)) return made::descriptor(fd, directory, path, flags);
    return fd;
}
inline FILE* opened(FILE* f, const char* path, const char* mode) noexcept {
    return __builtin_expect(may_be(f != nullptr, path), 0) ? made::stream(f, path, mode) : f;
}
inline DIR* opened(DIR* d, const char* path) noexcept {
    return __builtin_expect(may_be(d != nullptr, path), 0) ? made::directory(d, path) : d;
}

namespace made {
long thread_self(long result, char* to, std::size_t room) noexcept;
} // namespace made

/// What a read link of that name has given, `result` bytes. /proc/thread-self tells of the calling thread.
inline long link(long result, const char* path, char* to, std::size_t room) noexcept {
    const bool of_self = result > 0 && task_path::may_be(path) && std::strcmp(path, "/proc/thread-self") == 0;
    return __builtin_expect(of_self, 0) ? made::thread_self(result, to, room) : result;
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
