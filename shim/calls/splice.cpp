// SPDX-License-Identifier: Apache-2.0
// Pipes and files are moved between with SPLICE_F_NONBLOCK and waited for on the fiber. That flag says nothing to a socket or a terminal,
// and nothing else does: there a kernel thread makes the call, as soon as there is something to move. Only sendfile from a file
// to a stream, which is most of what servers do, is read and sent instead.
#include "calls/splice.hpp"

#include "calls/blocking.hpp"
#include "calls/disk.hpp"
#include "calls/transfer.hpp"
#include "core/sys.hpp"

#include <sys/stat.h>

namespace weft::shim::splicing {

namespace {

enum class end : std::uint8_t { pipe, socket, file, other, none };

end end_of(int fd) noexcept {
    struct stat s{};
    if (rt::sys::call(SYS_fstat, fd, rt::sys::arg(&s)) != 0) return end::none;
    switch (s.st_mode & S_IFMT) {
    case S_IFIFO: return end::pipe;
    case S_IFSOCK: return end::socket;
    case S_IFREG:
    case S_IFBLK: return end::file;
    default: return descriptor::of(fd).kind(fd) == fd_kind::plain ? end::file : end::other;
    }
}

constexpr bool is_pipe_or_file(end e) noexcept { return e == end::pipe || e == end::file; }

bool is_ready(int fd, short events) noexcept {
    pollfd p{fd, events, 0};
    return real().poll(&p, 1, 0) != 0;
}

/// Waits until there is something to read from `in` and room in `out`; -1 stands for an end that never waits.
bool await_both(int in, int out, deadline until = {}) noexcept {
    if (in >= 0 && !is_ready(in, POLLIN)) return await(in, EPOLLIN, until, EAGAIN, until.is_never());
    if (out >= 0 && !is_ready(out, POLLOUT)) return await(out, EPOLLOUT, until, EAGAIN, until.is_never());
    rt::yield_quietly(); // somebody was faster
    return true;
}

/// `attempt()` moves without waiting for the pipes among `in` and `out`. Of vmsplice alone an O_NONBLOCK is none of the caller's wishes.
template <class Attempt>
ssize_t move(int in, int out, unsigned flags, Attempt attempt, bool heeds_nonblock = true) noexcept {
    const errno_of_success success;
    for (;;) {
        const ssize_t n = attempt();
        if (n >= 0) return success(n);
        if (errno != EAGAIN || (flags & SPLICE_F_NONBLOCK) != 0) return -1;
        if (heeds_nonblock && ((in >= 0 && is_nonblocking(in)) || (out >= 0 && is_nonblocking(out)))) return fail(EAGAIN);
        if (!await_both(in, out)) return -1;
    }
}

/// A blocking call that may find its reader gone: the SIGPIPE of the kernel thread is the caller's.
template <class F>
ssize_t blocking_output(bool restarts, F call) noexcept {
    bool broken = false;
    const ssize_t n = blocking_call(restarts, [&]() noexcept {
        const ssize_t result = call();
        if (result >= 0 || errno != EPIPE) return result;
        constexpr std::uint64_t pipe_signal = std::uint64_t{1} << (SIGPIPE - 1);
        constexpr timespec at_once{};
        broken = rt::sys::call(SYS_rt_sigtimedwait, rt::sys::arg(&pipe_signal), 0, rt::sys::arg(&at_once), sizeof pipe_signal) == SIGPIPE;
        return result;
    });
    if (broken) rt::sys::call(SYS_tgkill, rt::sys::getpid(), rt::sys::gettid(), SIGPIPE);
    return n;
}

// --- A file to a stream ---

constexpr std::size_t piece = 64 << 10;

/// Where a piece lies between being read and being sent; nothing switches fibers meanwhile.
void* piece_of_this_thread() noexcept {
    thread_local constinit void* mine __attribute__((tls_model("initial-exec"))) = nullptr;
    void*& at = rt::of_carrier(mine);
    if (at != nullptr) return at;
    void* p = ::mmap(nullptr, piece, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? nullptr : at = p;
}

ssize_t send_file(int out, int in, off64_t* offset, std::size_t size) noexcept {
    off64_t start = 0;
    if (offset != nullptr ? !copy_from_caller(&start, offset, sizeof start) : (start = ::lseek64(in, 0, SEEK_CUR)) < 0) return -1;
    if (start < 0) return fail(EINVAL);
    const ssize_t n = transmit(out, descriptor::of(out), [=] { return size; }, [=](std::size_t done) -> ssize_t {
        void* buffer = piece_of_this_thread();
        if (buffer == nullptr) return fail(ENOMEM);
        const ssize_t got = real().pread64(in, buffer, std::min(piece, size - done), start + static_cast<off64_t>(done));
        return got <= 0 ? got : real().send(out, buffer, static_cast<std::size_t>(got), MSG_DONTWAIT);
    });
    if (n > 0) {
        if (offset != nullptr) *offset = start + n;
        else ::lseek64(in, start + n, SEEK_SET);
    }
    return n;
}

} // namespace

ssize_t sendfile(int out, int in, off64_t* offset, std::size_t size) noexcept {
    const end from = end_of(in), to = end_of(out);
    if (from == end::none || to == end::none || size == 0) return real().sendfile64(out, in, offset, size);
    if (from == end::file && to == end::pipe)
        return move(-1, out, 0, [=] { return real().splice(in, offset, out, nullptr, size, SPLICE_F_NONBLOCK); });
    if (from == end::file && to == end::file) {
        constexpr std::size_t little = 128 << 10;
        if (size <= little) return real().sendfile64(out, in, offset, size);
        return disk::apart([=]() noexcept { return real().sendfile64(out, in, offset, size); });
    }
    if (to == end::socket && is_nonblocking(out)) return real().sendfile64(out, in, offset, size);
    if (from == end::file && to == end::socket && is_stream(out)) return send_file(out, in, offset, size);
    const bool restarts = to != end::socket || send_timeout(out) == 0;
    return blocking_output(restarts, [=]() noexcept { return real().sendfile64(out, in, offset, size); });
}

ssize_t splice(int in, off64_t* in_offset, int out, off64_t* out_offset, std::size_t size, unsigned flags) noexcept {
    const end from = end_of(in), to = end_of(out);
    auto real_call = [=](unsigned how) { return real().splice(in, in_offset, out, out_offset, size, how); };
    if ((from != end::pipe && to != end::pipe) || from == end::none || to == end::none || size == 0) return real_call(flags);
    if (is_pipe_or_file(from) && is_pipe_or_file(to))
        return move(from == end::pipe ? in : -1, to == end::pipe ? out : -1, flags, [=] { return real_call(flags | SPLICE_F_NONBLOCK); });
    const int waiting_pipe = from == end::pipe ? in : out;
    const bool pipe_waits = (flags & SPLICE_F_NONBLOCK) == 0 && !is_nonblocking(waiting_pipe);
    const bool other_waits = !is_nonblocking(from == end::pipe ? out : in);
    if (!other_waits) { // then it says so itself: what is left is the pipe
        const errno_of_success success;
        for (;;) {
            const ssize_t n = real_call(flags | SPLICE_F_NONBLOCK);
            if (n >= 0) return success(n);
            if (errno != EAGAIN || !pipe_waits || is_ready(waiting_pipe, from == end::pipe ? POLLIN : POLLOUT)) return -1;
            if (!(from == end::pipe ? await_both(in, -1) : await_both(-1, out))) return -1;
        }
    }
    const std::int64_t limit = from == end::socket ? receive_timeout(in) : to == end::socket ? send_timeout(out) : 0;
    if (pipe_waits) {
        while (!is_ready(waiting_pipe, from == end::pipe ? POLLIN : POLLOUT))
            if (!(from == end::pipe ? await_both(in, -1) : await_both(-1, out))) return -1;
    } else if (!is_ready(waiting_pipe, from == end::pipe ? POLLIN : POLLOUT)) {
        return real_call(flags);
    }
    if (from == end::socket) {
        const deadline until = after(limit);
        while (!is_ready(in, POLLIN))
            if (!await_both(in, -1, until)) return -1;
    }
    return blocking_output(limit == 0, [=]() noexcept { return real_call(flags); });
}

ssize_t tee(int in, int out, std::size_t size, unsigned flags) noexcept {
    return move(in, out, flags, [=] { return real().tee(in, out, size, flags | SPLICE_F_NONBLOCK); });
}

ssize_t vmsplice(int fd, const iovec* v, std::size_t count, unsigned flags) noexcept {
    const long status = rt::sys::call(SYS_fcntl, fd, F_GETFL);
    const bool reads = status >= 0 && (status & O_ACCMODE) == O_RDONLY;
    return move(reads ? fd : -1, reads ? -1 : fd, flags, [=] { return real().vmsplice(fd, v, count, flags | SPLICE_F_NONBLOCK); },
                false);
}

} // namespace weft::shim::splicing
