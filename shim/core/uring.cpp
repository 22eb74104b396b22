// SPDX-License-Identifier: Apache-2.0
#include "core/uring.hpp"

#include "core/private_fd.hpp"
#include "core/sys.hpp"
#include "core/thread_state.hpp"

#include <atomic>
#include <cerrno>
#include <cstdint>

#include <linux/io_uring.h>
#include <sys/mman.h>

#ifndef IORING_ACCEPT_DONTWAIT
#define IORING_ACCEPT_DONTWAIT (1U << 1) // Linux 6.10
#endif

namespace weft::shim::uring {

namespace {

using rt::sys::arg;
using rt::sys::call;

/// A ring of four entries. Every call fills it, submits, and waits for its completions, none of which can be long in coming.
class ring {
public:
    constexpr ring() noexcept = default;
    ring(const ring&) = delete;
    ring& operator=(const ring&) = delete;
    ~ring() {
        if (owner_ == rt::sys::getpid()) unmap();
    }
    bool ready() noexcept {
        if (owner_ != rt::sys::getpid()) make(); // fork's child must not use the parent's
        return fd_ >= 0;
    }
    io_uring_sqe& next() noexcept {
        const std::uint32_t slot = (*sq_tail_ + filled_) & sq_mask_;
        sq_array_[slot] = slot;
        ++filled_;
        entries_[slot] = {};
        return entries_[slot];
    }
    /// Submits what was filled; the result of the entry whose user_data is 1.
    int submit() noexcept {
        std::atomic_ref<std::uint32_t>(*sq_tail_).store(*sq_tail_ + filled_, std::memory_order_release);
        std::uint32_t due = filled_;
        const std::uint32_t submitted = filled_;
        std::uint32_t to_submit = submitted;
        filled_ = 0;
        int result = -EIO;
        while (due > 0) {
            const long n = call(SYS_io_uring_enter, fd_, to_submit, due, IORING_ENTER_GETEVENTS, 0, 0);
            if (n < 0 && n != -EINTR && to_submit == submitted) { // nothing of it was taken
                std::atomic_ref<std::uint32_t>(*sq_tail_).store(*sq_tail_ - submitted, std::memory_order_release);
                return -ENOSYS;
            }
            if (n < 0 && n != -EINTR) return static_cast<int>(n);
            if (n > 0) to_submit -= static_cast<std::uint32_t>(n) < to_submit ? static_cast<std::uint32_t>(n) : to_submit;
            std::uint32_t head = *cq_head_;
            for (; head != std::atomic_ref<std::uint32_t>(*cq_tail_).load(std::memory_order_acquire); ++head, --due) {
                const io_uring_cqe& c = completions_[head & cq_mask_];
                if (c.user_data == 1) result = c.res;
            }
            std::atomic_ref<std::uint32_t>(*cq_head_).store(head, std::memory_order_release);
        }
        return result;
    }

private:
    void make() noexcept;
    void unmap() noexcept;

