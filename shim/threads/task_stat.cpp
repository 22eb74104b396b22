// SPDX-License-Identifier: Apache-2.0
// Whether there is a file, and what it is: the exported names of all that ask so. Of a green thread's files in /proc the kernel says that
// they do not exist; they are as main's.
#include "threads/task_files.hpp"

#include "core/serve.hpp"
#include "threads/task_list.hpp"

#include "core/sys.hpp"
#include <weft/export.hpp>

#include <cstdlib>
#include <cstring>

#include <sys/stat.h>

namespace weft::shim::task_files {

namespace {

/// These are asked for often, and found: then nothing of weft's is in their way.
template <call c, class Served, class... A>
auto serve_name(Served served, A... arguments) noexcept {
    if (__builtin_expect(stats::counting || rt::carrier_state().selector != 0, 0)) return serve_thread<c>(served, arguments...);
    return served(arguments...);
}

/// libc's function, which has the name first.
template <call c, class... A>
auto named(const char* path, A... rest) noexcept {
    return looked_up(AT_FDCWD, path, [=](int, const char* its) noexcept { return real_of<c>()(its, rest...); });
}
/// After a directory.
template <call c, class... A>
auto named_in(int directory, const char* path, A... rest) noexcept {
    return looked_up(directory, path, [=](int from, const char* its) noexcept { return real_of<c>()(from, its, rest...); });
}
/// After a version of the structure.
template <call c, class S>
int versioned(int version, const char* path, S* out) noexcept {
    return looked_up(AT_FDCWD, path, [=](int, const char* its) noexcept { return real_of<c>()(version, its, out); });
}
template <call c, class S>
int versioned_in(int version, int directory, const char* path, S* out, int flags) noexcept {
    return looked_up(directory, path, [=](int from, const char* its) noexcept { return real_of<c>()(version, from, its, out, flags); });
}

template <call c, class... A>
ssize_t link_of(const char* path, char* to, std::size_t room, A... capacity) noexcept {
    return task_files::link(named<c>(path, to, room, capacity...), path, to, room);
}
template <call c, class... A>
ssize_t link_in(int directory, const char* path, char* to, std::size_t room, A... capacity) noexcept {
    return task_files::link(named_in<c>(directory, path, to, room, capacity...), path, to, room);
}

/// Where a name of a green thread's leads: to main's, but for the number.
char* own_name(const char* path, char* to) noexcept {
    const trap::untrapped weft;
    const int saved_errno = errno;
    char of_main[name_room], prefix[40], found[PATH_MAX];
    if (!task_list::differs() || !task_path::may_be(path)) return nullptr;
    const task_path p = task_path::of(path);
    if (p.what != task_path::kind::thread || !p.of_main(of_main, sizeof of_main)) return nullptr;
    if (real().realpath(of_main, found) == nullptr) return nullptr;
    const int pid = rt::sys::getpid();
    const int n = p.whole ? std::snprintf(prefix, sizeof prefix, "/proc/%d", pid)
                          : std::snprintf(prefix, sizeof prefix, "/proc/%d/task/%d", pid, pid);
    const auto length = static_cast<std::size_t>(n);
    char own[PATH_MAX];
    if (std::strncmp(found, prefix, length) == 0 && (found[length] == '/' || found[length] == 0)) {
        const int m = p.whole ? std::snprintf(own, sizeof own, "/proc/%d%s", p.thread, found + length)
                              : std::snprintf(own, sizeof own, "/proc/%d/task/%d%s", pid, p.thread, found + length);
        if (m < 0 || static_cast<std::size_t>(m) >= sizeof own) return nullptr;
    } else {
        std::strcpy(own, found);
    }
    errno = saved_errno;
    return to == nullptr ? ::strdup(own) : std::strcpy(to, own);
}

bool is_thread_self(const char* path) noexcept {
    constexpr char own[] = "/proc/thread-self";
    return std::strncmp(path, own, sizeof own - 1) == 0;
}

template <call c, class... A>
char* resolved(const char* path, char* to, A... capacity) noexcept {
    const int saved_errno = errno;
    char* const result = real_of<c>()(path, to, capacity...);
    const bool found = result != nullptr;
    if (__builtin_expect(path == nullptr || !may_be(found, path) || (found && !is_thread_self(path)), 1)) return result;
    char* const own = own_name(path, to);
    if (own == nullptr) return result;
    if (found && to == nullptr) std::free(result);
    errno = saved_errno;
    return own;
}

char* canonical(const char* path) noexcept { return resolved<call::realpath>(path, nullptr); }

} // namespace

} // namespace weft::shim::task_files

using weft::shim::call;
namespace task_files = weft::shim::task_files;

