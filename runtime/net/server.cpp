// SPDX-License-Identifier: Apache-2.0
// The two kinds of server: how each takes one client.
#include <weft/fiber.hpp>
#include <weft/server.hpp>

#include "core/log.hpp"
#include "core/readiness.hpp"
#include "core/sys.hpp"
#include "net/server_core.hpp"

#include <algorithm>
#include <cerrno>
#include <stdexcept>
#include <system_error>

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

namespace weft {

namespace rt {

namespace {

/// While it lives, the call of another's blocking socket does not wait. The flag is seen by all who share the socket: only around one system
/// call, and only if somebody waits to be accepted.
class without_waiting {
public:
    explicit without_waiting(int fd) noexcept : fd_(fd), flags_(::fcntl(fd, F_GETFL)) {
        if ((flags_ & O_NONBLOCK) == 0) ::fcntl(fd_, F_SETFL, flags_ | O_NONBLOCK);
    }
    without_waiting(const without_waiting&) = delete;
    without_waiting& operator=(const without_waiting&) = delete;
    ~without_waiting() {
        if ((flags_ & O_NONBLOCK) == 0) ::fcntl(fd_, F_SETFL, flags_);
    }

private:
    int fd_;
    int flags_;
};

class stream_core final : public server_core {
public:
    stream_core(server_address address, std::shared_ptr<connection_handler> handler, const server_options& options)
        : server_core(std::move(address), options, SOCK_STREAM), handler_(std::move(handler)) {}

private:
    void prepare(int fd) override {
        int listens = 0;
        socklen_t size = sizeof listens;
        if (::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == 0 && listens == 0) throw_errno(EINVAL, "weft: the socket of a server does not listen");
    }

    long accept(int fd, sockaddr_storage& from, socklen_t& size) const noexcept {
        const auto once = [&] { return sys::call(SYS_accept4, fd, sys::arg(&from), sys::arg(&size), SOCK_CLOEXEC); };
        if (!is_given()) return once();
        pollfd p{fd, POLLIN, 0};
        if (sys::call(SYS_poll, sys::arg(&p), 1, 0) == 0) return -EAGAIN;
        const without_waiting here(fd);
        return once();
    }

    taken take_one(int fd) override {
        sockaddr_storage from{};
        socklen_t size = sizeof from;
        const long n = accept(fd, from, size);
        if (n < 0) return verdict(static_cast<int>(-n));
        connection c(static_cast<int>(n), socket_address(reinterpret_cast<const sockaddr*>(&from), size));
        try {
            handlers().spawn({.name = "connection", .stack_size = options().stack_size},
                             [handler = handler_, c = std::move(c)]() mutable { handler->serve(c); });
        } catch (const std::bad_alloc&) {
            return taken::no_room; // that client is lost
        } catch (const std::system_error&) {
            return taken::no_room;
        }
        return taken::client;
    }

    static taken verdict(int error) noexcept {
        switch (error) {
        case EAGAIN: return taken::nothing;
        case EMFILE:
        case ENFILE:
        case ENOBUFS:
        case ENOMEM: return taken::no_room;
        case EBADF:
        case EINVAL:
        case ENOTSOCK:
        case EOPNOTSUPP:
        case EFAULT: errno = error; return taken::failed;
        default: return taken::retry; // of that one client: accept(2)
        }
    }

