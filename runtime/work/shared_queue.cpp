// SPDX-License-Identifier: Apache-2.0
// A queue in a file in memory. `head` and `tail` are places in it; a message lies there as its size and its bytes. Who changes anything holds
// a record lock on the file, which the kernel takes back from a process that dies, and a spinlock among the threads of one process.
// Each change takes effect with one store, the last one, so at any moment the queue is whole.
#include <weft/detail/shared_core.hpp>

#include "core/fork.hpp"
#include "core/private_fd.hpp"
#include "core/readiness.hpp"
#include "core/sys.hpp"
#include "work/descriptors.hpp"

#include <weft/errors.hpp>
#include <weft/fiber.hpp>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <new>
#include <system_error>

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <linux/falloc.h>

namespace weft::rt {

struct shared_queue::control {
    std::atomic<std::int64_t> head{0};
    std::atomic<std::int64_t> tail{0};
    std::atomic<std::uint64_t> puts{0};
    std::atomic<std::uint64_t> gets{0};
    std::int64_t freed = 0; // the file's memory is given back up to here
    bool has_items = false; // what the eventfds say
    bool has_space = false;
    bool shut = false;
};

namespace {

[[noreturn]] void fail(long result) { throw std::system_error(static_cast<int>(-result), std::generic_category(), "weft: a queue between processes"); }

int made(long fd) {
    if (fd < 0) fail(fd);
    const int mine = make_private(static_cast<int>(fd));
    readiness::opened(mine);
    return mine;
}

long record_lock(int fd, short type) noexcept {
    struct flock whole {};
    whole.l_type = type;
    return sys::call(SYS_fcntl, fd, F_SETLK, sys::arg(&whole));
}

/// The whole of it: `number` is pread64's or pwrite64's.
void transfer(long number, int fd, const void* at, std::size_t size, std::int64_t place) {
    for (std::size_t done = 0; done < size;) {
        const long n = sys::call(number, fd, sys::arg(static_cast<const char*>(at) + done), static_cast<long>(size - done),
                                 place + static_cast<std::int64_t>(done));
        if (n <= 0 && n != -EINTR) fail(n == 0 ? -EIO : n);
        if (n > 0) done += static_cast<std::size_t>(n);
    }
}

constexpr std::int64_t page = 4096;
constexpr std::int64_t enough_to_free = 1 << 20;

} // namespace

/// The queue's locks, for a scope in which nothing is waited for.
class shared_queue::hold {
public:
    /// Others have them for a few system calls only; the deadline is for the case that one of them is stopped (SIGSTOP) just then.
    hold(shared_queue& q, deadline d) : queue_(q) {
        std::chrono::nanoseconds nap = std::chrono::microseconds(20);
        for (int tries = 0; !(held_ = q.try_lock()); ++tries) {
            if (tries < 10) {
                sys::sched_yield();
                continue;
            }
            if (tries >= 100 && d.expired()) return;
            this_fiber::sleep_for(nap);
            nap = std::min<std::chrono::nanoseconds>(nap * 2, std::chrono::milliseconds(1));
        }
    }
    hold(const hold&) = delete;
    hold& operator=(const hold&) = delete;
    ~hold() {
        if (held_) queue_.unlock();
    }
    explicit operator bool() const noexcept { return held_; }

private:
    shared_queue& queue_;
    bool held_ = false;
};

shared_queue::shared_queue(std::size_t maxsize)
    : maxsize_(maxsize), block_(sizeof(control)), shared_(*new (block_.data()) control), generation_(fork_generation()) {
    watch_forks();
    try {
        file_ = made(sys::call(SYS_memfd_create, sys::arg("weft queue"), MFD_CLOEXEC));
        items_ = made(sys::call(SYS_eventfd2, 0, EFD_CLOEXEC | EFD_NONBLOCK));
        if (maxsize != 0) {
            space_ = made(sys::call(SYS_eventfd2, 1, EFD_CLOEXEC | EFD_NONBLOCK));
            shared_.has_space = true;
        }
    } catch (...) {
        for (int* fd : {&file_, &items_, &space_}) forget_private(*fd);
        throw;
    }
}

shared_queue::~shared_queue() {
    for (int* fd : {&file_, &items_, &space_}) {
        if (*fd >= 0) readiness::closing(*fd);
        forget_private(*fd);
    }
}

bool shared_queue::try_lock() {
    if (generation_ != fork_generation()) { // a thread of the parent's may have had it
        generation_ = fork_generation();
        lock_.reset();
    }
    if (!lock_.try_lock()) return false;
    const long result = record_lock(file_, F_WRLCK);
    if (result == 0) return true;
    lock_.unlock();
    if (result != -EAGAIN && result != -EACCES && result != -EINTR) fail(result);
    return false;
}

void shared_queue::unlock() noexcept {
    record_lock(file_, F_UNLCK);
    lock_.unlock();
}

/// An eventfd may be found raised in vain, never the other way round, also if the process dies between the two lines.
void shared_queue::raise(int fd, bool& raised) noexcept {
    if (raised || fd < 0) return;
    const std::uint64_t one = 1;
    sys::call(SYS_write, fd, sys::arg(&one), sizeof one);
    raised = true;
}

void shared_queue::clear(int fd, bool& raised) noexcept {
    if (shared_.shut) return;
    raised = false; // or it was before, and somebody died between the lines of raise
    std::atomic_signal_fence(std::memory_order_seq_cst);
    std::uint64_t count = 0;
    sys::call(SYS_read, fd, sys::arg(&count), sizeof count);
}

void shared_queue::store(std::string_view message) {
    const std::int64_t place = shared_.tail.load(std::memory_order_relaxed);
    const auto size = std::uint64_t{message.size()};
    transfer(SYS_pwrite64, file_, &size, sizeof size, place);
    transfer(SYS_pwrite64, file_, message.data(), message.size(), place + 8);
    raise(items_, shared_.has_items);
    shared_.tail.store(place + 8 + static_cast<std::int64_t>(size), std::memory_order_release);
    shared_.puts.fetch_add(1, std::memory_order_relaxed);
}

std::string shared_queue::fetch() {
    const std::int64_t place = shared_.head.load(std::memory_order_relaxed);
    std::uint64_t size = 0;
    transfer(SYS_pread64, file_, &size, sizeof size, place);
    std::string message(size, '\0');
    transfer(SYS_pread64, file_, message.data(), size, place + 8);
    const std::int64_t next = place + 8 + static_cast<std::int64_t>(size);
    raise(space_, shared_.has_space);
    shared_.gets.fetch_add(1, std::memory_order_relaxed);
    shared_.head.store(next, std::memory_order_release);
    // A process that was killed may have put one and not counted it.
    if (next == shared_.tail.load(std::memory_order_relaxed)) shared_.puts.store(shared_.gets.load(std::memory_order_relaxed), std::memory_order_relaxed);
    if (next - shared_.freed >= enough_to_free) {
        const std::int64_t upto = next / page * page;
        sys::call(SYS_fallocate, file_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, shared_.freed, upto - shared_.freed);
        shared_.freed = upto;
    }
    return message;
}

bool shared_queue::put(std::string_view message, deadline d) {
    for (;;) {
        interruption_point();
        {
            const hold locked(*this, d);
            if (!locked) return false;
            if (shared_.shut) throw queue_shutdown();
            if (maxsize_ == 0 || size() < maxsize_) {
                store(message);
                return true;
            }
            clear(space_, shared_.has_space);
        }
        if (!await_one(space_, POLLIN, d)) return false;
    }
}

std::optional<std::string> shared_queue::get(deadline d) {
    for (;;) {
        interruption_point();
        {
            const hold locked(*this, d);
            if (!locked) return {};
            if (shared_.head.load(std::memory_order_relaxed) != shared_.tail.load(std::memory_order_acquire)) return fetch();
            if (shared_.shut) throw queue_shutdown();
            clear(items_, shared_.has_items);
        }
        if (!await_one(items_, POLLIN, d)) return {};
    }
}

std::size_t shared_queue::size() {
    const std::uint64_t got = shared_.gets.load(std::memory_order_relaxed);
    const std::uint64_t put = shared_.puts.load(std::memory_order_relaxed);
    return put > got ? static_cast<std::size_t>(put - got) : 0;
}

void shared_queue::shutdown() {
    const hold locked(*this, {});
    shared_.shut = true;
    raise(items_, shared_.has_items);
    raise(space_, shared_.has_space);
}

} // namespace weft::rt
