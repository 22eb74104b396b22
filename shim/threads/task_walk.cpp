// SPDX-License-Identifier: Apache-2.0
// libc's functions that look through directories on their own. Where they may come by the program's threads, glob is given functions that
// see green ones, and what has no such means runs with its system calls trapped. They call the program's functions, so weft's own mark is
// not set meanwhile.
#include "threads/task_files.hpp"

#include "core/serve.hpp"
#include "threads/task_list.hpp"

#include <weft/export.hpp>

#include <cstdlib>

#include <fts.h>
#include <ftw.h>
#include <glob.h>
#include <sys/stat.h>

namespace weft::shim::task_files {

namespace {

bool may_meet_threads(const char* path) noexcept { return task_path::may_be(path) && task_list::differs(); }

int search(decltype(&::glob) function, const char* pattern, int flags, int (*on_error)(const char*, int), glob_t* out) {
    if (__builtin_expect(!may_meet_threads(pattern) || (flags & GLOB_ALTDIRFUNC) != 0, 1)) return function(pattern, flags, on_error, out);
    const glob_t before = *out;
    out->gl_opendir = [](const char* path) -> void* { return ::opendir(path); };
    out->gl_readdir = [](void* d) { return ::readdir(static_cast<DIR*>(d)); };
    out->gl_closedir = [](void* d) { ::closedir(static_cast<DIR*>(d)); };
    out->gl_stat = [](const char* path, struct stat* to) { return ::stat(path, to); };
    out->gl_lstat = [](const char* path, struct stat* to) { return ::lstat(path, to); };
    const int result = function(pattern, flags | GLOB_ALTDIRFUNC, on_error, out);
    out->gl_flags &= ~GLOB_ALTDIRFUNC;
    out->gl_opendir = before.gl_opendir;
    out->gl_readdir = before.gl_readdir;
    out->gl_closedir = before.gl_closedir;
    out->gl_stat = before.gl_stat;
    out->gl_lstat = before.gl_lstat;
    return result;
}

template <class F>
auto trapped_if(bool wanted, F walk) {
    if (__builtin_expect(!wanted, 1)) return walk();
    const trap::trapped here;
    return walk();
}

template <call c, class... A>
int walk(const char* path, A... rest) {
    return trapped_if(may_meet_threads(path), [=] { return real_of<c>()(path, rest...); });
}

template <call c, class Compare>
auto open_walk(char* const* paths, int options, Compare compare) {
    bool wanted = false;
    for (char* const* p = paths; *p != nullptr; ++p) wanted = wanted || may_meet_threads(*p);
    return trapped_if(wanted, [=] { return real_of<c>()(paths, options, compare); });
}

template <call c, class Walk, class... A>
auto go_on(Walk* all, A... rest) {
    const bool wanted = all->fts_cur != nullptr && all->fts_cur->fts_path != nullptr && may_meet_threads(all->fts_cur->fts_path);
    return trapped_if(wanted, [=] { return real_of<c>()(all, rest...); });
}

template <call c, class Entry>
int scan_at(int directory, const char* path, Entry*** out, int (*wanted)(const Entry*), int (*compare)(const Entry**, const Entry**)) {
    if (path[0] == '/' || directory == AT_FDCWD) {
        if constexpr (c == call::scandirat) return ::scandir(path, out, wanted, compare);
        else return ::scandir64(path, out, wanted, compare);
    }
    return trapped_if(task_list::differs(), [=] { return real_of<c>()(directory, path, out, wanted, compare); });
}

} // namespace

} // namespace weft::shim::task_files

using weft::shim::call;
using weft::shim::real;
namespace task_files = weft::shim::task_files;

extern "C" {

WEFT_API int glob(const char* pattern, int flags, int (*on_error)(const char*, int), glob_t* out) {
    return task_files::search(real().glob, pattern, flags, on_error, out);
}
WEFT_API int glob64(const char* pattern, int flags, int (*on_error)(const char*, int), glob64_t* out) {
    return task_files::search(real().glob, pattern, flags, on_error, reinterpret_cast<glob_t*>(out)); // the same on this machine
}
WEFT_API int ftw(const char* path, __ftw_func_t visit, int descriptors) { return task_files::walk<call::ftw>(path, visit, descriptors); }
WEFT_API int ftw64(const char* path, __ftw64_func_t visit, int descriptors) {
    return task_files::walk<call::ftw64>(path, visit, descriptors);
}
WEFT_API int nftw(const char* path, __nftw_func_t visit, int descriptors, int flags) {
    return task_files::walk<call::nftw>(path, visit, descriptors, flags);
}
WEFT_API int nftw64(const char* path, __nftw64_func_t visit, int descriptors, int flags) {
    return task_files::walk<call::nftw64>(path, visit, descriptors, flags);
}
WEFT_API FTS* fts_open(char* const* paths, int options, int (*compare)(const FTSENT**, const FTSENT**)) {
    return task_files::open_walk<call::fts_open>(paths, options, compare);
}
WEFT_API FTS64* fts64_open(char* const* paths, int options, int (*compare)(const FTSENT64**, const FTSENT64**)) {
    return task_files::open_walk<call::fts64_open>(paths, options, compare);
}
WEFT_API FTSENT* fts_read(FTS* all) { return task_files::go_on<call::fts_read>(all); }
WEFT_API FTSENT64* fts64_read(FTS64* all) { return task_files::go_on<call::fts64_read>(all); }
WEFT_API FTSENT* fts_children(FTS* all, int options) { return task_files::go_on<call::fts_children>(all, options); }
WEFT_API FTSENT64* fts64_children(FTS64* all, int options) { return task_files::go_on<call::fts64_children>(all, options); }
WEFT_API int scandirat(int directory, const char* path, dirent*** out, int (*wanted)(const dirent*),
                       int (*compare)(const dirent**, const dirent**)) {
    return task_files::scan_at<call::scandirat>(directory, path, out, wanted, compare);
}
WEFT_API int scandirat64(int directory, const char* path, dirent64*** out, int (*wanted)(const dirent64*),
                         int (*compare)(const dirent64**, const dirent64**)) {
    return task_files::scan_at<call::scandirat64>(directory, path, out, wanted, compare);
}

} // extern "C"
