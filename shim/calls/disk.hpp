// SPDX-License-Identifier: Apache-2.0
#pragma once

// Calls that wait for the disk alone. On a fiber they are made on a kernel thread, so that the others run on; neither a kill nor a
// time-out makes them fail (invariant 7: regular files never do).

#include "calls/wait.hpp"
#include "core/real.hpp"

#include "work/kernel_call.hpp"

#include <sys/mman.h>

namespace weft::shim::disk {

/// Makes `call()` on a kernel thread, or here where none can be had.
template <class F>
auto apart(F call) noexcept -> decltype(call()) {
    struct {
        F& call;
        decltype(call()) result;
        int error;
    } job{call, {}, errno};
    const signals::wait signals; // handlers run when the call is over
    const rt::no_interruption unbroken;
    auto work = [](void* p) noexcept {
        auto& j = *static_cast<decltype(job)*>(p);
        errno = j.error;
        do j.result = j.call();
        while (j.result == static_cast<decltype(j.result)>(-1) && errno == EINTR);
        j.error = errno;
    };
    if (!rt::run_on_kernel_thread(work, &job)) work(&job);
    errno = job.error;
    return job.result;
}

inline int fsync(int fd) noexcept {
    return apart([=]() noexcept { return real().fsync(fd); });
}
inline int fdatasync(int fd) noexcept {
    return apart([=]() noexcept { return real().fdatasync(fd); });
}
inline int syncfs(int fd) noexcept {
    return apart([=]() noexcept { return real().syncfs(fd); });
}
inline void sync() noexcept {
    apart([]() noexcept { return real().sync(), 0; });
}
inline int sync_file_range(int fd, off64_t offset, off64_t size, unsigned flags) noexcept {
    return apart([=]() noexcept { return real().sync_file_range(fd, offset, size, flags); });
}
inline int msync(void* address, std::size_t size, int flags) noexcept {
    if ((flags & MS_SYNC) == 0) return real().msync(address, size, flags);
    return apart([=]() noexcept { return real().msync(address, size, flags); });
}
/// Both are regular files, or it fails; a little is copied at once.
inline ssize_t copy_file_range(int in, off64_t* in_offset, int out, off64_t* out_offset, std::size_t size, unsigned flags) noexcept {
    constexpr std::size_t little = 128 << 10;
    if (size <= little) return real().copy_file_range(in, in_offset, out, out_offset, size, flags);
    return apart([=]() noexcept { return real().copy_file_range(in, in_offset, out, out_offset, size, flags); });
}

} // namespace weft::shim::disk