    int owner_ = 0;
    int fd_ = -1;
    std::uint32_t filled_ = 0;
    std::uint32_t sq_mask_ = 0, cq_mask_ = 0;
    std::uint32_t *sq_tail_ = nullptr, *sq_array_ = nullptr, *cq_head_ = nullptr, *cq_tail_ = nullptr;
    io_uring_sqe* entries_ = nullptr;
    io_uring_cqe* completions_ = nullptr;
    struct mapping {
        char* at = nullptr;
        std::size_t bytes = 0;
    } mappings_[3];
};

constinit thread_local ring mine __attribute__((tls_model("initial-exec")));
constinit std::atomic<bool> works{true};      // the kernel has io_uring and lets us use it


void ring::make() noexcept {
    owner_ = rt::sys::getpid();
    fd_ = -1; // after fork: the mappings are shared with the parent, left alone
    for (mapping& m : mappings_) m = {};
    filled_ = 0;
    io_uring_params p{};
    const long made = call(SYS_io_uring_setup, 4, arg(&p));
    if (made < 0) {
        works.store(false, std::memory_order_relaxed);
        return;
    }
    const int fd = rt::make_private(static_cast<int>(made));
    int mapped = 0;
    auto map = [&](std::size_t bytes, long offset) noexcept -> char* {
        const long at = call(SYS_mmap, 0, static_cast<long>(bytes), PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset);
        if (at < 0 && at > -4096) return nullptr;
        mappings_[mapped++] = {reinterpret_cast<char*>(at), bytes};
        return reinterpret_cast<char*>(at);
    };
    fd_ = fd;
    const std::size_t sq_bytes = p.sq_off.array + p.sq_entries * sizeof(std::uint32_t);
    const std::size_t cq_bytes = p.cq_off.cqes + p.cq_entries * sizeof(io_uring_cqe);
    char* sq = map(sq_bytes, IORING_OFF_SQ_RING);
    char* cq = map(cq_bytes, IORING_OFF_CQ_RING);
    char* entries = map(p.sq_entries * sizeof(io_uring_sqe), static_cast<long>(IORING_OFF_SQES));
    if (sq == nullptr || cq == nullptr || entries == nullptr) {
        unmap();
        works.store(false, std::memory_order_relaxed);
        return;
    }
    auto word = [](char* base, std::uint32_t offset) { return reinterpret_cast<std::uint32_t*>(base + offset); };
    sq_tail_ = word(sq, p.sq_off.tail);
    sq_mask_ = *word(sq, p.sq_off.ring_mask);
    sq_array_ = word(sq, p.sq_off.array);
    cq_head_ = word(cq, p.cq_off.head);
    cq_tail_ = word(cq, p.cq_off.tail);
    cq_mask_ = *word(cq, p.cq_off.ring_mask);
    entries_ = reinterpret_cast<io_uring_sqe*>(entries);
    completions_ = reinterpret_cast<io_uring_cqe*>(cq + p.cq_off.cqes);
}

void ring::unmap() noexcept {
    for (mapping& m : mappings_) {
        if (m.at != nullptr) call(SYS_munmap, arg(m.at), static_cast<long>(m.bytes));
        m = {};
    }
    rt::forget_private(fd_);
}

int fail(int error) noexcept {
    errno = error;
    return -1;
}

} // namespace

int accept_nowait(int fd, sockaddr* address, socklen_t* size, int flags) noexcept {
    if (!works.load(std::memory_order_relaxed) || !rt::of_carrier(mine).ready())
        return fail(ENOSYS);
    io_uring_sqe& e = rt::of_carrier(mine).next();
    e.opcode = IORING_OP_ACCEPT;
    e.ioprio = IORING_ACCEPT_DONTWAIT;
    e.fd = fd;
    e.addr = reinterpret_cast<std::uintptr_t>(address);
    e.addr2 = reinterpret_cast<std::uintptr_t>(size);
    e.accept_flags = static_cast<std::uint32_t>(flags);
    e.user_data = 1;
    const int result = rt::of_carrier(mine).submit();
    // An older kernel says EINVAL to the flag, and a bad argument says it too: the real call will tell which.
    if (result == -EINVAL) return fail(ENOSYS);
    return result < 0 ? fail(-result) : result;
}

int connect_nowait(int fd, const sockaddr* address, socklen_t size) noexcept {
    if (!works.load(std::memory_order_relaxed) || !rt::of_carrier(mine).ready()) return fail(ENOSYS);
    io_uring_sqe& e = rt::of_carrier(mine).next();
    e.opcode = IORING_OP_CONNECT;
    e.fd = fd;
    e.addr = reinterpret_cast<std::uintptr_t>(address);
    e.off = size;
    e.user_data = 1;
    // The kernel would finish it on its own; taken back at once, the connection goes on and is ours to wait for.
    io_uring_sqe& cancel = rt::of_carrier(mine).next();
    cancel.opcode = IORING_OP_ASYNC_CANCEL;
    cancel.fd = -1;
    cancel.addr = 1;
    cancel.user_data = 2;
    const int result = rt::of_carrier(mine).submit();
    if (result == -ECANCELED || result == -EINTR) return fail(EINPROGRESS);
    return result < 0 ? fail(-result) : result;
}

} // namespace weft::shim::uring
