// SPDX-License-Identifier: Apache-2.0
#include "calls/aio_kernel.hpp"

#include "calls/blocking.hpp"
#include "calls/wait_several.hpp"
#include "core/call_mask.hpp"

#include "core/sys.hpp"

#include <charconv>
#include <cstring>
#include <string_view>

#include <linux/aio_abi.h>
#include <linux/io_uring.h>

#ifndef IORING_ENTER_ABS_TIMER
#define IORING_ENTER_ABS_TIMER (1U << 5) // Linux 6.12
#endif

namespace weft::shim::aio_kernel {

namespace {

int as_libc(long result) noexcept { return result < 0 ? fail(static_cast<int>(-result)) : static_cast<int>(result); }

/// The mask of a call, as the kernel takes it. False: errno says what is wrong with it.
bool read_mask(const void* mask, std::size_t size, sigset_t& into) noexcept {
    if (size != kernel_sigset_size) {
        errno = EINVAL;
        return false;
    }
    sigemptyset(&into);
    return copy_from_caller(&into, mask, size);
}

long getevents(unsigned long context, long least, long most, io_event* events, const timespec* timeout) noexcept {
    return rt::sys::call(SYS_io_getevents, static_cast<long>(context), least, most, rt::sys::arg(events), rt::sys::arg(timeout));
}

timespec time_left(deadline d) noexcept {
    const auto left = d.remaining().count();
    return {left / 1'000'000'000, left % 1'000'000'000};
}

/// What is there already, then the rest on a kernel thread.
int events_until(unsigned long context, long least, long most, void* events, deadline until) noexcept {
    auto* const at = static_cast<io_event*>(events);
    static constexpr timespec at_once{};
    const int saved_errno = errno;
    const long had = getevents(context, least, most, at, &at_once);
    if (had < 0 || had >= least || until.expired()) return as_libc(had);
    const long more = blocking_call(false, [&]() noexcept -> long {
        const timespec left = time_left(until);
        return as_libc(getevents(context, least - had, most - had, at + had, until.is_never() ? nullptr : &left));
    });
    if (more < 0 && had == 0) return -1;
    errno = saved_errno;
    return static_cast<int>(had + (more < 0 ? 0 : more));
}

} // namespace

int io_getevents(unsigned long context, long least, long most, void* events, timespec* timeout) noexcept {
    timespec t{};
    if (timeout != nullptr && !copy_from_caller(&t, timeout, sizeof t)) return -1;
    const deadline until = timeout == nullptr ? deadline() : deadline_of(t);
    return events_until(context, least, most, events, until);
}

int io_pgetevents(unsigned long context, long least, long most, void* events, timespec* timeout, const void* signals) noexcept {
    struct {
        const void* mask;
        std::size_t size;
    } pair{};
    sigset_t mask;
    if (signals != nullptr && !copy_from_caller(&pair, signals, sizeof pair)) return -1;
    if (pair.mask != nullptr && !read_mask(pair.mask, pair.size, mask)) return -1;
    signals::wait w;
    call_mask here;
    if (pair.mask != nullptr && w.takes_signals()) here.begin(SIG_SETMASK, mask);
    if (w.interrupted(false)) { // was pending
        timespec none{};
        const int had = io_getevents(context, least, most, events, &none);
        return had == 0 && least > 0 ? fail(EINTR) : had;
    }
    return io_getevents(context, least, most, events, timeout);
}

// --- Rings ---

namespace {

/// One ring, and what the caller wants of it.
struct ring_wait {
    int ring;
    unsigned least;

    [[nodiscard]] long enter(unsigned to_submit, unsigned how) const noexcept {
        return rt::sys::call(SYS_io_uring_enter, ring, to_submit, 0, how, 0, 0);
    }

    /// A number of /proc/self/fdinfo; -1 where this kernel does not tell.
    static std::int64_t number_of(std::string_view text, std::string_view name) noexcept {
        const std::size_t at = text.find(name);
        if (at == std::string_view::npos) return -1;
        text.remove_prefix(at + name.size());
        const int base = text.starts_with("0x") ? 16 : 10;
        if (base == 16) text.remove_prefix(2);
        std::int64_t value = -1;
        std::from_chars(text.data(), text.data() + text.size(), value, base);
        return value;
    }

