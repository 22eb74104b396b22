// SPDX-License-Identifier: Apache-2.0
// Shared memory, tokens, and messages over sockets.
#include <weft/detail/shared_core.hpp>

#include "core/private_fd.hpp"
#include "core/readiness.hpp"
#include "core/sys.hpp"
#include "work/descriptors.hpp"

#include <weft/errors.hpp>

#include <cerrno>
#include <cstring>
#include <system_error>

#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

namespace weft::rt {

namespace {

[[noreturn]] void fail(long result, const char* what) { throw std::system_error(static_cast<int>(-result), std::generic_category(), what); }

int private_or_throw(long fd, const char* what) {
    if (fd < 0) fail(fd, what);
    const int mine = make_private(static_cast<int>(fd));
    readiness::opened(mine);
    return mine;
}

void close_private(int& fd) noexcept {
    if (fd < 0) return;
    readiness::closing(fd);
    forget_private(fd);
}

} // namespace

// --- Memory ---

shared_block::shared_block(std::size_t size) : size_(size == 0 ? 1 : size) {
    data_ = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (data_ == MAP_FAILED) fail(-errno, "weft: memory for several processes");
}

shared_block::~shared_block() { ::munmap(data_, size_); }

// --- Tokens ---

shared_tokens::shared_tokens(unsigned n)
    : fd_(private_or_throw(sys::call(SYS_eventfd2, n, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE), "weft: a lock for several processes")) {}

shared_tokens::~shared_tokens() { close_private(fd_); }

bool shared_tokens::take(deadline d) {
    for (;;) {
        interruption_point();
        std::uint64_t token = 0;
        const long n = sys::call(SYS_read, fd_, sys::arg(&token), sizeof token);
        if (n > 0) return true;
        if (n != -EAGAIN && n != -EINTR) fail(n, "weft: a lock for several processes");
        if (!await_one(fd_, POLLIN, d)) return false;
    }
}

void shared_tokens::put() noexcept {
    const std::uint64_t one = 1;
    sys::call(SYS_write, fd_, sys::arg(&one), sizeof one);
}

// --- Messages ---

namespace {

constexpr std::size_t most_inline = 65536;
enum class travels : char { here, in_a_file };

/// The bytes in a file in memory, or a negative errno.
long file_with(std::string_view bytes) noexcept {
    const long fd = sys::call(SYS_memfd_create, sys::arg("weft message"), MFD_CLOEXEC);
    for (std::size_t done = 0; fd >= 0 && done < bytes.size();) {
        const long n = sys::call(SYS_write, fd, sys::arg(bytes.data() + done), static_cast<long>(bytes.size() - done));
        if (n <= 0 && n != -EINTR) {
            sys::close(static_cast<int>(fd));
            return n == 0 ? -ENOSPC : n;
        }
        if (n > 0) done += static_cast<std::size_t>(n);
    }
    return fd;
}

void read_file(int fd, std::string& bytes) {
    struct stat about {};
    sys::call(SYS_fstat, fd, sys::arg(&about));
    bytes.resize(static_cast<std::size_t>(about.st_size));
    for (std::size_t done = 0; done < bytes.size();) {
        const long n = sys::call(SYS_pread64, fd, sys::arg(bytes.data() + done), static_cast<long>(bytes.size() - done), static_cast<long>(done));
        if (n <= 0 && n != -EINTR) fail(n == 0 ? -EIO : n, "weft: a message between processes");
        if (n > 0) done += static_cast<std::size_t>(n);
    }
}

union control_buffer {
    cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
};

} // namespace

void message_end::make(int (&ends)[2]) {
    if (const long result = sys::call(SYS_socketpair, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sys::arg(ends)); result < 0)
        fail(result, "weft: a pipe between processes");
    for (int& fd : ends) {
        fd = make_private(fd);
        readiness::opened(fd);
    }
}

long message_end::send_now(std::string_view message) noexcept {
    travels how = message.size() <= most_inline ? travels::here : travels::in_a_file;
    iovec parts[2] = {{&how, 1}, {const_cast<char*>(message.data()), message.size()}};
    msghdr h{};
    h.msg_iov = parts;
    h.msg_iovlen = 2;
    control_buffer control{};
    long file = -1;
    if (how == travels::in_a_file) {
        pollfd p{fd_, POLLOUT, 0};
        if (sys::call(SYS_poll, sys::arg(&p), 1, 0) == 0) return -EAGAIN; // else it would be copied in vain
        file = file_with(message);
        if (file < 0) return file;
        h.msg_iovlen = 1;
        h.msg_control = control.bytes;
        h.msg_controllen = sizeof control.bytes;
        control.header = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
        const int number = static_cast<int>(file);
        std::memcpy(CMSG_DATA(&control.header), &number, sizeof number);
    }
    long n = 0;
    do n = sys::call(SYS_sendmsg, fd_, sys::arg(&h), MSG_DONTWAIT | MSG_NOSIGNAL);
    while (n == -EINTR);
    if (file >= 0) sys::close(static_cast<int>(file));
    return n == -ECONNRESET ? -EPIPE : n < 0 ? n : 1;
}

long message_end::receive_now(std::string& message) {
    travels how = travels::here;
    message.resize(most_inline);
    iovec parts[2] = {{&how, 1}, {message.data(), message.size()}};
    control_buffer control{};
    msghdr h{};
    h.msg_iov = parts;
    h.msg_iovlen = 2;
    h.msg_control = control.bytes;
    h.msg_controllen = sizeof control.bytes;
    long n = 0;
    do n = sys::call(SYS_recvmsg, fd_, sys::arg(&h), MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (n == -EINTR);
    message.resize(n > 1 ? static_cast<std::size_t>(n - 1) : 0);
    if (n == -ECONNRESET) return 0;
    if (n <= 0) return n;
    if (how == travels::in_a_file) {
        int file = -1;
        if (h.msg_controllen < CMSG_LEN(sizeof file)) return -EMFILE; // the kernel had no number for it
        std::memcpy(&file, CMSG_DATA(&control.header), sizeof file);
        struct closing {
            int fd;
            ~closing() { sys::close(fd); }
        } const at_end{file};
        read_file(file, message);
    }
    return 1;
}

bool message_end::send(std::string_view message, deadline d) {
    for (;;) {
        interruption_point();
        const long n = send_now(message);
        if (n > 0) return true;
        if (n != -EAGAIN) fail(n, "weft: sending to a process");
        if (!await_one(fd_, POLLOUT, d)) return false;
    }
}

std::optional<std::string> message_end::receive(deadline d) {
    for (std::string message;;) {
        interruption_point();
        const long n = receive_now(message);
        if (n > 0) return message;
        if (n == 0) throw queue_shutdown("the other end of the pipe is closed");
        if (n != -EAGAIN) fail(n, "weft: receiving from a process");
        if (!await_one(fd_, POLLIN, d)) return {};
    }
}

bool message_end::wait(deadline d) { return await_one(fd_, POLLIN, d); }

void message_end::close() noexcept { close_private(fd_); }

} // namespace weft::rt
