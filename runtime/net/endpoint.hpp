// SPDX-License-Identifier: Apache-2.0
#pragma once

// What is written as "host:port", "unix:/path" and so on, and the sockets made of it.

#include <weft/connection.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace weft::rt {

/// Address families and where in them; several where a name has several addresses.
struct endpoint {
    std::vector<socket_address> addresses;
    bool any = false; // no host was given: every address of this machine
};

/// "host:port", "[v6]:port", ":port", "port", "unix:/path", "unix:@name". Throws std::invalid_argument for what is none of these, std::system_error
/// or std::runtime_error where a name is not found. `to_listen`: without a host it means all addresses, else this machine. The deadline is for names
/// of peers; past it timeout_error.
endpoint resolve(std::string_view text, int type, bool to_listen, deadline d = {});

/// A descriptor that is closed with its owner, and that the hubs forget then.
class socket_fd {
public:
    socket_fd() noexcept = default;
    explicit socket_fd(int fd) noexcept : fd_(fd) {}
    socket_fd(socket_fd&& other) noexcept : fd_(other.release()) {}
    socket_fd& operator=(socket_fd&& other) noexcept {
        reset(other.release());
        return *this;
    }
    ~socket_fd() { reset(); }
    [[nodiscard]] int get() const noexcept { return fd_; }
    int release() noexcept {
        const int fd = fd_;
        fd_ = -1;
        return fd;
    }
    void reset(int fd = -1) noexcept;

private:
    int fd_ = -1;
};

struct listen_options {
    int backlog = 0; // 0: it is bound only (datagrams)
    bool reuse_port = false;
};

/// A non-blocking socket bound to the first address that can be had; for streams it listens. Throws std::system_error.
socket_fd bind_socket(const endpoint& where, int type, const listen_options& options);
/// Where a socket is.
socket_address address_of(int fd) noexcept;

/// Suspends the calling fiber, or blocks the kernel thread that has none, until the descriptor, which is weft's own, may be ready. False: the deadline
/// came first. Throws std::system_error as wait_readable does.
bool wait_socket(int fd, bool to_write, deadline d, const char* what);
/// A call that needed no waiting: lets the other fibers run where a fiber's calls never wait.
void socket_went_through() noexcept;

[[noreturn]] void throw_errno(int error, const char* what);

} // namespace weft::rt
