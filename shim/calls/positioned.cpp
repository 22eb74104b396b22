// SPDX-License-Identifier: Apache-2.0
#include "calls/positioned.hpp"

#include "calls/io.hpp"
#include "calls/transfer.hpp"

namespace weft::shim::positioned {

namespace {

bool passes_through(fd_kind kind) noexcept { return kind == fd_kind::plain || kind == fd_kind::unknown; }

bool is_ready(int fd, short events) noexcept {
    pollfd p{fd, events, 0};
    return real().poll(&p, 1, 0) != 0;
}

} // namespace

ssize_t preadv2(int fd, const iovec* v, int count, off64_t offset, int flags) noexcept {
    if (offset == -1 && flags == 0) return io::readv(fd, v, count);
    descriptor& d = descriptor::of(fd);
    const fd_kind kind = d.kind(fd);
    if (passes_through(kind) || count <= 0 || (flags & RWF_NOWAIT) != 0) return real().preadv64v2(fd, v, count, offset, flags);
    return receive(fd, d, receive_timeout, [=](int) -> ssize_t {
        const ssize_t n = real().preadv64v2(fd, v, count, offset, flags | RWF_NOWAIT);
        if (n >= 0 || errno != EOPNOTSUPP) return n;
        return is_ready(fd, POLLIN) ? real().preadv64v2(fd, v, count, offset, flags) : fail(EAGAIN);
    });
}

ssize_t pwritev2(int fd, const iovec* v, int count, off64_t offset, int flags) noexcept {
    if (offset == -1 && flags == 0) return io::writev(fd, v, count);
    descriptor& d = descriptor::of(fd);
    const fd_kind kind = d.kind(fd);
    if (passes_through(kind) || count <= 0 || (flags & RWF_NOWAIT) != 0) return real().pwritev64v2(fd, v, count, offset, flags);
    if (kind == fd_kind::name) return fail(ESPIPE);
    const auto parts = static_cast<std::size_t>(count);
    return transmit(fd, d, [=] { return total_of(v, parts); }, [=](std::size_t done) -> ssize_t {
        iovec_rest rest(v, parts, done);
        const auto left = static_cast<int>(rest.count());
        const off64_t at = offset < 0 ? offset : offset + static_cast<off64_t>(done);
        const ssize_t n = real().pwritev64v2(fd, rest.data(), left, at, flags | RWF_NOWAIT);
        if (n >= 0 || errno != EOPNOTSUPP) return n;
        return is_ready(fd, POLLOUT) ? real().pwritev64v2(fd, rest.data(), left, at, flags) : fail(EAGAIN);
    });
}

ssize_t pread(int fd, void* buffer, std::size_t size, off64_t offset) noexcept {
    if (size == 0 || offset < 0 || passes_through(descriptor::of(fd).kind(fd))) return real().pread64(fd, buffer, size, offset);
    const iovec one{buffer, size};
    return positioned::preadv2(fd, &one, 1, offset, 0);
}

ssize_t pwrite(int fd, const void* buffer, std::size_t size, off64_t offset) noexcept {
    if (size == 0 || offset < 0 || passes_through(descriptor::of(fd).kind(fd))) return real().pwrite64(fd, buffer, size, offset);
    const iovec one{const_cast<void*>(buffer), size};
    return positioned::pwritev2(fd, &one, 1, offset, 0);
}

ssize_t preadv(int fd, const iovec* v, int count, off64_t offset) noexcept {
    return offset < 0 ? real().preadv64(fd, v, count, offset) : positioned::preadv2(fd, v, count, offset, 0);
}

ssize_t pwritev(int fd, const iovec* v, int count, off64_t offset) noexcept {
    return offset < 0 ? real().pwritev64(fd, v, count, offset) : positioned::pwritev2(fd, v, count, offset, 0);
}

} // namespace weft::shim::positioned
