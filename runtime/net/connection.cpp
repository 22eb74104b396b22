// SPDX-License-Identifier: Apache-2.0
#include <weft/connection.hpp>

#include "core/readiness.hpp"
#include "core/sys.hpp"
#include "net/endpoint.hpp"

#include <weft/errors.hpp>
#include <weft/fiber.hpp>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

namespace weft {

namespace {

/// Makes an attempt that never waits until it says something else than EAGAIN. Its result; throws past the deadline.
template <class Attempt>
long repeat(int fd, bool to_write, deadline d, const char* what, Attempt attempt) {
    rt::interruption_point();
    for (;;) {
        if (fd < 0) rt::throw_errno(EBADF, what);
        const long n = attempt();
        if (n >= 0) {
            rt::socket_went_through();
            return n;
        }
        if (n == -EINTR) continue;
        if (n != -EAGAIN) rt::throw_errno(static_cast<int>(-n), what);
        if (!rt::wait_socket(fd, to_write, d, what)) throw timeout_error(std::string(what) + ": the deadline came first");
    }
}

} // namespace

connection::connection(int fd, socket_address peer) noexcept : fd_(fd), peer_(peer) {
    rt::readiness::opened(fd);
}

connection& connection::operator=(connection&& other) noexcept {
    if (this == &other) return *this;
    close();
    fd_ = std::exchange(other.fd_, -1);
    taken_ = std::exchange(other.taken_, 0);
    ahead_ = std::move(other.ahead_);
    peer_ = other.peer_;
    return *this;
}

connection connection::open(std::string_view address, deadline d) {
    constexpr const char* what = "weft::connection::open";
    rt::interruption_point();
    const rt::endpoint where = rt::resolve(address, SOCK_STREAM, false, d);
    int error = EADDRNOTAVAIL;
    for (const socket_address& a : where.addresses) {
        rt::socket_fd made(::socket(a.family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        if (made.get() < 0) {
            error = errno;
            continue;
        }
        const int fd = made.get();
        rt::readiness::opened(fd);
        long result = 0;
        for (;;) { // a Unix socket says EAGAIN while its listener is busy, and nothing tells when it no longer is
            result = rt::sys::call(SYS_connect, fd, rt::sys::arg(a.data()), static_cast<long>(a.size()));
            if (result != -EAGAIN || a.family() != AF_UNIX) break;
            if (d.expired()) throw timeout_error(std::string(what) + ": the deadline came first");
            this_fiber::sleep_until(std::min(d, deadline(std::chrono::milliseconds(1))));
        }
        if (result == -EINPROGRESS || result == -EINTR) {
            if (!rt::wait_socket(fd, true, d, what)) throw timeout_error(std::string(what) + ": the deadline came first");
            for (;;) {
                int said = 0;
                socklen_t size = sizeof said;
                ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &said, &size);
                result = -said;
                tcp_info info{};
                size = sizeof info;
                const bool pending = said == 0 && ::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 && info.tcpi_state == TCP_SYN_SENT;
                if (!pending) break;
                if (!rt::wait_socket(fd, true, d, what)) throw timeout_error(std::string(what) + ": the deadline came first");
            }
        }
        if (result == 0) {
            ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) & ~O_NONBLOCK); // nobody else has this description yet
            return connection(made.release(), a);
        }
        error = static_cast<int>(-result);
    }
    rt::throw_errno(error, what);
}

std::size_t connection::receive(void* buffer, std::size_t size, deadline d) {
    return static_cast<std::size_t>(repeat(fd_, false, d, "weft::connection::read", [&] {
        return rt::sys::call(SYS_recvfrom, fd_, rt::sys::arg(buffer), static_cast<long>(size), MSG_DONTWAIT);
    }));
}

std::size_t connection::read(void* buffer, std::size_t size, deadline d) {
    if (size == 0) return 0;
    if (taken_ == ahead_.size()) return receive(buffer, size, d);
    const std::size_t n = std::min(size, ahead_.size() - taken_);
    std::memcpy(buffer, ahead_.data() + taken_, n);
    taken_ += n;
    return n;
}

std::string connection::read_some(std::size_t most, deadline d) {
    std::string text(most, '\0');
    text.resize(read(text.data(), most, d));
    return text;
}

std::size_t connection::read_exactly(void* buffer, std::size_t size, deadline d) {
    std::size_t got = 0;
    while (got < size) {
        const std::size_t n = read(static_cast<char*>(buffer) + got, size - got, d);
        if (n == 0) break;
        got += n;
    }
    return got;
}

std::optional<std::string> connection::read_line(std::size_t longest, deadline d) {
    constexpr std::size_t piece = 4096;
    ahead_.erase(0, std::exchange(taken_, 0));
    std::size_t looked_at = 0;
    for (;;) {
        const std::size_t end = ahead_.find('\n', looked_at);
        if (end != std::string::npos && end <= longest + 1) {
            const std::size_t length = end > 0 && ahead_[end - 1] == '\r' ? end - 1 : end;
            if (length <= longest) {
                taken_ = end + 1;
                return ahead_.substr(0, length);
            }
        }
        if (end != std::string::npos || ahead_.size() > longest + 1) throw std::length_error("weft::connection::read_line: the line is too long");
        looked_at = ahead_.size();
        ahead_.resize(looked_at + piece);
        std::size_t n = 0;
        try {
            n = receive(ahead_.data() + looked_at, piece, d);
        } catch (...) {
            ahead_.resize(looked_at);
            throw;
        }
        ahead_.resize(looked_at + n);
        if (n > 0) continue;
        if (ahead_.empty()) return std::nullopt;
        return std::exchange(ahead_, {});
    }
}

std::string connection::read_all(deadline d) {
    constexpr std::size_t piece = 16 * 1024;
    std::string text = ahead_.substr(taken_);
    ahead_.clear();
    taken_ = 0;
    for (;;) {
        const std::size_t had = text.size();
        text.resize(had + piece);
        const std::size_t n = receive(text.data() + had, piece, d);
        text.resize(had + n);
        if (n == 0) return text;
    }
}

void connection::write(const void* data, std::size_t size, deadline d) {
    const char* from = static_cast<const char*>(data);
    while (size > 0) {
        const long n = repeat(fd_, true, d, "weft::connection::write", [&] {
            return rt::sys::call(SYS_sendto, fd_, rt::sys::arg(from), static_cast<long>(size), MSG_DONTWAIT | MSG_NOSIGNAL);
        });
        from += n;
        size -= static_cast<std::size_t>(n);
    }
}

void connection::shutdown_write() noexcept {
    if (fd_ >= 0) rt::sys::call(SYS_shutdown, fd_, SHUT_WR);
}

void connection::close() noexcept { rt::socket_fd(release()).reset(); }

int connection::release() noexcept {
    ahead_.clear();
    taken_ = 0;
    return std::exchange(fd_, -1);
}

} // namespace weft
