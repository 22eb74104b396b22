// SPDX-License-Identifier: Apache-2.0
#pragma once

// How a served call waits: the part that all families share.

#include "core/descriptor.hpp"
#include "core/gate.hpp"
#include "core/signals.hpp"
#include "core/interruption.hpp"
#include "core/readiness.hpp"

#include <weft/deadline.hpp>

#include <cerrno>
#include <cstdint>

#include <sys/epoll.h>

namespace weft::shim {

/// Sets errno and says -1.
inline int fail(int error) noexcept {
    errno = error;
    return -1;
}

/// A call that succeeds leaves errno alone, whatever its attempts said before.
class errno_of_success {
public:
    template <class T>
    T operator()(T result) const noexcept {
        errno = saved_;
        return result;
    }

private:
    int saved_ = errno;
};

/// A call that would have to wait, in a fiber that is killed or timed out: yields, then says how the call must fail
/// (ECANCELED, ETIMEDOUT). 0: go on and wait (invariant 7).
int refused_wait() noexcept;

/// Waits until the descriptor may be ready. False: the call fails with errno (`timeout_errno` past the deadline, EBADF when it is
/// closed meanwhile, ECANCELED or ETIMEDOUT when the fiber is interrupted, EINTR after a signal). `restarts`: handlers installed with
/// SA_RESTART let the call go on; on Linux that holds for calls that have moved nothing yet and have no time limit.
/// `since`: what the descriptor's history was before the attempt that found nothing.
bool await(int fd, std::uint32_t events, deadline d, int timeout_errno, bool restarts, rt::fd_history since = rt::any_history) noexcept;

/// Copies what a caller's pointer points at as the kernel would: false (EFAULT) where nothing can be read.
bool copy_from_caller(void* to, const void* from, std::size_t size) noexcept;
/// The other way: false (EFAULT) where nothing can be written.
bool copy_to_caller(void* to, const void* from, std::size_t size) noexcept;

/// SO_RCVTIMEO or SO_SNDTIMEO as a deadline; 0 is never.
inline deadline after(std::int64_t timeout_ns) noexcept {
    return timeout_ns == 0 ? deadline() : deadline(std::chrono::nanoseconds(timeout_ns));
}

} // namespace weft::shim
