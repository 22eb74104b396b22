// SPDX-License-Identifier: Apache-2.0
#include "net/endpoint.hpp"

#include "core/hub.hpp"
#include "core/interruption.hpp"
#include "core/made_once.hpp"
#include "core/parkable.hpp"
#include "core/readiness.hpp"
#include "core/sys.hpp"

#include <weft/io.hpp>
#include <weft/threadpool.hpp>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <system_error>
#include <utility>

#include <netdb.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace weft::rt {

void throw_errno(int error, const char* what) { throw std::system_error(error, std::generic_category(), what); }

// --- Text ---

namespace {

[[noreturn]] void refuse(std::string_view text) {
    throw std::invalid_argument("weft: no address: \"" + std::string(text) + "\"");
}

socket_address unix_address(std::string_view path) {
    sockaddr_un a{};
    a.sun_family = AF_UNIX;
    const bool abstract = path.starts_with('@');
    if (path.empty() || path.size() + (abstract ? 0 : 1) > sizeof a.sun_path) throw_errno(path.empty() ? EINVAL : ENAMETOOLONG, "weft: path of a socket");
    std::memcpy(a.sun_path, path.data(), path.size());
    if (abstract) a.sun_path[0] = 0;
    const std::size_t size = offsetof(sockaddr_un, sun_path) + path.size() + (abstract ? 0 : 1);
    return {reinterpret_cast<const sockaddr*>(&a), static_cast<unsigned>(size)};
}

socket_address any_address(int family, std::uint16_t port) {
    if (family == AF_INET6) {
        sockaddr_in6 a{};
        a.sin6_family = AF_INET6;
        a.sin6_port = htons(port);
        return {reinterpret_cast<const sockaddr*>(&a), sizeof a};
    }
    sockaddr_in a{};
    a.sin_family = AF_INET;
    a.sin_port = htons(port);
    return {reinterpret_cast<const sockaddr*>(&a), sizeof a};
}

bool is_number(std::string_view s) noexcept {
    return !s.empty() && std::all_of(s.begin(), s.end(), [](char c) { return c >= '0' && c <= '9'; });
}

/// What getaddrinfo says.
struct answer {
    int error = 0;
    int system_error = 0; // where that is EAI_SYSTEM
    std::vector<socket_address> addresses;
};

answer ask(const std::string& host, const std::string& port, int type, int flags) {
    addrinfo hints{};
    hints.ai_socktype = type;
    hints.ai_flags = flags;
    addrinfo* found = nullptr;
    answer a;
    a.error = ::getaddrinfo(host.empty() ? nullptr : host.c_str(), port.c_str(), &hints, &found);
    a.system_error = errno;
    if (a.error != 0) return a;
    const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> guard(found, &::freeaddrinfo);
    for (const addrinfo* i = found; i != nullptr; i = i->ai_next) a.addresses.emplace_back(i->ai_addr, static_cast<unsigned>(i->ai_addrlen));
    return a;
}

constinit made_once<threadpool> lookups; // one may be going on when the process ends

/// Where a peer is. Names are looked up on a kernel thread, with or without a shim: that may take long, and is left at the deadline.
answer find_peer(const std::string& host, const std::string& port, int type, deadline d) {
    if (answer at_once = ask(host, port, type, AI_NUMERICHOST | AI_NUMERICSERV); at_once.error == 0) return at_once;
    constexpr std::size_t most_at_once = 16;
    auto found = lookups.get(most_at_once).submit([=] {
        answer first = ask(host, port, type, AI_ADDRCONFIG);
        const bool again = first.error != 0 && first.error != EAI_SYSTEM; // an address of a family that this machine has but on its loopback
        return again ? ask(host, port, type, 0) : first;
    });
    try {
        return found.get(d);
    } catch (...) {
        found.cancel(); // unless it has begun
        throw;
    }
}

std::vector<socket_address> look_up(const std::string& host, const std::string& port, int type, bool to_listen, deadline d) {
    answer a = to_listen ? ask(host, port, type, AI_PASSIVE) : find_peer(host, port, type, d);
    if (a.error == EAI_SYSTEM) {
        interruption_point(); // it may have been that
        throw_errno(a.system_error, ("weft: " + host).c_str());
    }
    if (a.error != 0) throw std::runtime_error("weft: " + host + ":" + port + ": " + ::gai_strerror(a.error));
    std::vector<socket_address> all = std::move(a.addresses);
    // A server on "localhost" is where most look for it.
    if (to_listen) std::stable_partition(all.begin(), all.end(), [](const socket_address& one) { return one.family() == AF_INET; });
    return all;
}

} // namespace

