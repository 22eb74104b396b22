// SPDX-License-Identifier: Apache-2.0
// The exported names of what opens, locks, settles and closes descriptors, beside the most common ones in stubs_io.cpp.
#include "calls/disk.hpp"
#include "calls/fd.hpp"
#include "calls/file_lock.hpp"
#include "calls/line.hpp"
#include "calls/open.hpp"
#include "core/serve.hpp"
#include "threads/numbers.hpp"
#include "threads/task_files.hpp"

#include <weft/export.hpp>

using weft::shim::call;
using weft::shim::real;
using weft::shim::serve;
namespace disk = weft::shim::disk;
namespace fd = weft::shim::fd;
namespace file_lock = weft::shim::file_lock;
namespace line = weft::shim::line;
namespace numbers = weft::shim::numbers;
namespace opening = weft::shim::opening;
namespace task_files = weft::shim::task_files;

namespace {

/// The fortified open without a mode ends the program when one is needed.
bool lacks_mode(int flags) noexcept { return (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE; }

} // namespace

extern "C" {

// --- Opening ---

WEFT_API int openat(int directory, const char* path, int flags, ...) {
    __builtin_va_list rest;
    __builtin_va_start(rest, flags);
    const auto mode = __builtin_va_arg(rest, mode_t); // given or not, it has a register of its own
    __builtin_va_end(rest);
    return fd::received(task_files::opened(serve<call::openat>(opening::openat, directory, path, flags, mode), directory, path, flags));
}
WEFT_API int openat64(int directory, const char* path, int flags, ...) {
    __builtin_va_list rest;
    __builtin_va_start(rest, flags);
    const auto mode = __builtin_va_arg(rest, mode_t); // given or not, it has a register of its own
    __builtin_va_end(rest);
    return fd::received(task_files::opened(serve<call::openat64>(opening::openat, directory, path, flags, mode), directory, path, flags));
}
WEFT_API int open(const char* path, int flags, ...) {
    __builtin_va_list rest;
    __builtin_va_start(rest, flags);
    const auto mode = __builtin_va_arg(rest, mode_t);
    __builtin_va_end(rest);
    return fd::received(task_files::opened(serve<call::open>(opening::open, path, flags, mode), AT_FDCWD, path, flags));
}
WEFT_API int open64(const char* path, int flags, ...) {
    __builtin_va_list rest;
    __builtin_va_start(rest, flags);
    const auto mode = __builtin_va_arg(rest, mode_t);
    __builtin_va_end(rest);
    return fd::received(task_files::opened(serve<call::open64>(opening::open, path, flags, mode), AT_FDCWD, path, flags));
}
WEFT_API int __open(const char* path, int flags, ...) {
    __builtin_va_list rest;
    __builtin_va_start(rest, flags);
    const auto mode = __builtin_va_arg(rest, mode_t);
    __builtin_va_end(rest);
    return fd::received(task_files::opened(serve<call::__open>(opening::open, path, flags, mode), AT_FDCWD, path, flags));
}
WEFT_API int __open64(const char* path, int flags, ...) {
    __builtin_va_list rest;
    __builtin_va_start(rest, flags);
    const auto mode = __builtin_va_arg(rest, mode_t);
    __builtin_va_end(rest);
    return fd::received(task_files::opened(serve<call::__open64>(opening::open, path, flags, mode), AT_FDCWD, path, flags));
}
WEFT_API int __open_2(const char* path, int flags) {
    if (lacks_mode(flags)) return real().__open_2(path, flags);
    return open(path, flags);
}
WEFT_API int __open64_2(const char* path, int flags) {
    if (lacks_mode(flags)) return real().__open64_2(path, flags);
    return open64(path, flags);
}
WEFT_API int __openat_2(int directory, const char* path, int flags) {
    if (lacks_mode(flags)) return real().__openat_2(directory, path, flags);
    return openat(directory, path, flags);
}
WEFT_API int __openat64_2(int directory, const char* path, int flags) {
    if (lacks_mode(flags)) return real().__openat64_2(directory, path, flags);
    return openat64(directory, path, flags);
}
WEFT_API int creat(const char* path, mode_t mode) {
    return fd::received(task_files::opened(serve<call::creat>(opening::creat, path, mode), AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC));
}
WEFT_API int creat64(const char* path, mode_t mode) {
    return fd::received(task_files::opened(serve<call::creat64>(opening::creat, path, mode), AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC));
}

// --- Descriptors of other kinds: noted on every thread ---

WEFT_API int eventfd_read(int fd, eventfd_t* value) { return read(fd, value, sizeof *value) == sizeof *value ? 0 : -1; }
WEFT_API int eventfd_write(int fd, eventfd_t value) { return write(fd, &value, sizeof value) == sizeof value ? 0 : -1; }
WEFT_API int timerfd_create(int clock, int flags) noexcept { return fd::made(real().timerfd_create(clock, flags)); }
WEFT_API int signalfd(int fd, const sigset_t* mask, int flags) noexcept {
    const int result = real().signalfd(fd, mask, flags);
    return result == fd ? result : fd::made(result); // or the mask of one that there was
}
WEFT_API int inotify_init() noexcept { return fd::made(real().inotify_init()); }
WEFT_API int inotify_init1(int flags) noexcept { return fd::made(real().inotify_init1(flags)); }
WEFT_API int memfd_create(const char* name, unsigned flags) noexcept { return fd::made(real().memfd_create(name, flags)); }
WEFT_API int pidfd_open(pid_t process, unsigned flags) noexcept { return fd::made(numbers::open_process(process, flags)); }
WEFT_API int pidfd_getfd(int process, int fd, unsigned flags) noexcept {
    return fd::received(real().pidfd_getfd(process, fd, flags));
}
WEFT_API int fanotify_init(unsigned flags, unsigned event_flags) noexcept {
    return fd::made(real().fanotify_init(flags, event_flags));
}

// --- Closing, and the twins of common names ---

WEFT_API int close_range(unsigned first, unsigned last, int flags) noexcept { return fd::close_range(first, last, flags); }
WEFT_API void closefrom(int first) noexcept { fd::closefrom(first); }
WEFT_API int __close(int fd) { return ::close(fd); }
WEFT_API int __dup2(int from, int to) noexcept { return fd::replace(from, to, 0, false); }
WEFT_API int __pipe(int fds[2]) noexcept { return fd::made_pair(real().pipe(fds), fds); }
WEFT_API int __fcntl(int fd, int command, ...) {
    __builtin_va_list rest;
    __builtin_va_start(rest, command);
    void* argument = __builtin_va_arg(rest, void*);
    __builtin_va_end(rest);
    return fcntl(fd, command, argument);
}

// --- Locks on files ---

WEFT_API int flock(int fd, int operation) noexcept { return serve<call::flock>(file_lock::flock, fd, operation); }
WEFT_API int lockf(int fd, int command, off_t size) { return serve<call::lockf>(file_lock::lockf, fd, command, size); }
WEFT_API int lockf64(int fd, int command, off64_t size) { return serve<call::lockf64>(file_lock::lockf, fd, command, size); }

// --- The disk ---

WEFT_API int fsync(int fd) { return serve<call::fsync>(disk::fsync, fd); }
WEFT_API int fdatasync(int fd) { return serve<call::fdatasync>(disk::fdatasync, fd); }
WEFT_API void sync() noexcept { serve<call::sync>(disk::sync); }
WEFT_API int syncfs(int fd) noexcept { return serve<call::syncfs>(disk::syncfs, fd); }
WEFT_API int msync(void* address, std::size_t size, int flags) { return serve<call::msync>(disk::msync, address, size, flags); }
WEFT_API int sync_file_range(int fd, off64_t offset, off64_t size, unsigned flags) {
    return serve<call::sync_file_range>(disk::sync_file_range, fd, offset, size, flags);
}

// --- Terminals ---

WEFT_API int tcdrain(int fd) { return serve<call::tcdrain>(line::drain, fd); }
WEFT_API int tcsendbreak(int fd, int duration) noexcept { return serve<call::tcsendbreak>(line::send_break, fd, duration); }
WEFT_API int tcsetattr(int fd, int when, const termios* settings) noexcept {
    return serve<call::tcsetattr>(line::set_attributes, fd, when, settings);
}

} // extern "C"
