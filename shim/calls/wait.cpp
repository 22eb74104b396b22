// SPDX-License-Identifier: Apache-2.0
#include "calls/wait.hpp"

#include "core/real.hpp"
#include "core/sys.hpp"

#include <cstring>

#include <sys/uio.h>

#if __has_include(<valgrind/memcheck.h>)
#include <valgrind/memcheck.h>
#define WEFT_MEMCHECK 1
#else
#define WEFT_MEMCHECK 0
#endif

namespace weft::shim {

int refused_wait() noexcept {
    const int error = rt::interruption_errno(true);
    if (error == 0) return 0;
    rt::yield_quietly(); // a library that retries for ever must not hold the hub
    return error;
}

namespace {

bool is_ready(int fd, std::uint32_t events) noexcept {
    pollfd p{fd, static_cast<short>(events), 0}; // EPOLLIN and POLLIN are the same number, and so on
    return real().poll(&p, 1, 0) > 0;
}

} // namespace

bool await(int fd, std::uint32_t events, deadline d, int timeout_errno, bool restarts, rt::fd_history since) noexcept {
    signals::wait signals;
    if (const int error = refused_wait(); error != 0) {
        errno = error;
        return false;
    }
    const int saved_errno = errno;
    rt::this_thread_state.running->touched[1] = &descriptor::of(fd);
    const rt::fd_wake woken = rt::readiness::wait(fd, events, d, false, since);
    const int wait_errno = errno;
    const bool eintr = signals.interrupted(restarts);
    errno = saved_errno;
    switch (woken) {
    case rt::fd_wake::ready:
        if (!eintr || is_ready(fd, events)) return true;
        errno = EINTR;
        return false;
    case rt::fd_wake::deadline: errno = timeout_errno; return false;
    case rt::fd_wake::closed: errno = EBADF; return false;
    case rt::fd_wake::cancelled: errno = ECANCELED; return false;
    case rt::fd_wake::failed: errno = wait_errno; return false;
    case rt::fd_wake::interrupted: break;
    }
    const int error = rt::interruption_errno(true);
    if (error == 0 && (!eintr || is_ready(fd, events))) return true;
    errno = error == 0 ? EINTR : error;
    return false;
}

namespace {

/// By the kernel, which fails where we should crash.
bool copy(long number, void* mine_at, void* theirs_at, std::size_t size, void* to, const void* from) noexcept {
    const iovec mine{mine_at, size};
    const iovec theirs{theirs_at, size};
    const long n = rt::sys::call(number, rt::sys::getpid(), rt::sys::arg(&mine), 1, rt::sys::arg(&theirs), 1, 0);
    if (n == static_cast<long>(size)) return true;
    if (n >= 0 || n == -EFAULT) {
        errno = EFAULT;
        return false;
    }
    std::memcpy(to, from, size); // the call is forbidden here
    return true;
}

} // namespace

bool copy_from_caller(void* to, const void* from, std::size_t size) noexcept {
    return copy(SYS_process_vm_readv, to, const_cast<void*>(from), size, to, from);
}

bool copy_to_caller(void* to, const void* from, std::size_t size) noexcept {
    if (!copy(SYS_process_vm_writev, const_cast<void*>(from), to, size, to, from)) return false;
#if WEFT_MEMCHECK
    (void)VALGRIND_MAKE_MEM_DEFINED(to, size); // it takes that call for one about another process
#endif
    return true;
}

} // namespace weft::shim
