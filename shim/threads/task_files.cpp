// SPDX-License-Identifier: Apache-2.0
#include "threads/task_files.hpp"

#include "core/real.hpp"
#include "core/trap.hpp"
#include "threads/task_list.hpp"
#include "threads/task_text.hpp"

#include "core/sys.hpp"

#include <algorithm>
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

bool name(int directory, const char* path, char* to, std::size_t room) noexcept {
    const trap::untrapped weft;
    const int saved_errno = errno;
    const task_path p = find(directory, path, to, room); // its text may lie there
    char of_main[name_room];
    const bool is_threads = p.what == task_path::kind::thread || (p.what == task_path::kind::list && p.whole);
    const bool found = is_threads && p.of_main(of_main, sizeof of_main) && std::strlen(of_main) < room;
    if (found) std::strcpy(to, of_main);
    errno = saved_errno;
    return found;
}

int descriptor(int fd, int directory, const char* path, int flags) noexcept {
    const int saved_errno = errno;
    char room[name_room], of_main[name_room];
    const task_path p = find(directory, path, room, sizeof room);
    int instead = -1;
    if (p.what == task_path::kind::other || (p.what == task_path::kind::list && !p.whole)) return fd;
    const bool makes = (flags & (O_PATH | O_DIRECTORY)) == 0 && (flags & (O_CREAT | O_EXCL)) != (O_CREAT | O_EXCL);
    if (makes && task_text::is_made(p) && ((flags & O_ACCMODE) == O_RDONLY || p.file == "comm")) {
        instead = task_text::open(p, flags);
        if (instead >= 0 && fd >= 0) { // under the number that the program's descriptor has
            call(SYS_dup3, instead, fd, flags & O_CLOEXEC);
            call(SYS_close, instead);
            instead = fd;
        }
    } else if (fd < 0 && p.of_main(of_main, sizeof of_main)) {
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
    const bool updates = std::strchr(mode, '+') != nullptr;
    int flags = updates ? O_RDWR : mode[0] == 'r' ? O_RDONLY : O_WRONLY;
    if (mode[0] == 'a') flags |= O_APPEND;
    if (std::strchr(mode, 'e') != nullptr) flags |= O_CLOEXEC;
    if (std::strchr(mode, 'x') != nullptr) flags |= O_CREAT | O_EXCL;
    if (f != nullptr) {
        descriptor(f->_fileno, AT_FDCWD, path, flags);
        return f;
    }
    const int fd = descriptor(-1, AT_FDCWD, path, flags);
    return fd < 0 ? nullptr : ::fdopen(fd, mode);
}

long thread_self(long result, char* to, std::size_t room) noexcept {
    const green_thread* const me = green::self();
    if (me == nullptr) return result;
    char name[40];
    const int n = std::snprintf(name, sizeof name, "%d/task/%d", rt::sys::getpid(), me->tid);
    const std::size_t length = std::min(static_cast<std::size_t>(n), room);
    std::memcpy(to, name, length);
    return static_cast<long>(length);
}

DIR* directory(DIR* d, const char* path) noexcept {
    if (d != nullptr) return adopted(d);
    const int fd = descriptor(-1, AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK);
    return fd < 0 ? nullptr : real().fdopendir(fd);
}

} // namespace weft::shim::task_files::made
