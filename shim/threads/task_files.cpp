// SPDX-License-Identifier: Apache-2.0
#include "threads/task_files.hpp"

#include "threads/names.hpp"
#include "threads/tid.hpp"

#include "core/sys.hpp"

#include <cerrno>
#include <charconv>
#include <cstring>
#include <string_view>

#include <fcntl.h>
#include <sys/mman.h>

namespace weft::shim::task_files {

namespace {

bool skip(std::string_view& text, std::string_view what) noexcept {
    if (!text.starts_with(what)) return false;
    text.remove_prefix(what.size());
    return true;
}

bool take_number(std::string_view& text, int& number) noexcept {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    return error == std::errc();
}

/// The thread's number; 0: the calling one; -1: of no thread of ours.
int thread_of(std::string_view path) noexcept {
    int process = rt::sys::getpid(), thread = 0;
    if (!skip(path, "/proc/")) return -1;
    if (skip(path, "thread-self/")) return path == "comm" ? 0 : -1;
    if (!skip(path, "self") && (!take_number(path, process) || process != rt::sys::getpid())) return -1;
    if (!skip(path, "/task/") || !take_number(path, thread) || path != "/comm") return -1;
    return tid::is_green(thread) ? thread : -1;
}

/// A file with that in it.
int file_of(std::string_view text, int flags) noexcept {
    const unsigned close = (flags & O_CLOEXEC) != 0 ? MFD_CLOEXEC : 0;
    const int fd = ::memfd_create("comm", close);
    if (fd < 0) return -1;
    rt::sys::call(SYS_write, fd, rt::sys::arg(text.data()), static_cast<long>(text.size()));
    rt::sys::call(SYS_lseek, fd, 0, SEEK_SET);
    return fd;
}

} // namespace

int instead_of(int fd, const char* path, int flags) noexcept {
    if ((flags & (O_ACCMODE | O_PATH | O_DIRECTORY)) != O_RDONLY || std::strncmp(path, "/proc/", 6) != 0 || green::self() == nullptr) return fd;
    const int saved_errno = errno;
    const int wanted = thread_of(path);
    if (wanted < 0) return fd;
    char text[names::size + 1] = {};
    const bool found = tid::with(wanted, [&](green_thread& t) {
        char name[names::size] = {};
        if (names::get(t, name) == 0) std::memcpy(text, name, sizeof name);
    });
    errno = saved_errno;
    if (!found) return fd;
    if (fd >= 0) rt::sys::call(SYS_close, fd);
    text[std::strlen(text)] = '\n';
    return file_of(text, flags);
}

} // namespace weft::shim::task_files
