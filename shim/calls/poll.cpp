// SPDX-License-Identifier: Apache-2.0
// poll, select and their kin: one waiter, many descriptors.
#include "calls/poll.hpp"

#include "calls/wait_several.hpp"
#include "core/serve.hpp"

#include "core/private_fd.hpp"
#include "core/sys.hpp"

#include <weft/export.hpp>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>

namespace weft::shim::polling {

namespace {

bool is_open(int fd) noexcept { return rt::sys::call(SYS_fcntl, fd, F_GETFD) >= 0; }

/// The highest descriptor of the program that is open now; -1 where nobody tells.
int highest_open() noexcept {
    const long directory = rt::sys::call(SYS_openat, AT_FDCWD, rt::sys::arg("/proc/self/fd"), O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (directory < 0) return -1;
    int highest = -1;
    alignas(8) char entries[2048]; // each a record whose length is at 16, and the name at 19
    for (long n; (n = rt::sys::call(SYS_getdents64, directory, rt::sys::arg(entries), sizeof entries)) > 0;) {
        std::uint16_t length = 0;
        for (long at = 0; at < n; at += length) {
            std::memcpy(&length, entries + at + 16, sizeof length);
            int fd = -1;
            std::from_chars(entries + at + 19, entries + at + length, fd);
            if (fd > highest && fd != directory && !rt::is_private(fd)) highest = fd;
        }
    }
    rt::sys::close(static_cast<int>(directory));
    return highest;
}

} // namespace

int bounded(int count) noexcept {
    if (count <= FD_SETSIZE) return count;
    const int highest = highest_open();
    if (highest < 0) return count;
    const unsigned size = highest < 64 ? 64U : std::bit_ceil(static_cast<unsigned>(highest) / 128 + 1) * 128;
    return std::min(count, static_cast<int>(size));
}

namespace {

int poll_until(pollfd* fds, nfds_t count, deadline until, const sigset_t* mask) noexcept {
    auto ask = [&] { return real().poll(fds, count, 0); };
    return wait_for(count, until, mask, false, ask, [&](interest_list& list, bool open_only) {
        for (nfds_t i = 0; i < count; ++i)
            if (fds[i].fd >= 0 && (!open_only || is_open(fds[i].fd)))
                list.add(fds[i].fd, static_cast<std::uint32_t>(fds[i].events) &
                                        (EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP | EPOLLRDNORM | EPOLLWRNORM |
                                         EPOLLRDBAND | EPOLLWRBAND));
    });
}

/// The sets are the caller's, any number of bits long; they keep what was asked for until something is ready.
int select_until(int count, fd_set* readable, fd_set* writable, fd_set* exceptional, deadline until,
                 const sigset_t* mask) noexcept {
    if (count < 0) return fail(EINVAL);
    count = bounded(count);
    static constexpr timespec at_once{};
    fd_set* const sets[3] = {readable, writable, exceptional};
    const std::size_t words = (static_cast<std::size_t>(count) + 63) / 64;
    // What was asked for, and what the kernel answers: six sets in one block.
    constexpr std::size_t small = 6 * FD_SETSIZE / 64;
    std::uint64_t small_block[small];
    std::uint64_t* block = small_block;
    const std::size_t bytes = 6 * words * sizeof(std::uint64_t);
    if (6 * words > small) {
        void* p = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED) return fail(ENOMEM);
        block = static_cast<std::uint64_t*>(p);
    }
    auto asked = [&](int which) { return block + static_cast<std::size_t>(which) * words; };
    auto answer = [&](int which) { return block + static_cast<std::size_t>(which + 3) * words; };
    auto copy = [&](const void* from, void* to) {
        std::copy_n(static_cast<const std::uint64_t*>(from), words, static_cast<std::uint64_t*>(to));
    };
    std::size_t members = 0;
    for (int k = 0; k < 3; ++k) {
        if (sets[k] == nullptr) continue;
        if (!copy_from_caller(asked(k), sets[k], words * sizeof(std::uint64_t))) {
            if (block != small_block) ::munmap(block, bytes);
            return -1;
        }
        for (std::size_t w = 0; w < words; ++w) members += static_cast<std::size_t>(__builtin_popcountll(asked(k)[w]));
    }
    auto ask = [&] {
        fd_set* given[3];
        for (int k = 0; k < 3; ++k) {
            given[k] = sets[k] == nullptr ? nullptr : reinterpret_cast<fd_set*>(answer(k));
            if (given[k] != nullptr) copy(asked(k), answer(k));
        }
        return real().pselect(count, given[0], given[1], given[2], &at_once, nullptr);
    };
    const int result = wait_for(members, until, mask, false, ask, [&](interest_list& list, bool open_only) {
        constexpr std::uint32_t events[3] = {EPOLLIN, EPOLLOUT, EPOLLPRI};
        for (int k = 0; k < 3; ++k) {
            if (sets[k] == nullptr) continue;
            for (int fd = 0; fd < count; ++fd)
                if ((asked(k)[fd / 64] >> (fd % 64) & 1) != 0 && (!open_only || is_open(fd))) list.add(fd, events[k]);
        }
    });
    if (result >= 0)
        for (int k = 0; k < 3; ++k)
            if (sets[k] != nullptr) copy(answer(k), sets[k]);
    if (block != small_block) ::munmap(block, bytes);
    return result;
}

} // namespace

int poll(pollfd* fds, nfds_t count, int timeout) noexcept {
    return poll_until(fds, count, timeout < 0 ? deadline() : deadline(std::chrono::milliseconds(timeout)), nullptr);
}

int ppoll(pollfd* fds, nfds_t count, const timespec* timeout, const sigset_t* mask) noexcept {
    deadline until;
    if (!read_timeout(timeout, until)) return -1;
    return poll_until(fds, count, until, mask);
}

int select(int count, fd_set* readable, fd_set* writable, fd_set* exceptional, timeval* timeout) noexcept {
    deadline until;
    if (timeout != nullptr) {
        timeval t{};
        if (!copy_from_caller(&t, timeout, sizeof t)) return -1;
        if (t.tv_sec < 0 || t.tv_usec < 0) return fail(EINVAL);
        until = deadline_of({t.tv_sec + t.tv_usec / 1'000'000, t.tv_usec % 1'000'000 * 1'000});
    }
    const int result = select_until(count, readable, writable, exceptional, until, nullptr);
    if (timeout != nullptr && !until.is_never()) { // Linux says how much was left
        const auto left = until.remaining().count();
        *timeout = {left / 1'000'000'000, left % 1'000'000'000 / 1'000};
    }
    return result;
}

int pselect(int count, fd_set* readable, fd_set* writable, fd_set* exceptional, const timespec* timeout,
            const sigset_t* mask) noexcept {
    deadline until;
    if (!read_timeout(timeout, until)) return -1;
    return select_until(count, readable, writable, exceptional, until, mask);
}

} // namespace weft::shim::polling

using weft::shim::call;
using weft::shim::real;
using weft::shim::serve;
namespace polling = weft::shim::polling;

extern "C" {

WEFT_API int poll(pollfd* fds, nfds_t count, int timeout) {
    return serve<call::poll>(polling::poll, fds, count, timeout);
}
WEFT_API int __poll_chk(pollfd* fds, nfds_t count, int timeout, std::size_t capacity) {
    if (capacity / sizeof(*fds) < count) return real().__poll_chk(fds, count, timeout, capacity);
    return poll(fds, count, timeout);
}
WEFT_API int ppoll(pollfd* fds, nfds_t count, const timespec* timeout, const sigset_t* mask) {
    return serve<call::ppoll>(polling::ppoll, fds, count, timeout, mask);
}
WEFT_API int __ppoll_chk(pollfd* fds, nfds_t count, const timespec* timeout, const sigset_t* mask,
                         std::size_t capacity) {
    if (capacity / sizeof(*fds) < count) return real().__ppoll_chk(fds, count, timeout, mask, capacity);
    return ppoll(fds, count, timeout, mask);
}
WEFT_API int select(int count, fd_set* readable, fd_set* writable, fd_set* exceptional, timeval* timeout) {
    return serve<call::select>(polling::select, polling::bounded(count), readable, writable, exceptional, timeout);
}
WEFT_API int pselect(int count, fd_set* readable, fd_set* writable, fd_set* exceptional, const timespec* timeout,
                     const sigset_t* mask) {
    return serve<call::pselect>(polling::pselect, polling::bounded(count), readable, writable, exceptional, timeout, mask);
}

} // extern "C"
