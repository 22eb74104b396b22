// SPDX-License-Identifier: Apache-2.0
#include "calls/open.hpp"

#include "calls/blocking.hpp"
#include "core/real.hpp"
#include "core/sys.hpp"

#include <cerrno>

#include <sys/stat.h>
#include <sys/sysmacros.h>

namespace weft::shim::opening {

namespace {

/// Memory devices, a process's own terminal and pseudo-terminals are there at once; what else a device waits for nobody can know.
bool is_instant(dev_t device) noexcept {
    const unsigned m = major(device);
    return m == 1 || m == 5 || (m >= 136 && m <= 143);
}

bool may_wait(int directory, const char* path, int flags) noexcept {
    if ((flags & (O_NONBLOCK | O_PATH | O_DIRECTORY)) != 0 || (flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL)) return false;
    struct stat s{};
    const int follow = (flags & O_NOFOLLOW) != 0 ? AT_SYMLINK_NOFOLLOW : 0;
    if (rt::sys::call(SYS_newfstatat, directory, rt::sys::arg(path), rt::sys::arg(&s), follow) != 0) return false;
    if (S_ISFIFO(s.st_mode)) return (flags & O_ACCMODE) != O_RDWR;
    return S_ISCHR(s.st_mode) && !is_instant(s.st_rdev);
}

} // namespace

int openat(int directory, const char* path, int flags, mode_t mode) noexcept {
    if (!may_wait(directory, path, flags)) return real().openat(directory, path, flags, mode);
    return blocking_call(true, [=]() noexcept { return real().openat(directory, path, flags, mode); });
}

} // namespace weft::shim::opening
