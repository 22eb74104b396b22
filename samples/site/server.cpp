// SPDX-License-Identifier: Apache-2.0
#include "server.hpp"

#include <weft/fiber.hpp>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <ostream>
#include <string_view>
#include <system_error>

namespace site {
namespace {

constexpr std::size_t largest_request = 16 * 1024;
constexpr int backlog = 1024;

[[noreturn]] void fail(const char* what) {
    throw std::system_error(errno, std::generic_category(), what);
}

class owned_fd {
public:
    explicit owned_fd(int fd) : fd_(fd) {}
    ~owned_fd() { ::close(fd_); }
    owned_fd(const owned_fd&) = delete;
    owned_fd& operator=(const owned_fd&) = delete;

private:
    int fd_;
};

bool send_all(int fd, std::string_view text) {
    while (!text.empty()) {
        const auto sent = ::send(fd, text.data(), text.size(), MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent <= 0) return false;
        text.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
}

std::string_view header(std::string_view request, std::string_view name) {
    const auto at = request.find(name);
    if (at == std::string_view::npos) return {};
    const auto value = request.substr(at + name.size());
    return value.substr(0, value.find('\r'));
}

std::string_view reason(int status) {
    switch (status) {
    case 200: return "OK";
    case 404: return "Not Found";
    case 410: return "Gone";
    case 500: return "Internal Server Error";
    case 503: return "Service Unavailable";
    default: return status < 400 ? "Moved" : "Bad Request";
    }
}

} // namespace

server::server(const plan& what, std::uint16_t port, std::ostream* log) : plan_(what), log_(log) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener_ < 0) fail("socket");
    const int on = 1;
    ::setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    if (::bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) fail("bind");
    if (::listen(listener_, backlog) != 0) fail("listen");
    socklen_t size = sizeof address;
    if (::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0) fail("getsockname");
    port_ = ntohs(address.sin_port);
}

server::~server() {
    ::close(listener_);
}

void server::serve() {
    while (true) {
        const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
        if (fd >= 0) {
            weft::spawn({.name = "connection"}, [this, fd] { serve_connection(fd); });
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
            ::usleep(10'000); // Until a connection ends.
        } else if (errno != EINTR && errno != ECONNABORTED) {
            fail("accept");
        }
    }
}

void server::serve_connection(int fd) {
    const owned_fd owner(fd);
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    std::string buffer;
    char piece[4096];
    while (true) {
        const auto end = buffer.find("\r\n\r\n");
        if (end != std::string::npos) {
            if (!serve_request(fd, buffer.substr(0, end + 2))) return;
            buffer.erase(0, end + 4);
            continue;
        }
        if (buffer.size() > largest_request) return;
        const auto got = ::recv(fd, piece, sizeof piece, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return;
        buffer.append(piece, static_cast<std::size_t>(got));
    }
}

/// False: the connection is done.
bool server::serve_request(int fd, const std::string& request) {
    const auto method_end = request.find(' ');
    const auto target_end = request.find(' ', method_end + 1);
    if (method_end == std::string::npos || target_end == std::string::npos) return false;
    const std::string_view text(request);
    const auto method = text.substr(0, method_end);
    const auto target = text.substr(method_end + 1, target_end - method_end - 1);
    if (log_) *log_ << target << std::endl;
    auto what = plan_.answer(target, header(text, "\r\nHost: "));
    if (method != "GET" && method != "HEAD") what = {.status = 400, .body = "GET or HEAD"};
    if (what.goes == trouble::flaky && ++flaky_requests_[std::string(target)] % 2 == 1)
        what = {.status = 503, .delay = what.delay};

    ::usleep(static_cast<useconds_t>(what.delay / std::chrono::microseconds(1)));
    if (what.goes == trouble::drop) return false;
    return answer(fd, std::move(what), method == "HEAD") && header(text, "\r\nConnection: ") != "close";
}

bool server::answer(int fd, reply what, bool head_only) {
    std::string text = "HTTP/1.1 " + std::to_string(what.status) + " " + std::string(reason(what.status)) +
                       "\r\nContent-Type: " + what.type + "\r\nContent-Length: " + std::to_string(what.body.size()) +
                       "\r\n";
    if (!what.location.empty()) text += "Location: " + what.location + "\r\n";
    text += "\r\n";
    if (what.goes == trouble::cut) what.body.resize(what.body.size() / 2);
    if (!head_only) text += what.body;
    return send_all(fd, text) && what.goes != trouble::cut;
}

} // namespace site
