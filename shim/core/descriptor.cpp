// SPDX-License-Identifier: Apache-2.0
#include "core/descriptor.hpp"

#include "core/private_fd.hpp"
#include "core/readiness.hpp"
#include "core/sys.hpp"

#include <atomic>
#include <cerrno>
#include <new>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/time.h>

namespace weft::shim {

namespace {

constexpr int chunk_records = 1024;
constexpr int chunk_count = 1 << 14;
constinit std::atomic<descriptor*> chunks[chunk_count];
constinit std::atomic<std::uint32_t> changes{1};
constinit std::atomic<std::uint32_t> forks{0};

descriptor* find(int fd) noexcept {
    if (fd < 0 || fd >= chunk_records * chunk_count) return nullptr;
    descriptor* chunk = chunks[fd / chunk_records].load(std::memory_order_acquire);
    return chunk == nullptr ? nullptr : chunk + fd % chunk_records;
}

/// A character device that can make its reader wait: terminals, but not a pty's master, which cannot be opened again.
bool is_terminal(dev_t device) noexcept {
    const unsigned m = major(device);
    return m == 4 || (m >= 136 && m <= 143);
}

bool never_waits(dev_t device) noexcept { return major(device) == 1; } // null, zero, full, random …

std::int64_t socket_timeout(int fd, int option) noexcept {
    timeval t{};
    socklen_t size = sizeof t;
    if (::getsockopt(fd, SOL_SOCKET, option, &t, &size) != 0) return 0;
    return t.tv_sec * std::int64_t{1'000'000'000} + t.tv_usec * std::int64_t{1'000};
}

} // namespace

descriptor& descriptor::of(int fd) noexcept {
    if (descriptor* d = find(fd)) return *d;
    thread_local constinit descriptor stranger; // a number out of range: looked at afresh each time
    stranger.reset();
    if (fd < 0 || fd >= chunk_records * chunk_count) return stranger;
    constexpr std::size_t bytes = sizeof(descriptor) * chunk_records;
    void* p = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return stranger;
    auto* made = static_cast<descriptor*>(p);
    for (int i = 0; i < chunk_records; ++i) new (made + i) descriptor();
    descriptor* expected = nullptr;
    if (!chunks[fd / chunk_records].compare_exchange_strong(expected, made, std::memory_order_acq_rel)) {
        ::munmap(p, bytes);
        made = expected;
    }
    return made[fd % chunk_records];
}

void descriptor::reset() noexcept {
    kind_ = fd_kind::unknown;
    nonblocking_ = false;
    seen_ = 0;
    rt::forget_private(own_);
}

fd_kind descriptor::kind(int fd) noexcept {
    if (kind_ != fd_kind::unknown) return kind_;
    const int saved_errno = errno;
    struct stat s{};
    if (::fstat(fd, &s) != 0) {
        errno = saved_errno;
        return fd_kind::unknown;
    }
    errno = saved_errno;
    switch (s.st_mode & S_IFMT) {
    case S_IFSOCK: return kind_ = fd_kind::socket;
    case S_IFREG:
    case S_IFDIR:
    case S_IFBLK: return kind_ = fd_kind::plain;
    case S_IFCHR:
        if (never_waits(s.st_rdev)) return kind_ = fd_kind::plain;
        kind_ = fd_kind::nowait;
        return downgrade(fd);
    default: return kind_ = fd_kind::nowait;
    }
}

fd_kind descriptor::downgrade(int fd) noexcept {
    const int saved_errno = errno;
    struct stat s{};
    kind_ = fd_kind::polled;
    if (::fstat(fd, &s) == 0 && (S_ISFIFO(s.st_mode) || (S_ISCHR(s.st_mode) && is_terminal(s.st_rdev)))) {
        const long flags = rt::sys::call(SYS_fcntl, fd, F_GETFL);
        char path[32] = "/proc/self/fd/";
        char digits[12];
        char* d = digits + sizeof digits;
        unsigned n = static_cast<unsigned>(fd);
        do *--d = static_cast<char>('0' + n % 10);
        while ((n /= 10) != 0);
        char* p = path + 14;
        while (d != digits + sizeof digits) *p++ = *d++;
        const long own = flags < 0 ? flags
                                   : rt::sys::call(SYS_openat, AT_FDCWD, rt::sys::arg(path),
                                                   (flags & O_ACCMODE) | O_NONBLOCK | O_CLOEXEC | O_NOCTTY, 0);
        if (own >= 0) {
            own_ = rt::make_private(static_cast<int>(own));
            kind_ = fd_kind::reopened;
        }
    }
    errno = saved_errno;
    return kind_;
}

bool descriptor::current() const noexcept {
    return seen_ == changes.load(std::memory_order_acquire) && born_ == forks.load(std::memory_order_relaxed) + 1;
}

void descriptor::look(int fd) noexcept {
    if (current()) return;
    const int saved_errno = errno;
    const std::uint32_t now = changes.load(std::memory_order_acquire);
    const long flags = rt::sys::call(SYS_fcntl, fd, F_GETFL);
    nonblocking_ = flags >= 0 && (flags & O_NONBLOCK) != 0;
    if (kind(fd) == fd_kind::socket) {
        receive_timeout_ = socket_timeout(fd, SO_RCVTIMEO);
        send_timeout_ = socket_timeout(fd, SO_SNDTIMEO);
    }
    seen_ = now;
    errno = saved_errno;
}

bool descriptor::is_nonblocking(int fd) noexcept {
    look(fd);
    return nonblocking_;
}

std::int64_t descriptor::receive_timeout(int fd) noexcept {
    look(fd);
    return receive_timeout_;
}

std::int64_t descriptor::send_timeout(int fd) noexcept {
    look(fd);
    return send_timeout_;
}

void descriptor::opened(int fd) noexcept {
    if (fd < 0) return;
    rt::readiness::opened(fd);
    descriptor& d = of(fd);
    d.reset();
    d.born_ = forks.load(std::memory_order_relaxed) + 1;
}

void descriptor::closing(int fd) noexcept {
    rt::readiness::closing(fd);
    if (descriptor* d = find(fd)) {
        d->reset();
        d->born_ = 0;
    }
}

void settings_changed() noexcept { changes.fetch_add(1, std::memory_order_acq_rel); }

void descriptors_after_fork() noexcept { forks.fetch_add(1, std::memory_order_relaxed); }

} // namespace weft::shim
