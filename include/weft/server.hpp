// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <weft/connection.hpp>
#include <weft/deadline.hpp>
#include <weft/export.hpp>

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace weft {

class group;

/// Where a server listens.
///
/// Text: "host:port", "[v6]:port", ":port" or "port" (every address of this machine, IPv6 and IPv4), "unix:/path" or "/path" ("unix:@name": abstract);
/// port 0 takes a free one. A number: a socket that is open and, for streams, listens already (from a parent, from systemd); it stays the
/// caller's, weft uses a duplicate.
class server_address {
public:
    server_address(std::string text) : text_(std::move(text)) {}
    server_address(std::string_view text) : text_(text) {}
    server_address(const char* text) : text_(text) {}
    server_address(std::same_as<int> auto fd) noexcept : fd_(fd) {}

    /// For weft's own use.
    [[nodiscard]] const std::string& text() const noexcept { return text_; }
    [[nodiscard]] int fd() const noexcept { return fd_; }

private:
    std::string text_;
    int fd_ = -1;
};

/// What the workers of a server are.
enum class worker_kind : std::uint8_t {
    threads,   ///< kernel threads of this process, each with a hub: the handler runs on several at once
    processes, ///< children made by fork, each with a hub; one that dies is replaced
};

/// Members stay in this order.
struct server_options {
    std::size_t pool = 0;         ///< handlers at once (in each process); further clients wait in the kernel's queue. 0: no bound
    int backlog = 1024;           ///< clients that wait to be accepted
    unsigned workers = 1;         ///< 1: handlers run on the hub that calls start(). More: so many hubs beside it, each with a socket of its own
    worker_kind kind = worker_kind::threads;
    bool reuse_port = false;      ///< SO_REUSEPORT with one worker, too, so that other servers can have the same address
    std::size_t stack_size = 0;   ///< of a handler's fiber; 0: the default
    std::chrono::nanoseconds min_delay = std::chrono::milliseconds(10); ///< without descriptors or memory, accepting pauses so long at first,
    std::chrono::nanoseconds max_delay = std::chrono::seconds(1);       ///< twice as long each time up to this
};

namespace rt {

class server_core;

/// The handler, by whatever it takes.
struct WEFT_API connection_handler {
    virtual ~connection_handler() = default;
    virtual void serve(connection& c) = 0;

protected:
    connection_handler() = default;
    connection_handler(const connection_handler&) = default;
    connection_handler& operator=(const connection_handler&) = default;
};

template <class F>
concept connection_function = std::invocable<F&, connection&> || std::invocable<F&, connection> ||
                              std::invocable<F&, connection&, const socket_address&> || std::invocable<F&, connection, socket_address> ||
                              std::invocable<F&, int> || std::invocable<F&, int, const socket_address&>;

template <class F>
struct call_connection final : connection_handler {
    explicit call_connection(F f) : fn(std::move(f)) {}
    void serve(connection& c) override {
        const socket_address peer = c.peer();
        if constexpr (std::invocable<F&, connection&>) fn(c);
        else if constexpr (std::invocable<F&, connection>) fn(std::move(c));
        else if constexpr (std::invocable<F&, connection&, const socket_address&>) fn(c, peer);
        else if constexpr (std::invocable<F&, connection, socket_address>) fn(std::move(c), peer);
        else if constexpr (std::invocable<F&, int>) fn(c.fd());
        else fn(c.fd(), peer);
    }
    F fn;
};

} // namespace rt

/// One datagram, and whom to answer.
class datagram {
public:
    std::string data;
    socket_address peer;

    /// Sends an answer from the server's socket.
    void reply(std::string_view text, deadline d = {}) const { send(text, d); }

    /// For weft's own use.
    datagram(std::string text, socket_address from, int fd) : data(std::move(text)), peer(from), fd_(fd) {}

private:
    WEFT_API void send(std::string_view text, deadline d) const;
    int fd_;
};

namespace rt {

struct WEFT_API datagram_handler {
    virtual ~datagram_handler() = default;
    virtual void serve(datagram& d) = 0;

protected:
    datagram_handler() = default;
    datagram_handler(const datagram_handler&) = default;
    datagram_handler& operator=(const datagram_handler&) = default;
};

template <class F>
concept datagram_function =
    std::invocable<F&, datagram&> || std::invocable<F&, datagram> || std::invocable<F&, std::string, const socket_address&>;

template <class F>
struct call_datagram final : datagram_handler {
    explicit call_datagram(F f) : fn(std::move(f)) {}
    void serve(datagram& d) override {
        if constexpr (std::invocable<F&, datagram&>) fn(d);
        else if constexpr (std::invocable<F&, datagram>) fn(std::move(d));
        else fn(std::move(d.data), d.peer);
    }
    F fn;
};

} // namespace rt

/// What both kinds of server do. Not copied nor moved.
class WEFT_API basic_server {
public:
    basic_server(const basic_server&) = delete;
    basic_server& operator=(const basic_server&) = delete;

    /// Binds, listens and begins to accept; returns at once. Nothing if it runs already. After stop it can be started again. Throws
    /// std::system_error (EADDRINUSE, EACCES, …), std::invalid_argument for a text that is no address.
    void start();
    /// Accepts what has connected by now, closes the socket and waits for the handlers; at the deadline those left are killed, and waited for. True:
    /// none was killed. A handler may call it, and is not waited for then. Nothing if it does not run. If it is left otherwise (killed, a timeout scope) the
    /// handlers are killed at once.
    bool stop(deadline d = {});
    /// start(), unless it runs, then waits until somebody calls stop(). If it is left otherwise (killed, a timeout scope) it stops at once. Throws
    /// std::system_error if accepting fails for good.
    void serve_forever();
    /// Whether it accepts.
    [[nodiscard]] bool started() const noexcept;

    /// Where it listens: "127.0.0.1:8000"; before start what it was given.
    [[nodiscard]] std::string address() const;
    /// The port in it; 0 for none.
    [[nodiscard]] std::uint16_t port() const;
    /// Its socket; -1 while it does not run. (The first one's, with several workers.)
    [[nodiscard]] int fd() const noexcept;

    /// Bounds the handlers that run at once; 0: no bound. Throws std::logic_error while it runs.
    void set_pool(std::size_t places);
    /// Handlers run in that group or pool, which must outlive the server. stop() waits for, and kills, all that is in it.
    void set_pool(group& handlers);
    /// Handlers that run now, in this process.
    [[nodiscard]] std::size_t clients() const noexcept;

protected:
    explicit basic_server(std::unique_ptr<rt::server_core> core) noexcept;
    /// Stops, killing handlers.
    ~basic_server();
    std::unique_ptr<rt::server_core> core_;
};

/// Accepts connections and runs `handler` for each, in a fiber of its own. The handler is called as one of
///
///   void(weft::connection&)   void(weft::connection)   void(int fd)
///
/// or any of them with the peer's `const weft::socket_address&` behind it. When it returns the connection is closed (not if it was moved elsewhere);
/// the descriptor of the last form is closed then, too, so the handler must not. An exception that leaves it is printed on stderr and ends that
/// connection only. Where the process has no descriptors or memory left, accepting pauses and goes on.
///
/// @code
/// #include <weft/fiber.hpp>
/// weft::stream_server server("127.0.0.1:0", [](weft::connection& c) {
///     for (std::string text; !(text = c.read_some()).empty();) c.write(text);
/// }, {.pool = 1000});
/// server.start();
/// std::cout << server.address() << '\n';
/// weft::this_fiber::sleep_for(1s);
/// bool all_ended = server.stop(5s);
/// (void)all_ended;
/// @endcode
class WEFT_API stream_server : public basic_server {
public:
    template <class F>
        requires rt::connection_function<std::decay_t<F>>
    stream_server(server_address address, F&& handler, server_options options = {})
        : stream_server(std::move(address), std::make_shared<rt::call_connection<std::decay_t<F>>>(std::forward<F>(handler)), options, 0) {}
    ~stream_server() = default;

private:
    stream_server(server_address address, std::shared_ptr<rt::connection_handler> handler, const server_options& options, int);
};

/// The same for datagrams: `handler` is called with `weft::datagram&`, `weft::datagram`, or the data and the peer's address
/// (`std::string, const weft::socket_address&`). `stop` lets the handlers answer before it closes the socket.
class WEFT_API datagram_server : public basic_server {
public:
    template <class F>
        requires rt::datagram_function<std::decay_t<F>>
    datagram_server(server_address address, F&& handler, server_options options = {})
        : datagram_server(std::move(address), std::make_shared<rt::call_datagram<std::decay_t<F>>>(std::forward<F>(handler)), options, 0) {}
    ~datagram_server() = default;

    /// Sends from the server's socket. Throws std::system_error.
    void sendto(std::string_view text, const socket_address& to, deadline d = {});

private:
    datagram_server(server_address address, std::shared_ptr<rt::datagram_handler> handler, const server_options& options, int);
};

} // namespace weft
