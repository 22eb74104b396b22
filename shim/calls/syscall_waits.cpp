// SPDX-License-Identifier: Apache-2.0
// Waiting, where the kernel's interface is not libc's.
#include "calls/syscall_families.hpp"

#include "calls/poll.hpp"
#include "calls/signal_wait.hpp"
#include "calls/syscall_policy.hpp"
#include "calls/time.hpp"
#include "calls/wait.hpp"
#include "threads/futex.hpp"

#include <chrono>

#include <sys/syscall.h>

namespace weft::shim::syscalls {

namespace {

bool fits(long mask, long size) noexcept { return mask == 0 || size == mask_size; }

/// The kernel writes back what is left of a time-out; where it cannot, it says nothing.
class time_left {
public:
    explicit time_left(long timeout) noexcept : to_(from_register<timespec*>(timeout)), start_(std::chrono::steady_clock::now()) {
        const int saved_errno = errno;
        used_ = to_ != nullptr && copy_from_caller(&whole_, to_, sizeof whole_) && (whole_.tv_sec != 0 || whole_.tv_nsec != 0);
        errno = saved_errno;
    }
    /// Passes a result on.
    long operator()(long result) const noexcept {
        if (!used_ || result == -EINVAL || result == -EFAULT) return result;
        const std::int64_t gone = std::chrono::nanoseconds(std::chrono::steady_clock::now() - start_).count();
        constexpr std::int64_t second = 1'000'000'000;
        timespec rest{whole_.tv_sec - gone / second, whole_.tv_nsec - gone % second};
        if (rest.tv_nsec < 0) {
            rest.tv_nsec += second;
            --rest.tv_sec;
        }
        if (rest.tv_sec < 0) rest = {};
        const errno_of_success success;
        copy_to_caller(to_, &rest, sizeof rest);
        return success(result);
    }

private:
    timespec* const to_;
    const std::chrono::steady_clock::time_point start_;
    timespec whole_{};
    bool used_ = false;
};

} // namespace

long ppoll(const arguments& a) noexcept {
    if (!fits(a[3], a[4])) return make(SYS_ppoll, a); // it will say what is wrong
    const time_left left(a[2]);
    return left(plain<polling::ppoll>(a));
}

long pselect6(const arguments& a) noexcept {
    struct {
        long mask, size;
    } pair{};
    const bool readable = a[5] == 0 || copy_from_caller(&pair, from_register<const void*>(a[5]), sizeof pair);
    if (!readable || !fits(pair.mask, pair.size)) return make(SYS_pselect6, a);
    const time_left left(a[4]);
    return left(plain<polling::pselect>({{a[0], a[1], a[2], a[3], a[4], pair.mask}}));
}

long epoll_pwait(const arguments& a) noexcept {
    return fits(a[4], a[5]) ? plain<polling::epoll_pwait>(a) : make(SYS_epoll_pwait, a);
}

long epoll_pwait2(const arguments& a) noexcept {
    return fits(a[4], a[5]) ? plain<polling::epoll_pwait2>(a) : make(SYS_epoll_pwait2, a);
}

long rt_sigsuspend(const arguments& a) noexcept { return a[1] == mask_size ? plain<signal_wait::suspend>(a) : make(SYS_rt_sigsuspend, a); }

long rt_sigtimedwait(const arguments& a) noexcept {
    return a[3] == mask_size ? plain<signal_wait::timed_wait_by_number>(a) : make(SYS_rt_sigtimedwait, a);
}

/// Locks have one protocol for fibers and threads, so these are served everywhere.
long futex(const arguments& a) noexcept {
    return futex::serve(from_register<std::uint32_t*>(a[0]), static_cast<int>(a[1]), static_cast<std::uint32_t>(a[2]),
                        from_register<const timespec*>(a[3]), from_register<std::uint32_t*>(a[4]), static_cast<std::uint32_t>(a[5]));
}

long futex_waitv(const arguments& a) noexcept {
    return futex::serve_waitv(from_register<const void*>(a[0]), static_cast<unsigned>(a[1]), static_cast<unsigned>(a[2]),
                              from_register<const timespec*>(a[3]), static_cast<clockid_t>(a[4]));
}

/// libc's function returns the error, and has one word for what the kernel tells apart.
long clock_nanosleep(const arguments& a) noexcept {
    const long error = apply(time::clock_nanosleep, a);
    return error == EINVAL ? make(SYS_clock_nanosleep, a) : -error;
}

} // namespace weft::shim::syscalls
