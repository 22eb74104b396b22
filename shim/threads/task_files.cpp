// SPDX-License-Identifier: Apache-2.0
#include "threads/task_files.hpp"

#include "core/real.hpp"
#include "threads/task_list.hpp"
#include "threads/task_text.hpp"

#include "core/sys.hpp"

#include <cstring>

namespace weft::shim::task_files::made {

namespace {

using rt::sys::arg;
using rt::sys::call;

/// The path, if it is of a thread and there are green ones. `room` may be where the path's text lies.
task_path find(int directory, const char* path, char* room, std::size_t size) noexcept {
    if (!task_list::differs()) return {};
    if (path[0] != '/') {
        if (!from_root(directory, path, room, size)) return {};
        path = room;
    }
    return task_path::may_be(path) ? task_path::of(path) : task_path{};
}

} // namespace

int descriptor(int fd, int directory, const char* path, int flags) noexcept {
    const int saved_errno = errno;
    char room[160], of_main[160];
    const task_path p = find(directory, path, room, sizeof room);
    int instead = -1;
    if (p.what == task_path::kind::other || p.what == task_path::kind::list) return fd;
    if (task_text::is_made(p) && (flags & (O_ACCMODE | O_PATH | O_DIRECTORY)) == O_RDONLY) {
        instead = task_text::open(p, (flags & O_CLOEXEC) != 0);
        if (instead >= 0 && fd >= 0) { // under the number that the program's descriptor has
            call(SYS_dup3, instead, fd, flags & O_CLOEXEC);
            call(SYS_close, instead);
            instead = fd;
        }
    } else if (fd < 0 && p.what == task_path::kind::thread && p.file != "comm" && p.of_main(of_main, sizeof of_main)) {
        instead = static_cast<int>(call(SYS_openat, AT_FDCWD, arg(of_main), flags));
        if (instead < 0) {
            errno = -instead;
            return -1;
        }
    }
    errno = saved_errno;
    return instead >= 0 ? instead : fd;
}

FILE* stream(FILE* f, const char* path, const char* mode) noexcept {
    if (mode[0] != 'r' || std::strchr(mode, '+') != nullptr) return f;
    const int flags = O_RDONLY | (std::strchr(mode, 'e') != nullptr ? O_CLOEXEC : 0);
    if (f != nullptr) {
        descriptor(f->_fileno, AT_FDCWD, path, flags);
        return f;
    }
    const int fd = descriptor(-1, AT_FDCWD, path, flags);
    return fd < 0 ? nullptr : ::fdopen(fd, mode);
}

DIR* directory(DIR* d, const char* path) noexcept {
    if (d != nullptr) return adopted(d);
    const int fd = descriptor(-1, AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK);
    return fd < 0 ? nullptr : real().fdopendir(fd);
}

} // namespace weft::shim::task_files::made
