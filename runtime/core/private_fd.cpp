// SPDX-License-Identifier: Apache-2.0
#include "core/private_fd.hpp"

#include "core/sanitizer.hpp"
#include "core/sys.hpp"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cerrno>
#include <climits>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

namespace weft::rt {

namespace {

// One bit a descriptor number; a number past the table is not protected.
constexpr int bits = 1 << 20;
constinit std::atomic<std::uint64_t> ours[bits / 64];

void mark(int fd, bool on) noexcept {
    if (fd < 0 || fd >= bits) return;
    const std::uint64_t bit = std::uint64_t{1} << (fd % 64);
    if (on) ours[fd / 64].fetch_or(bit, std::memory_order_relaxed);
    else ours[fd / 64].fetch_and(~bit, std::memory_order_relaxed);
}

/// TSan follows descriptors from call to call and must see that a number is free again.
void close_number(int fd) noexcept {
    if constexpr (sanitizer::tsan) ::close(fd);
    else sys::close(fd);
}

constexpr rlim_t most_below = 16384; // a higher number would make the kernel's table of descriptors long

long dup_from(int fd, rlim_t first) noexcept { return sys::call(SYS_fcntl, fd, F_DUPFD_CLOEXEC, static_cast<long>(first)); }

constinit std::atomic<bool> busy{false}, raised{false};
constinit rlimit limit_before{}; // while it is raised

/// Above the soft limit, where the program can neither name a descriptor of its own nor miss one that ours take: for the moment of the
/// call the limit is higher. -1: there is no such room, or another thread is about it.
long dup_above(int fd, const rlimit& limit) noexcept {
    constexpr rlim_t room = 1024;
    if (limit.rlim_cur > most_below || limit.rlim_max - limit.rlim_cur < room || busy.exchange(true, std::memory_order_acquire)) return -1;
    limit_before = limit;
    raised.store(true, std::memory_order_release);
    const rlimit higher{limit.rlim_cur + room, limit.rlim_max};
    long moved = -1;
    if (sys::call(SYS_prlimit64, 0, RLIMIT_NOFILE, sys::arg(&higher), 0) == 0) {
        moved = dup_from(fd, limit.rlim_cur);
        sys::call(SYS_prlimit64, 0, RLIMIT_NOFILE, sys::arg(&limit), 0);
    }
    raised.store(false, std::memory_order_release);
    busy.store(false, std::memory_order_release);
    return moved;
}

/// Else the upper eighth of what is allowed, at most 65,536 up; where that is little, as high as may be.
long move_up(int fd) noexcept {
    rlimit limit{};
    if (sys::call(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, sys::arg(&limit)) != 0) limit.rlim_cur = limit.rlim_max = 1024;
    if (const long moved = dup_above(fd, limit); moved >= 0) return moved;
    const rlim_t soft = std::min<rlim_t>(limit.rlim_cur, 65536), eighth = soft - soft / 8;
    if (eighth > 64) return dup_from(fd, eighth);
    for (rlim_t at = soft; at-- > static_cast<rlim_t>(fd) + 1;)
        if (const long moved = dup_from(fd, at); moved >= 0) return moved;
    return -1;
}

} // namespace

void private_fds_after_fork() noexcept {
    if (raised.load(std::memory_order_acquire)) sys::call(SYS_prlimit64, 0, RLIMIT_NOFILE, sys::arg(&limit_before), 0);
    raised.store(false, std::memory_order_relaxed);
    busy.store(false, std::memory_order_relaxed);
}

int make_private(int fd) noexcept {
    if (fd < 0) return fd;
    const int saved_errno = errno;
    const long moved = move_up(fd);
    if (moved >= 0) {
        mark(fd, false);
        close_number(fd);
        fd = static_cast<int>(moved);
    }
    errno = saved_errno;
    mark(fd, true);
    return fd;
}

bool private_fds_fit(int hubs) noexcept {
    rlimit limit{};
    if (sys::call(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, sys::arg(&limit)) != 0 || limit.rlim_cur >= bits) return true;
    if (next_private(static_cast<int>(limit.rlim_cur)) != INT_MAX) return true; // above the limit
    constexpr rlim_t of_hub = 4; // its set, its timer, what rouses it, and one that it may need for accept
    return static_cast<rlim_t>(hubs) * of_hub <= limit.rlim_cur / 4;
}

void forget_private(int& fd) noexcept {
    if (fd < 0) return;
    mark(fd, false);
    close_number(fd);
    fd = -1;
}

bool is_private(int fd) noexcept {
    return fd >= 0 && fd < bits &&
           (ours[fd / 64].load(std::memory_order_relaxed) >> (fd % 64) & 1) != 0;
}

int next_private(int fd) noexcept {
    if (fd < 0) fd = 0;
    if (fd >= bits) return INT_MAX;
    std::uint64_t word = ours[fd / 64].load(std::memory_order_relaxed) & ~std::uint64_t{0} << (fd % 64);
    for (int i = fd / 64;;) {
        if (word != 0) return i * 64 + std::countr_zero(word);
        if (++i == bits / 64) return INT_MAX;
        word = ours[i].load(std::memory_order_relaxed);
    }
}

} // namespace weft::rt
