// SPDX-License-Identifier: Apache-2.0
#include "core/private_fd.hpp"

#include "core/sanitizer.hpp"
#include "core/sys.hpp"

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

/// Where ours lie: the upper eighth of what the soft limit allows, at most 65,536 up.
int high_ground() noexcept {
    rlimit limit{};
    long soft = 1024;
    if (sys::call(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, sys::arg(&limit)) == 0)
        soft = limit.rlim_cur > 65536 ? 65536 : static_cast<long>(limit.rlim_cur);
    return static_cast<int>(soft - soft / 8 > 64 ? soft - soft / 8 : 0);
}

} // namespace

int make_private(int fd) noexcept {
    if (fd < 0) return fd;
    const long moved = sys::call(SYS_fcntl, fd, F_DUPFD_CLOEXEC, high_ground());
    if (moved >= 0) {
        mark(fd, false);
        close_number(fd);
        fd = static_cast<int>(moved);
    }
    mark(fd, true);
    return fd;
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