    /// Whether as many requests are complete as are wanted, or as fit. Only poll and fdinfo tell: where the ring lies is the program's secret.
    [[nodiscard]] bool is_satisfied() const noexcept {
        pollfd p{ring, POLLIN, 0};
        if (real().poll(&p, 1, 0) <= 0 || least == 1) return (p.revents & POLLIN) != 0;
        char path[40] = "/proc/self/fdinfo/";
        *std::to_chars(path + std::strlen(path), path + sizeof path - 1, ring).ptr = 0;
        const long fd = rt::sys::call(SYS_openat, AT_FDCWD, rt::sys::arg(path), O_RDONLY | O_CLOEXEC, 0);
        if (fd < 0) return true;
        char text[512];
        const long n = rt::sys::call(SYS_read, fd, rt::sys::arg(text), sizeof text);
        rt::sys::close(static_cast<int>(fd));
        const std::string_view all(text, n < 0 ? 0 : static_cast<std::size_t>(n));
        const std::int64_t mask = number_of(all, "CqMask:\t"), head = number_of(all, "CqHead:\t"), tail = number_of(all, "CqTail:\t");
        if (mask < 0 || head < 0 || tail < 0) return true;
        return static_cast<std::uint32_t>(tail - head) >= std::min<std::int64_t>(least, mask + 1);
    }
};

/// Waits for completions. 0, or the errno of the call.
int await_ring(const ring_wait& r, deadline until, const sigset_t* mask) noexcept {
    signals::wait signals;
    call_mask here;
    if (mask != nullptr && signals.takes_signals()) here.begin(SIG_SETMASK, *mask);
    std::chrono::nanoseconds pause = std::chrono::milliseconds(1);
    std::chrono::nanoseconds slice = std::chrono::microseconds(250);
    bool timed_out = false;
    for (;;) {
        // A ring made with IORING_SETUP_DEFER_TASKRUN completes requests only while its thread enters it, and no poll tells of them: so there is a
        // look every now and then.
        if (const long result = r.enter(0, IORING_ENTER_GETEVENTS); result < 0) return static_cast<int>(-result);
        if (r.is_satisfied()) return 0;
        if (timed_out) return ETIME;
        if (signals.interrupted(false)) return EINTR;
        if (const int error = refused_wait(); error != 0) return error;
        rt::fd_interest interest;
        interest.fd = r.ring;
        interest.events = EPOLLIN;
        const deadline next(slice);
        const bool last = until.time() <= next.time();
        const rt::fd_wake woken = wait_for_first({&interest, 1}, last ? until : next, r.least == 1, pause);
        slice = std::min<std::chrono::nanoseconds>(slice * 2, std::chrono::milliseconds(16));
        if (woken == rt::fd_wake::closed) return EBADF;
        if (woken == rt::fd_wake::cancelled) return ECANCELED;
        timed_out = last && woken == rt::fd_wake::deadline;
    }
}

} // namespace

int io_uring_enter(int ring, unsigned to_submit, unsigned least, unsigned flags, const void* argument, std::size_t size) noexcept {
    constexpr unsigned extended = IORING_ENTER_EXT_ARG | IORING_ENTER_ABS_TIMER;
    constexpr unsigned known = IORING_ENTER_GETEVENTS | IORING_ENTER_SQ_WAKEUP | IORING_ENTER_SQ_WAIT | extended;
    io_uring_getevents_arg more{};
    const bool has_more = (flags & IORING_ENTER_EXT_ARG) != 0;
    const bool waits = (flags & IORING_ENTER_GETEVENTS) != 0 && least > 0 && (flags & ~known) == 0 && (!has_more || size == sizeof more);
    auto as_it_is = [&] {
        return as_libc(rt::sys::call(SYS_io_uring_enter, ring, to_submit, least, flags, rt::sys::arg(argument), static_cast<long>(size)));
    };
    if (!waits) return as_it_is();
    sigset_t mask{};
    timespec limit{};
    const void* mask_at = argument;
    std::size_t mask_size = size;
    if (has_more) {
        if (!copy_from_caller(&more, argument, sizeof more)) return -1;
        mask_at = reinterpret_cast<const void*>(more.sigmask);
        mask_size = more.sigmask_sz;
        if (more.pad != 0) return as_it_is(); // newer kernels wait for the first of several in a way of their own
    }
    if (mask_at != nullptr && !read_mask(mask_at, mask_size, mask)) return -1;
    if (more.ts != 0 && !copy_from_caller(&limit, reinterpret_cast<const void*>(more.ts), sizeof limit)) return -1;
    deadline until = more.ts == 0 ? deadline() : deadline_of(limit);
    if (more.ts != 0 && (flags & IORING_ENTER_ABS_TIMER) != 0)
        until = deadline(std::chrono::steady_clock::time_point(std::chrono::seconds(limit.tv_sec) + std::chrono::nanoseconds(limit.tv_nsec)));

    const ring_wait r{ring, least};
    const int saved_errno = errno;
    const long submitted = to_submit == 0 && (flags & ~(extended | IORING_ENTER_GETEVENTS)) == 0
                               ? 0
                               : r.enter(to_submit, flags & ~(extended | IORING_ENTER_GETEVENTS));
    if (submitted < 0 || static_cast<unsigned>(submitted) != to_submit) return as_libc(submitted);
    const int error = await_ring(r, until, mask_at == nullptr ? nullptr : &mask);
    errno = saved_errno;
    return error != 0 && submitted == 0 ? fail(error) : static_cast<int>(submitted);
}

} // namespace weft::shim::aio_kernel
