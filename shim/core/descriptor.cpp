// SPDX-License-Identifier: Apache-2.0
#include "core/descriptor.hpp"

#include "threads/task_text.hpp"

#include "core/private_fd.hpp"
#include "core/readiness.hpp"
#include "core/sys.hpp"
#include "core/thread_state.hpp"

#include <atomic>
#include <cerrno>
#include <new>
#include <string_view>

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/time.h>

namespace weft::shim {

constinit std::atomic<std::uint32_t> weft_children_begun{1};

namespace {

constexpr int chunk_records = 1024;
constexpr int chunk_count = 1 << 14;
constinit std::atomic<descriptor*> chunks[chunk_count];
constinit std::atomic<bool> marks_set{false};

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

std::int64_t socket_timeout_us(int fd, int option) noexcept {
    timeval t{};
    socklen_t size = sizeof t;
    if (rt::sys::call(SYS_getsockopt, fd, SOL_SOCKET, option, rt::sys::arg(&t), rt::sys::arg(&size)) != 0) return 0;
    return t.tv_sec * std::int64_t{1'000'000} + t.tv_usec;
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
    shut = made_here_ = urgent_ = false;
    private_in_ = 0;
    forget_settings();
    emptied_at_.store(1, std::memory_order_relaxed);
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
    case S_IFREG: return kind_ = task_text::is_name(fd, s) ? fd_kind::name : fd_kind::plain;
    case S_IFDIR:
    case S_IFBLK: return kind_ = fd_kind::plain;
    case S_IFCHR:
        if (never_waits(s.st_rdev)) return kind_ = fd_kind::plain;
        kind_ = fd_kind::nowait;
        return downgrade(fd);
    default: return kind_ = fd_kind::nowait;
    }
}

namespace {

/// /proc/self/fd/N.
class fd_path {
public:
    explicit fd_path(int fd) noexcept {
        char digits[12];
        char* d = digits + sizeof digits;
        unsigned n = static_cast<unsigned>(fd);
        do *--d = static_cast<char>('0' + n % 10);
        while ((n /= 10) != 0);
        char* p = path_ + 14;
        while (d != digits + sizeof digits) *p++ = *d++;
    }
    [[nodiscard]] const char* get() const noexcept { return path_; }

private:
    char path_[32] = "/proc/self/fd/";
};

/// What is made of nothing (inotify, an older kernel's timerfd) can be read by any kernel thread, but for a signalfd: that is the reader's own.
bool any_thread_may_read(int fd, const struct stat& s) noexcept {
    constexpr std::string_view nothing = "anon_inode:";
    char name[40] = {};
    if ((s.st_mode & S_IFMT) != 0) return false;
    const long size = rt::sys::call(SYS_readlink, rt::sys::arg(fd_path(fd).get()), rt::sys::arg(name), sizeof name);
    const std::string_view found(name, size < 0 ? 0 : static_cast<std::size_t>(size));
    return found.starts_with(nothing) && found.find("signalfd") == std::string_view::npos;
}

} // namespace

fd_kind descriptor::downgrade(int fd) noexcept {
    const int saved_errno = errno;
    struct stat s{};
    kind_ = fd_kind::polled;
    const bool known = ::fstat(fd, &s) == 0;
    if (known && (S_ISFIFO(s.st_mode) || (S_ISCHR(s.st_mode) && is_terminal(s.st_rdev)))) {
        const long flags = rt::sys::call(SYS_fcntl, fd, F_GETFL);
        const long own = flags < 0 ? flags
                                   : rt::sys::call(SYS_openat, AT_FDCWD, rt::sys::arg(fd_path(fd).get()),
                                                   (flags & O_ACCMODE) | O_NONBLOCK | O_CLOEXEC | O_NOCTTY, 0);
        if (own >= 0) {
            own_ = rt::make_private(static_cast<int>(own));
            kind_ = S_ISCHR(s.st_mode) ? fd_kind::terminal : fd_kind::reopened;
        }
    } else if (known && any_thread_may_read(fd, s)) {
        kind_ = fd_kind::handed;
    }
    errno = saved_errno;
    return kind_;
}

int descriptor::low_water_mark(int fd) noexcept {
    if (made_here_ && !marks_set.load(std::memory_order_relaxed)) return 1;
    return static_cast<int>(get(low_water_mark_, [=]() noexcept -> std::int64_t {
        int mark = 1;
        socklen_t size = sizeof mark;
        rt::sys::call(SYS_getsockopt, fd, SOL_SOCKET, SO_RCVLOWAT, rt::sys::arg(&mark), rt::sys::arg(&size));
        return mark;
    }));
}

/// TCP without a protocol on top (TLS in the kernel, Multipath TCP), whose records end a receiving call.
bool descriptor::is_plain_tcp(int fd) noexcept {
    return get(plain_tcp_, [=]() noexcept -> std::int64_t {
        char name[16];
        socklen_t size = sizeof name;
        return rt::sys::call(SYS_getsockopt, fd, IPPROTO_TCP, TCP_ULP, rt::sys::arg(name), rt::sys::arg(&size)) == 0 && size == 0;
    }) != 0;
}

void descriptor::low_water_mark_set() noexcept { marks_set.store(true, std::memory_order_relaxed); }

void descriptor::opened(int fd) noexcept {
    if (fd < 0 || rt::in_vforked_child()) return;
    rt::readiness::opened(fd);
    descriptor& d = of(fd);
    d.reset();
    d.made_here_ = true;
    d.private_in_ = weft_children_begun.load(std::memory_order_relaxed);
}

void descriptor::closing(int fd) noexcept {
    if (rt::in_vforked_child()) return;
    rt::readiness::closing(fd);
    if (descriptor* d = find(fd)) d->reset();
}

void descriptor::closing(int first, int last) noexcept {
    if (rt::in_vforked_child()) return;
    rt::readiness::closing(first, last);
    for (std::int64_t fd = first < 0 ? 0 : first; fd <= last && fd < chunk_records * chunk_count; ++fd) {
        const auto number = static_cast<int>(fd);
        if (descriptor* d = find(number)) d->reset();
        else fd |= chunk_records - 1;
    }
}

void descriptor::received(int fd) noexcept {
    if (fd < 0 || rt::in_vforked_child()) return;
    opened(fd);
    of(fd).made_here_ = false;
    of(fd).private_in_ = 0;
}

void descriptor::duplicated(int original, int fd) noexcept {
    if (fd < 0 || rt::in_vforked_child()) return;
    descriptor* const d = find(original);
    const bool made_here = d != nullptr && d->made_here_;
    if (d != nullptr) d->private_in_ = 0; // from now on it has two names
    opened(fd);
    of(fd).made_here_ = made_here;
    of(fd).private_in_ = 0;
}

void descriptor::passed_on(int fd) noexcept {
    if (descriptor* d = find(fd)) d->private_in_ = 0;
}

void descriptor::takes_urgent(int fd) noexcept {
    if (rt::in_vforked_child()) return;
    descriptor& d = of(fd);
    d.urgent_ = true;
    d.emptied_at_.store(1, std::memory_order_relaxed);
}

void descriptor::child_begins() noexcept { weft_children_begun.fetch_add(1, std::memory_order_relaxed); }

void descriptor::forget_settings() noexcept {
    nonblocking_.forget();
    receive_us_.forget();
    send_us_.forget();
    low_water_mark_.forget();
    plain_tcp_.forget();
}

void descriptor::changed(int fd) noexcept {
    if (rt::in_vforked_child()) return;
    if (descriptor* d = find(fd)) d->forget_settings();
}

bool descriptor::is_nonblocking(int fd) noexcept {
    return get(nonblocking_, [=]() noexcept -> std::int64_t {
        const long flags = rt::sys::call(SYS_fcntl, fd, F_GETFL);
        return flags < 0 ? 0 : (flags & O_NONBLOCK) != 0;
    }) != 0;
}

std::int64_t descriptor::receive_timeout(int fd) noexcept {
    return get(receive_us_, [=]() noexcept { return socket_timeout_us(fd, SO_RCVTIMEO); }) * 1000;
}

std::int64_t descriptor::send_timeout(int fd) noexcept {
    return get(send_us_, [=]() noexcept { return socket_timeout_us(fd, SO_SNDTIMEO); }) * 1000;
}

} // namespace weft::shim
