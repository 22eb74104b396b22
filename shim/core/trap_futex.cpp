// SPDX-License-Identifier: Apache-2.0
#include "core/trap_futex.hpp"

#include "calls/blocking.hpp"
#include "core/sys.hpp"

#include <cstdint>

#include <linux/futex.h>

namespace weft::shim::trap {

namespace {

int operation_of(const syscalls::arguments& a) noexcept {
    return static_cast<int>(a[1]) & ~(FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME);
}

/// libc's own locks hold 2 while somebody waits for them, and are waited for without end.
bool is_lock_of_libc(const syscalls::arguments& a) noexcept {
    return operation_of(a) == FUTEX_WAIT && static_cast<std::uint32_t>(a[2]) == 2 && a[3] == 0;
}

} // namespace

bool waits_for_word(const syscalls::arguments& a) noexcept {
    if (!gate::open(family::locks)) return false;
    return operation_of(a) == FUTEX_WAIT || operation_of(a) == FUTEX_WAIT_BITSET;
}

long wait_for_word(const syscalls::arguments& a) noexcept {
    const auto call = [=]() noexcept {
        const long result = rt::sys::call(SYS_futex, a[0], a[1], a[2], a[3], a[4], a[5]);
        return result < 0 ? fail(static_cast<int>(-result)) : 0;
    };
    const auto here = [&] { return call() == 0 ? 0L : static_cast<long>(-errno); }; // the kernel says what is wrong, and does not wait
    std::uint32_t now = 0;
    timespec limit{};
    if (a[0] % static_cast<long>(sizeof now) != 0) return here();
    if (!copy_from_caller(&now, reinterpret_cast<const void*>(a[0]), sizeof now)) return here();
    if (a[3] != 0 && (!copy_from_caller(&limit, reinterpret_cast<const void*>(a[3]), sizeof limit) || limit.tv_sec < 0 ||
                      limit.tv_nsec < 0 || limit.tv_nsec >= 1'000'000'000))
        return here();
    if (now != static_cast<std::uint32_t>(a[2])) return -EAGAIN;
    if (is_lock_of_libc(a)) {
        const rt::no_interruption until_it_is_ours;
        return rt::on_kernel_thread(call) == 0 ? 0 : -errno;
    }
    if (blocking_call(a[3] == 0, call) == 0) return 0;
    return errno == ECANCELED || (errno == ETIMEDOUT && a[3] == 0) ? -EINTR : -errno;
}

} // namespace weft::shim::trap