endpoint resolve(std::string_view text, int type, bool to_listen, deadline d) {
    endpoint e;
    if (text.starts_with("unix:")) {
        e.addresses.push_back(unix_address(text.substr(5)));
        return e;
    }
    if (text.starts_with('/')) {
        e.addresses.push_back(unix_address(text));
        return e;
    }
    std::string_view host, port = text;
    if (!is_number(text)) {
        const std::size_t colon = text.rfind(':');
        if (colon == std::string_view::npos) refuse(text);
        host = text.substr(0, colon);
        port = text.substr(colon + 1);
        if (host.starts_with('[') && host.ends_with(']') && host.size() > 2) host = host.substr(1, host.size() - 2);
        else if (host.find_first_of(":[]") != std::string_view::npos) refuse(text);
    }
    if (port.empty()) refuse(text);
    unsigned long number = 0;
    if (is_number(port)) {
        number = port.size() > 5 ? 65536 : std::stoul(std::string(port));
        if (number > 65535) refuse(text);
    }
    if (host == "*") host = {};
    if (host.empty() && to_listen && is_number(port)) {
        e.any = true; // one socket for both families where there is IPv6
        e.addresses.push_back(any_address(AF_INET6, static_cast<std::uint16_t>(number)));
        e.addresses.push_back(any_address(AF_INET, static_cast<std::uint16_t>(number)));
        return e;
    }
    e.addresses = look_up(std::string(host), std::string(port), type, to_listen, d);
    return e;
}

// --- Sockets ---

void socket_fd::reset(int fd) noexcept {
    if (fd_ >= 0) {
        const int saved_errno = errno;
        readiness::closing(fd_); // a shim's close does it, too
        ::close(fd_);
        errno = saved_errno;
    }
    fd_ = fd;
}

socket_address address_of(int fd) noexcept {
    sockaddr_storage a{};
    socklen_t size = sizeof a;
    if (::getsockname(fd, reinterpret_cast<sockaddr*>(&a), &size) != 0) return {};
    return {reinterpret_cast<const sockaddr*>(&a), size};
}

namespace {

void set(int fd, int level, int name, int value) noexcept { ::setsockopt(fd, level, name, &value, sizeof value); }

/// A socket in the file system that nobody listens on any more.
bool remove_stale(const socket_address& a) noexcept {
    const std::string path = a.host();
    struct stat s{};
    if (path.empty() || path[0] == '@' || ::lstat(path.c_str(), &s) != 0 || !S_ISSOCK(s.st_mode)) return false;
    const socket_fd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const long result = sys::call(SYS_connect, probe.get(), sys::arg(a.data()), static_cast<long>(a.size()));
    return result == -ECONNREFUSED && ::unlink(path.c_str()) == 0;
}

/// 0 or the errno.
int bind_to(int fd, const socket_address& a) noexcept {
    if (::bind(fd, a.data(), a.size()) == 0) return 0;
    const int error = errno;
    if (error == EADDRINUSE && a.family() == AF_UNIX && remove_stale(a) && ::bind(fd, a.data(), a.size()) == 0) return 0;
    return error;
}

} // namespace

socket_fd bind_socket(const endpoint& where, int type, const listen_options& options) {
    int error = EADDRNOTAVAIL;
    for (const socket_address& a : where.addresses) {
        socket_fd made(::socket(a.family(), type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        if (made.get() < 0) {
            error = errno;
            continue;
        }
        readiness::opened(made.get());
        const int fd = made.get();
        if (a.family() != AF_UNIX && type == SOCK_STREAM) set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
        if (a.family() != AF_UNIX && options.reuse_port) set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
        if (a.family() == AF_INET6) set(fd, IPPROTO_IPV6, IPV6_V6ONLY, where.any ? 0 : 1);
        error = bind_to(fd, a);
        if (error == 0 && options.backlog > 0 && ::listen(fd, options.backlog) != 0) error = errno;
        if (error == 0) return made;
    }
    throw_errno(error, "weft: bind");
}

bool wait_socket(int fd, bool to_write, deadline d, const char* what) {
    if (fd < 0) throw_errno(EBADF, what);
    if (!current_parkable().is_fiber()) return to_write ? wait_writable(fd, d) : wait_readable(fd, d);
    switch (readiness::wait(fd, to_write ? EPOLLOUT : EPOLLIN, d)) {
    case fd_wake::deadline: return false;
    case fd_wake::closed: throw_errno(EBADF, what);
    case fd_wake::cancelled: throw_errno(ECANCELED, what);
    case fd_wake::failed: throw_errno(errno, what);
    case fd_wake::ready:
    case fd_wake::interrupted: break;
    }
    interruption_point();
    return true;
}

void socket_went_through() noexcept {
    if (this_thread_state.running != nullptr) went_through();
}

} // namespace weft::rt
