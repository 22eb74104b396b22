// SPDX-License-Identifier: Apache-2.0
// The exported names of reads and writes at an offset, of several messages, and of moves within the kernel.
#include "calls/disk.hpp"
#include "calls/fd.hpp"
#include "calls/io.hpp"
#include "calls/messages.hpp"
#include "calls/positioned.hpp"
#include "calls/splice.hpp"
#include "core/serve.hpp"

#include <weft/export.hpp>

using weft::shim::call;
using weft::shim::real;
using weft::shim::serve;
namespace disk = weft::shim::disk;
namespace fd = weft::shim::fd;
namespace io = weft::shim::io;
namespace messages = weft::shim::messages;
namespace positioned = weft::shim::positioned;
namespace splicing = weft::shim::splicing;

extern "C" {

// --- Twins ---

WEFT_API ssize_t __read(int fd, void* buffer, std::size_t size) { return serve<call::__read>(io::read, fd, buffer, size); }
WEFT_API ssize_t __write(int fd, const void* buffer, std::size_t size) { return serve<call::__write>(io::write, fd, buffer, size); }
WEFT_API ssize_t __send(int fd, const void* buffer, std::size_t size, int flags) {
    return serve<call::__send>(io::send, fd, buffer, size, flags);
}
WEFT_API int __connect(int fd, const sockaddr* address, socklen_t size) {
    return serve<call::__connect>(io::connect, fd, address, size);
}

// --- At an offset ---

WEFT_API ssize_t pread(int fd, void* buffer, std::size_t size, off_t offset) {
    return serve<call::pread>(positioned::pread, fd, buffer, size, offset);
}
WEFT_API ssize_t pread64(int fd, void* buffer, std::size_t size, off64_t offset) {
    return serve<call::pread64>(positioned::pread, fd, buffer, size, offset);
}
WEFT_API ssize_t __pread64(int fd, void* buffer, std::size_t size, off64_t offset) {
    return serve<call::__pread64>(positioned::pread, fd, buffer, size, offset);
}
WEFT_API ssize_t __pread_chk(int fd, void* buffer, std::size_t size, off_t offset, std::size_t capacity) {
    if (size > capacity) return real().__pread_chk(fd, buffer, size, offset, capacity);
    return pread(fd, buffer, size, offset);
}
WEFT_API ssize_t __pread64_chk(int fd, void* buffer, std::size_t size, off64_t offset, std::size_t capacity) {
    if (size > capacity) return real().__pread64_chk(fd, buffer, size, offset, capacity);
    return pread64(fd, buffer, size, offset);
}
WEFT_API ssize_t pwrite(int fd, const void* buffer, std::size_t size, off_t offset) {
    return serve<call::pwrite>(positioned::pwrite, fd, buffer, size, offset);
}
WEFT_API ssize_t pwrite64(int fd, const void* buffer, std::size_t size, off64_t offset) {
    return serve<call::pwrite64>(positioned::pwrite, fd, buffer, size, offset);
}
WEFT_API ssize_t __pwrite64(int fd, const void* buffer, std::size_t size, off64_t offset) {
    return serve<call::__pwrite64>(positioned::pwrite, fd, buffer, size, offset);
}
WEFT_API ssize_t preadv(int fd, const iovec* v, int count, off_t offset) {
    return serve<call::preadv>(positioned::preadv, fd, v, count, offset);
}
WEFT_API ssize_t preadv64(int fd, const iovec* v, int count, off64_t offset) {
    return serve<call::preadv64>(positioned::preadv, fd, v, count, offset);
}
WEFT_API ssize_t pwritev(int fd, const iovec* v, int count, off_t offset) {
    return serve<call::pwritev>(positioned::pwritev, fd, v, count, offset);
}
WEFT_API ssize_t pwritev64(int fd, const iovec* v, int count, off64_t offset) {
    return serve<call::pwritev64>(positioned::pwritev, fd, v, count, offset);
}
WEFT_API ssize_t preadv2(int fd, const iovec* v, int count, off_t offset, int flags) {
    return serve<call::preadv2>(positioned::preadv2, fd, v, count, offset, flags);
}
WEFT_API ssize_t preadv64v2(int fd, const iovec* v, int count, off64_t offset, int flags) {
    return serve<call::preadv64v2>(positioned::preadv2, fd, v, count, offset, flags);
}
WEFT_API ssize_t pwritev2(int fd, const iovec* v, int count, off_t offset, int flags) {
    return serve<call::pwritev2>(positioned::pwritev2, fd, v, count, offset, flags);
}
WEFT_API ssize_t pwritev64v2(int fd, const iovec* v, int count, off64_t offset, int flags) {
    return serve<call::pwritev64v2>(positioned::pwritev2, fd, v, count, offset, flags);
}

// --- Several messages ---

WEFT_API int recvmmsg(int fd, mmsghdr* all, unsigned count, int flags, timespec* timeout) {
    const int received = serve<call::recvmmsg>(messages::recvmmsg, fd, all, count, flags, timeout);
    for (int i = 0; i < received; ++i) fd::brought(0, &all[i].msg_hdr);
    return received;
}
WEFT_API int sendmmsg(int fd, mmsghdr* all, unsigned count, int flags) {
    const int sent = serve<call::sendmmsg>(messages::sendmmsg, fd, all, count, flags);
    for (int i = 0; i < sent; ++i) fd::took(0, &all[i].msg_hdr);
    return sent;
}

// --- Within the kernel ---

WEFT_API ssize_t sendfile(int out, int in, off_t* offset, std::size_t size) noexcept {
    return serve<call::sendfile>(splicing::sendfile, out, in, offset, size);
}
WEFT_API ssize_t sendfile64(int out, int in, off64_t* offset, std::size_t size) noexcept {
    return serve<call::sendfile64>(splicing::sendfile, out, in, offset, size);
}
WEFT_API ssize_t splice(int in, off64_t* in_offset, int out, off64_t* out_offset, std::size_t size, unsigned flags) {
    return serve<call::splice>(splicing::splice, in, in_offset, out, out_offset, size, flags);
}
WEFT_API ssize_t tee(int in, int out, std::size_t size, unsigned flags) {
    return serve<call::tee>(splicing::tee, in, out, size, flags);
}
WEFT_API ssize_t vmsplice(int fd, const iovec* v, std::size_t count, unsigned flags) {
    return serve<call::vmsplice>(splicing::vmsplice, fd, v, count, flags);
}
WEFT_API ssize_t copy_file_range(int in, off64_t* in_offset, int out, off64_t* out_offset, std::size_t size, unsigned flags) {
    return serve<call::copy_file_range>(disk::copy_file_range, in, in_offset, out, out_offset, size, flags);
}

} // extern "C"
