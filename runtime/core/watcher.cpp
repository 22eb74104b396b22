// SPDX-License-Identifier: Apache-2.0
#include "core/watcher.hpp"

#include "core/log.hpp"
#include "core/private_fd.hpp"
#include "core/readiness.hpp"
#include "core/registry.hpp"
#include "core/sys.hpp"
#include "core/thread_state.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <mutex>
#include <new>
#include <system_error>

#include <ev.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/timerfd.h>
#include <unistd.h>

// libev's name for stderr (see CMakeLists.txt).
extern "C" {
[[gnu::visibility("hidden")]] extern FILE* weft_libev_stderr;
constinit FILE* weft_libev_stderr = nullptr;
}

namespace weft::rt {

struct watcher::watchers {
    ev_io timer;
    ev_io wake;
};

namespace {

/// libev's allocator, on pages of our own: the program's malloc may itself enter intercepted calls. libev allocates a few
/// small arrays per loop.
struct block_header {
    std::size_t bytes;
};

// libev aborts where it gets no memory, so there is a little for when the system has none; what is taken is not given back.
constexpr std::size_t reserve_bytes = 64 * 1024;
alignas(4096) constinit char reserve[reserve_bytes] = {};
constinit std::atomic<std::size_t> reserve_used{0};

bool is_reserve(const void* p) noexcept {
    return reinterpret_cast<std::uintptr_t>(p) - reinterpret_cast<std::uintptr_t>(reserve) < reserve_bytes;
}

void* take_reserve(std::size_t bytes) noexcept {
    const std::size_t at = reserve_used.fetch_add(bytes, std::memory_order_relaxed);
    if (at + bytes <= reserve_bytes) return reserve + at;
    reserve_used.fetch_sub(bytes, std::memory_order_relaxed);
    return nullptr;
}

void* page_allocator(void* old, long wanted) noexcept {
    auto* header = old == nullptr ? nullptr : static_cast<block_header*>(old) - 2;
    if (wanted <= 0) {
        if (header != nullptr && !is_reserve(header)) ::munmap(header, header->bytes);
        return nullptr;
    }
    const std::size_t bytes = (static_cast<std::size_t>(wanted) + 2 * sizeof(block_header) + 4095) / 4096 * 4096;
    if (header != nullptr && header->bytes == bytes) return old;
    void* p = header == nullptr    ? ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
              : is_reserve(header) ? MAP_FAILED
                                   : ::mremap(header, header->bytes, bytes, MREMAP_MAYMOVE);
    if (p == MAP_FAILED) {
        p = take_reserve(bytes);
        if (p == nullptr) return nullptr;
        if (header != nullptr) {
            std::memcpy(p, header, std::min(header->bytes, bytes));
            if (!is_reserve(header)) ::munmap(header, header->bytes);
        }
    }
    static_cast<block_header*>(p)->bytes = bytes;
    return static_cast<block_header*>(p) + 2;
}

/// What an eventfd or a timerfd has counted.
void take_count(int fd) noexcept {
    std::uint64_t count = 0;
    sys::call(SYS_read, fd, sys::arg(&count), sizeof count);
}

[[noreturn]] void out_of_descriptors(const char* what) {
    throw std::system_error(errno, std::generic_category(), what);
}

/// What the set says of the loop's own descriptors.
constexpr std::uint64_t own_mark = std::uint64_t{readiness::no_generation} << 32;

} // namespace

watcher::watcher() { make(); }

void watcher::make() {
    const inside_weft inside;
    set_fd_ = make_private(::epoll_create1(EPOLL_CLOEXEC));
    timer_fd_ = make_private(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
    if (timer_fd_ >= 0) wake_fd_ = make_private(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (set_fd_ >= 0 && timer_fd_ >= 0 && wake_fd_ >= 0) {
        // libev finds out about the clocks with its first loop, in globals without a lock; and its allocator is one, too.
        const std::lock_guard hold(hub_registry::lock());
        weft_libev_stderr = stderr;
        ::ev_set_allocator(page_allocator);
        loop_ = ::ev_loop_new(unsigned{EVBACKEND_POLL} | unsigned{EVFLAG_NOENV}); // never asked: it has no descriptor of its own
    }
    if (loop_ == nullptr) {
        release();
        out_of_descriptors("weft: no descriptors for an event loop");
    }
    watchers_ = static_cast<watchers*>(page_allocator(nullptr, sizeof(watchers)));
    if (watchers_ == nullptr) {
        release();
        throw std::bad_alloc();
    }
    ev_io_init(&watchers_->timer, [](struct ev_loop*, ev_io* w, int) {
        take_count(w->fd);
        static_cast<watcher*>(w->data)->armed_for_ = never;
    }, timer_fd_, EV_READ);
    // An eventfd of our own: rousing is a single write, and libev needs none of its own.
    ev_io_init(&watchers_->wake, [](struct ev_loop*, ev_io* w, int) { take_count(w->fd); }, wake_fd_, EV_READ);
    watchers_->timer.data = this;
    for (ev_io* w : {&watchers_->timer, &watchers_->wake}) {
        epoll_event e{};
        e.events = EPOLLIN;
        e.data.u64 = own_mark | static_cast<std::uint32_t>(w->fd);
        if (::epoll_ctl(set_fd_, EPOLL_CTL_ADD, w->fd, &e) != 0) { // no memory, or fs.epoll.max_user_watches
            const int refusal = errno;
            release();
            errno = refusal;
            out_of_descriptors("weft: no room for an event loop");
        }
        ::ev_io_start(loop_, w);
    }
}

watcher::~watcher() { release(); }

void watcher::release() noexcept {
    const inside_weft inside;
    if (loop_ != nullptr) ::ev_loop_destroy(loop_);
    if (watchers_ != nullptr) page_allocator(watchers_, 0);
    loop_ = nullptr;
    watchers_ = nullptr;
    armed_for_ = never;
    forget_private(wake_fd_);
    forget_private(timer_fd_);
    forget_private(set_fd_);
}

void watcher::remake() noexcept {
    try {
        make();
    } catch (const std::exception& e) {
        log_line line;
        line << e.what() << ", after fork";
        line.write();
        std::abort();
    }
}

void watcher::block(std::int64_t until) noexcept {
    const inside_weft inside;
    if (until < armed_for_) arm_timer(until); // one that is set too early only rouses the hub once for nothing
    take_events(-1);
}

void watcher::look() noexcept {
    const inside_weft inside;
    take_events(0);
}

/// `timeout`: in ms, for the first time that the kernel is asked.
void watcher::take_events(int timeout) noexcept {
    constexpr int batch = 128;
    epoll_event events[batch];
    long n = 0;
    do {
        n = sys::call(SYS_epoll_wait, descriptor_set(), sys::arg(events), batch, timeout);
        for (long i = 0; i < n; ++i) {
            if (i % readiness::group == 0) readiness::expect(events + i, static_cast<int>(std::min<long>(n - i, readiness::group)));
            if ((events[i].data.u64 & own_mark) == own_mark) feed(static_cast<int>(events[i].data.u64 & 0xffffffff));
            else readiness::deliver(events[i]);
        }
        timeout = 0;
    } while (n == batch);
}

/// To libev, as from a set of its own.
void watcher::feed(int fd) noexcept {
    ::ev_feed_fd_event(loop_, fd, EV_READ);
    ::ev_invoke_pending(loop_);
}

void watcher::arm_timer(std::int64_t until) noexcept {
    itimerspec when{};
    if (until <= 0) until = 1; // zero would disarm it
    when.it_value.tv_sec = until / 1'000'000'000;
    when.it_value.tv_nsec = until % 1'000'000'000;
    ::timerfd_settime(timer_fd_, TFD_TIMER_ABSTIME, &when, nullptr);
    armed_for_ = until;
}

void watcher::rouse() noexcept {
    constexpr std::uint64_t one = 1;
    if (wake_fd_ >= 0) sys::call(SYS_write, wake_fd_, sys::arg(&one), sizeof one);
}

} // namespace weft::rt
