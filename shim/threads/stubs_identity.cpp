// SPDX-License-Identifier: Apache-2.0
// Who the process is: libc has all of its threads make the system call, and holds a lock of its own until each has answered. So nothing of that is
// trapped, and the fiber that asks does not let others run meanwhile: one of them might want the lock.
#include "core/serve.hpp"

#include <weft/export.hpp>

#include <grp.h>
#include <unistd.h>

using weft::shim::call;
using weft::shim::real;
using weft::shim::serve;

extern "C" {

WEFT_API int setuid(uid_t user) noexcept { return serve<call::setuid>(real().setuid, user); }
WEFT_API int setgid(gid_t group) noexcept { return serve<call::setgid>(real().setgid, group); }
WEFT_API int seteuid(uid_t user) noexcept { return serve<call::seteuid>(real().seteuid, user); }
WEFT_API int setegid(gid_t group) noexcept { return serve<call::setegid>(real().setegid, group); }
WEFT_API int setreuid(uid_t user, uid_t effective) noexcept { return serve<call::setreuid>(real().setreuid, user, effective); }
WEFT_API int setregid(gid_t group, gid_t effective) noexcept { return serve<call::setregid>(real().setregid, group, effective); }
WEFT_API int setresuid(uid_t user, uid_t effective, uid_t saved) noexcept {
    return serve<call::setresuid>(real().setresuid, user, effective, saved);
}
WEFT_API int setresgid(gid_t group, gid_t effective, gid_t saved) noexcept {
    return serve<call::setresgid>(real().setresgid, group, effective, saved);
}
WEFT_API int setgroups(std::size_t count, const gid_t* groups) noexcept { return serve<call::setgroups>(real().setgroups, count, groups); }

} // extern "C"