    std::shared_ptr<connection_handler> handler_;
};

void send_to(int fd, std::string_view text, const socket_address& to, deadline d) {
    constexpr const char* what = "weft: sendto";
    interruption_point();
    for (std::chrono::nanoseconds nap = std::chrono::milliseconds(1);;) {
        const long n = sys::call(SYS_sendto, fd, sys::arg(text.data()), static_cast<long>(text.size()), MSG_DONTWAIT | MSG_NOSIGNAL, sys::arg(to.data()),
                                 static_cast<long>(to.size()));
        if (n >= 0) {
            socket_went_through();
            return;
        }
        if (n == -EINTR) continue;
        if (n != -EAGAIN) throw_errno(static_cast<int>(-n), what);
        if (d.expired()) throw timeout_error(std::string(what) + ": the deadline came first");
        if (to.family() != AF_UNIX) {
            wait_socket(fd, true, d, what);
        } else { // the peer's queue is full, and nothing tells when it no longer is
            this_fiber::sleep_until(std::min(d, deadline(nap)));
            nap = std::min<std::chrono::nanoseconds>(nap * 2, std::chrono::milliseconds(50));
        }
    }
}

class datagram_core final : public server_core {
public:
    datagram_core(server_address address, std::shared_ptr<datagram_handler> handler, const server_options& options)
        : server_core(std::move(address), options, SOCK_DGRAM), handler_(std::move(handler)) {}

private:
    taken take_one(int fd) override {
        constexpr std::size_t largest = 65536;
        sockaddr_storage from{};
        socklen_t size = sizeof from;
        thread_local std::unique_ptr<char[]> buffer = std::make_unique<char[]>(largest); // nobody else of this hub runs between receiving and copying
        const long n = sys::call(SYS_recvfrom, fd, sys::arg(buffer.get()), largest, MSG_DONTWAIT, sys::arg(&from), sys::arg(&size));
        if (n == -EAGAIN) return taken::nothing;
        if (n == -EBADF || n == -ENOTSOCK) {
            errno = static_cast<int>(-n);
            return taken::failed;
        }
        if (n == -ENOBUFS || n == -ENOMEM) return taken::no_room;
        if (n < 0) return taken::retry; // what became of an answer
        try {
            datagram d(std::string(buffer.get(), static_cast<std::size_t>(n)), socket_address(reinterpret_cast<const sockaddr*>(&from), size), fd);
            handlers().spawn({.name = "datagram", .stack_size = options().stack_size},
                             [handler = handler_, d = std::move(d)]() mutable { handler->serve(d); });
        } catch (const std::bad_alloc&) {
            return taken::no_room;
        } catch (const std::system_error&) {
            return taken::no_room;
        }
        return taken::client;
    }

    std::shared_ptr<datagram_handler> handler_;
};

} // namespace

} // namespace rt

void datagram::send(std::string_view text, deadline d) const { rt::send_to(fd_, text, peer, d); }

basic_server::basic_server(std::unique_ptr<rt::server_core> core) noexcept : core_(std::move(core)) {}

basic_server::~basic_server() {
    try {
        const rt::no_interruption on_the_way_out;
        core_->stop(std::chrono::nanoseconds(0));
    } catch (const std::exception& e) {
        rt::log_line line;
        line << "a server could not be stopped: " << e.what();
        line.write();
    }
}

void basic_server::start() { core_->start(); }
bool basic_server::stop(deadline d) { return core_->stop(d); }
void basic_server::serve_forever() { core_->serve_forever(); }
bool basic_server::started() const noexcept { return core_->is_started(); }
std::string basic_server::address() const { return core_->address(); }
std::uint16_t basic_server::port() const { return core_->port(); }
int basic_server::fd() const noexcept { return core_->first_fd(); }
void basic_server::set_pool(std::size_t places) { core_->set_pool(places); }
void basic_server::set_pool(group& handlers) { core_->set_pool(handlers); }
std::size_t basic_server::clients() const noexcept { return core_->handlers().size(); }

stream_server::stream_server(server_address address, std::shared_ptr<rt::connection_handler> handler, const server_options& options, int)
    : basic_server(std::make_unique<rt::stream_core>(std::move(address), std::move(handler), options)) {}

datagram_server::datagram_server(server_address address, std::shared_ptr<rt::datagram_handler> handler, const server_options& options, int)
    : basic_server(std::make_unique<rt::datagram_core>(std::move(address), std::move(handler), options)) {}

void datagram_server::sendto(std::string_view text, const socket_address& to, deadline d) {
    if (core_->first_fd() < 0) rt::throw_errno(EBADF, "weft: a server that does not run");
    rt::send_to(core_->first_fd(), text, to, d);
}

} // namespace weft