extern "C" {

WEFT_API int stat(const char* path, struct stat* out) noexcept {
    return task_files::serve_name<call::stat>(task_files::named<call::stat, struct stat*>, path, out);
}
WEFT_API int stat64(const char* path, struct stat64* out) noexcept {
    return task_files::serve_name<call::stat64>(task_files::named<call::stat64, struct stat64*>, path, out);
}
WEFT_API int lstat(const char* path, struct stat* out) noexcept {
    return task_files::serve_name<call::lstat>(task_files::named<call::lstat, struct stat*>, path, out);
}
WEFT_API int lstat64(const char* path, struct stat64* out) noexcept {
    return task_files::serve_name<call::lstat64>(task_files::named<call::lstat64, struct stat64*>, path, out);
}
WEFT_API int fstatat(int directory, const char* path, struct stat* out, int flags) noexcept {
    return task_files::serve_name<call::fstatat>(task_files::named_in<call::fstatat, struct stat*, int>, directory, path, out, flags);
}
WEFT_API int fstatat64(int directory, const char* path, struct stat64* out, int flags) noexcept {
    return task_files::serve_name<call::fstatat64>(task_files::named_in<call::fstatat64, struct stat64*, int>, directory, path, out, flags);
}
WEFT_API int statx(int directory, const char* path, int flags, unsigned mask, struct statx* out) noexcept {
    constexpr auto ask = task_files::named_in<call::statx, int, unsigned, struct statx*>;
    return task_files::serve_name<call::statx>(ask, directory, path, flags, mask, out);
}
WEFT_API int __xstat(int version, const char* path, struct stat* out) noexcept {
    return task_files::serve_name<call::__xstat>(task_files::versioned<call::__xstat, struct stat>, version, path, out);
}
WEFT_API int __xstat64(int version, const char* path, struct stat64* out) noexcept {
    return task_files::serve_name<call::__xstat64>(task_files::versioned<call::__xstat64, struct stat64>, version, path, out);
}
WEFT_API int __lxstat(int version, const char* path, struct stat* out) noexcept {
    return task_files::serve_name<call::__lxstat>(task_files::versioned<call::__lxstat, struct stat>, version, path, out);
}
WEFT_API int __lxstat64(int version, const char* path, struct stat64* out) noexcept {
    return task_files::serve_name<call::__lxstat64>(task_files::versioned<call::__lxstat64, struct stat64>, version, path, out);
}
WEFT_API int __fxstatat(int version, int directory, const char* path, struct stat* out, int flags) noexcept {
    constexpr auto ask = task_files::versioned_in<call::__fxstatat, struct stat>;
    return task_files::serve_name<call::__fxstatat>(ask, version, directory, path, out, flags);
}
WEFT_API int __fxstatat64(int version, int directory, const char* path, struct stat64* out, int flags) noexcept {
    constexpr auto ask = task_files::versioned_in<call::__fxstatat64, struct stat64>;
    return task_files::serve_name<call::__fxstatat64>(ask, version, directory, path, out, flags);
}
WEFT_API int access(const char* path, int mode) noexcept {
    return task_files::serve_name<call::access>(task_files::named<call::access, int>, path, mode);
}
WEFT_API int euidaccess(const char* path, int mode) noexcept {
    return task_files::serve_name<call::euidaccess>(task_files::named<call::euidaccess, int>, path, mode);
}
WEFT_API int eaccess(const char* path, int mode) noexcept {
    return task_files::serve_name<call::eaccess>(task_files::named<call::eaccess, int>, path, mode);
}
WEFT_API int faccessat(int directory, const char* path, int mode, int flags) noexcept {
    return task_files::serve_name<call::faccessat>(task_files::named_in<call::faccessat, int, int>, directory, path, mode, flags);
}
WEFT_API ssize_t readlink(const char* path, char* to, std::size_t room) noexcept {
    return task_files::serve_name<call::readlink>(task_files::link_of<call::readlink>, path, to, room);
}
WEFT_API ssize_t __readlink_chk(const char* path, char* to, std::size_t room, std::size_t capacity) noexcept {
    return task_files::serve_name<call::__readlink_chk>(task_files::link_of<call::__readlink_chk, std::size_t>, path, to, room, capacity);
}
WEFT_API ssize_t readlinkat(int directory, const char* path, char* to, std::size_t room) noexcept {
    return task_files::serve_name<call::readlinkat>(task_files::link_in<call::readlinkat>, directory, path, to, room);
}
WEFT_API ssize_t __readlinkat_chk(int directory, const char* path, char* to, std::size_t room, std::size_t capacity) noexcept {
    constexpr auto ask = task_files::link_in<call::__readlinkat_chk, std::size_t>;
    return task_files::serve_name<call::__readlinkat_chk>(ask, directory, path, to, room, capacity);
}
WEFT_API char* realpath(const char* path, char* to) noexcept {
    return task_files::serve_name<call::realpath>(task_files::resolved<call::realpath>, path, to);
}
WEFT_API char* __realpath_chk(const char* path, char* to, std::size_t capacity) noexcept {
    return task_files::serve_name<call::__realpath_chk>(task_files::resolved<call::__realpath_chk, std::size_t>, path, to, capacity);
}
WEFT_API char* canonicalize_file_name(const char* path) noexcept {
    return task_files::serve_name<call::canonicalize_file_name>(task_files::canonical, path);
}

} // extern "C"
