// SPDX-License-Identifier: Apache-2.0
// Every call of descriptors, connections, selectors, servers and signals that waits. None of them is ever part of a deadlock.
#include <weft/connection.hpp>
#include <weft/event.hpp>
#include <weft/fiber.hpp>
#include <weft/hub.hpp>
#include <weft/io.hpp>
#include <weft/select.hpp>
#include <weft/server.hpp>
#include <weft/signal.hpp>
#include <weft/timeout.hpp>

#include "support/child_process.hpp"
#include "support/waiting_calls.hpp"

#include <catch2/catch.hpp>

#include <atomic>
#include <csignal>
#include <memory>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

using namespace std::chrono_literals;
using namespace test_support;
using weft::connection;
using weft::timeout_error;

namespace {

std::string new_name() {
    static int last = 0;
    return "unix:@weft-waits-" + std::to_string(::getpid()) + "-" + std::to_string(++last);
}

void fill(int fd) {
    const std::string much(16 * 1024, 'f');
    while (::send(fd, much.data(), much.size(), MSG_DONTWAIT) > 0) {}
    while (::send(fd, "f", 1, MSG_DONTWAIT) > 0) {}
}
void drain(int fd) {
    char buffer[16 * 1024];
    while (::recv(fd, buffer, sizeof buffer, MSG_DONTWAIT) > 0) {}
}

/// A connection and its peer.
struct ends {
    connection a, b;
    ends() {
        int fds[2];
        if (::socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0) throw std::runtime_error("socketpair");
        a = connection(fds[0]);
        b = connection(fds[1]);
    }
};

/// One that listens, and has a client that it has not accepted: there is no room for a second one.
struct busy_listener {
    int fd = -1;
    std::string address;
    std::vector<connection> clients;

    explicit busy_listener(int family) : fd(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) {
        if (family == AF_UNIX) {
            address = new_name();
            const std::string name = address.substr(6);
            sockaddr_un_bytes at{};
            at.family = AF_UNIX;
            std::copy(name.begin(), name.end(), at.path + 1);
            bind_to(&at, static_cast<socklen_t>(sizeof at.family + 1 + name.size()));
        } else {
            sockaddr_in at{};
            at.sin_family = AF_INET;
            at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
            socklen_t size = sizeof at;
            bind_to(&at, size);
            ::getsockname(fd, reinterpret_cast<sockaddr*>(&at), &size);
            address = "127.0.0.1:" + std::to_string(ntohs(at.sin_port));
        }
        clients.push_back(connection::open(address, 10s));
    }
    busy_listener(const busy_listener&) = delete;
    busy_listener& operator=(const busy_listener&) = delete;
    ~busy_listener() { ::close(fd); }
    void accept() const { ::close(::accept(fd, nullptr, nullptr)); }

private:
    struct sockaddr_un_bytes {
        sa_family_t family;
        char path[100];
    };
    void bind_to(const void* at, socklen_t size) const {
        if (::bind(fd, static_cast<const sockaddr*>(at), size) != 0 || ::listen(fd, 0) != 0) throw std::runtime_error("listen");
    }
};

/// A server whose peer does not read, so that no datagram can be sent to it.
struct full_peer {
    weft::datagram_server server{new_name(), [](weft::datagram&) {}};
    int peer = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    weft::socket_address where;
    full_peer() {
        server.start();
        const sa_family_t family = AF_UNIX;
        ::bind(peer, reinterpret_cast<const sockaddr*>(&family), sizeof family); // the kernel gives it a name
        char name[128];
        socklen_t size = sizeof name;
        ::getsockname(peer, reinterpret_cast<sockaddr*>(name), &size);
        where = weft::socket_address(reinterpret_cast<const sockaddr*>(name), size);
        while (!throws<timeout_error>([&] { server.sendto("x", where, 0s); })) {}
    }
    full_peer(const full_peer&) = delete;
    full_peer& operator=(const full_peer&) = delete;
    ~full_peer() { ::close(peer); }
};

struct running_server {
    std::shared_ptr<weft::stream_server> server = std::make_shared<weft::stream_server>("127.0.0.1:0", [](connection&) {});
};

struct awaited_signal {
    weft::event came;
    weft::signal_handler handler{SIGUSR1, [this] { came.set(); }};
};

struct selected : ends {
    weft::selector all;
    selected() { all.register_(a.fd(), weft::selector::read); }
};

std::vector<call_kind> descriptors() {
    const auto put = [](auto& e) { e.b.write("x"); };
    const auto full = [](auto& e) { fill(e.a.fd()); };
    const auto room = [](auto& e) { drain(e.b.fd()); };
    return {
        on<ends>("wait_readable", takes::a_deadline, [](auto& e, deadline d) { return !weft::wait_readable(e.a.fd(), d); }, put),
        after<ends>(full, "wait_writable", takes::a_deadline, [](auto& e, deadline d) { return !weft::wait_writable(e.a.fd(), d); }, room),
        on<selected>("selector.select", takes::a_deadline, [](auto& s, deadline d) { return s.all.select(d).empty(); }, put),
    };
}

std::vector<call_kind> connections() {
    const auto line = [](auto& e) { e.b.write("a line\n"); };
    const auto all = [](auto& e) {
        e.b.write("all");
        e.b.shutdown_write();
    };
    const auto full = [](auto& e) { fill(e.a.fd()); };
    const auto room = [](auto& e) { drain(e.b.fd()); };
    const auto accept = [](auto& l) { l.accept(); };
    return {
        on<ends>("read", takes::a_deadline,
                 [](auto& e, deadline d) {
                     char c = 0;
                     return throws<timeout_error>([&] { e.a.read(&c, 1, d); });
                 }, line),
        on<ends>("read_some", takes::a_deadline, [](auto& e, deadline d) { return throws<timeout_error>([&] { e.a.read_some(1, d); }); }, line),
        on<ends>("read_exactly", takes::a_deadline,
                 [](auto& e, deadline d) {
                     char c[7];
                     return throws<timeout_error>([&] { e.a.read_exactly(c, sizeof c, d); });
                 }, line),
        on<ends>("read_line", takes::a_deadline, [](auto& e, deadline d) { return throws<timeout_error>([&] { e.a.read_line(100, d); }); }, line),
        on<ends>("read_all", takes::a_deadline, [](auto& e, deadline d) { return throws<timeout_error>([&] { e.a.read_all(d); }); }, all),
        after<ends>(full, "write", takes::a_deadline, [](auto& e, deadline d) { return throws<timeout_error>([&] { e.a.write("x", d); }); }, room),
        on<busy_listener>("open", takes::a_deadline, [](auto& l, deadline d) { return throws<timeout_error>([&] { connection::open(l.address, d); }); },
                          accept, AF_UNIX),
    };
}

std::vector<call_kind> servers_and_signals() {
    return {
        on<full_peer>("datagram_server.sendto", takes::a_deadline,
                      [](auto& p, deadline d) { return throws<timeout_error>([&] { p.server.sendto("x", p.where, d); }); },
                      [](auto& p) { drain(p.peer); }),
        on<full_peer>("datagram.reply", takes::a_deadline,
                      [](auto& p, deadline d) {
                          const weft::datagram from("", p.where, p.server.fd());
                          return throws<timeout_error>([&] { from.reply("x", d); });
                      },
                      [](auto& p) { drain(p.peer); }),
        on<running_server>("serve_forever", takes::none, [](auto& s, deadline) { return s.server->serve_forever(), false; },
                           [](auto& s) {
                               while (!s.server->started()) std::this_thread::yield();
                               s.server->stop();
                           }),
        on<awaited_signal>("signal", takes::a_deadline, [](auto& s, deadline d) { return !s.came.wait(d); }, [](auto&) { ::kill(::getpid(), SIGUSR1); }),
    };
}

} // namespace

TEST_CASE("waits_of_descriptors") { check(descriptors()); }
TEST_CASE("waits_of_connections") { check(connections()); }
TEST_CASE("waits_of_servers_and_signals") { check(servers_and_signals()); }

TEST_CASE("a_connect_that_nobody_answers_can_be_left") {
    const busy_listener l(AF_INET);
    CHECK_THROWS_AS(connection::open(l.address, 0s), timeout_error);
    CHECK_THROWS_AS(connection::open(l.address, 5ms), timeout_error);
    CHECK_THROWS_AS(weft::with_timeout(5ms, [&] { connection::open(l.address); }), timeout_error);
    auto f = weft::spawn([&] { connection::open(l.address); });
    weft::this_fiber::sleep_for(1ms);
    CHECK(f.kill(30s));
}

TEST_CASE("names_of_peers_are_looked_up") {
    weft::stream_server server("localhost:0", [](connection& c) { c.write("here"); });
    server.start();
    const std::string address = "localhost:" + std::to_string(server.port());
    CHECK(connection::open(address, 30s).read_all(30s) == "here");
    CHECK_THROWS_AS(connection::open("localhost:no-such-service", 30s), std::runtime_error);
}

TEST_CASE("a_stop_that_is_left_kills_the_handlers_at_once") {
    weft::event never;
    weft::stream_server server("127.0.0.1:0", [&](connection& c) {
        c.write("x");
        never.wait();
    });
    for (const bool killed : {false, true}) {
        server.start();
        const std::string address = server.address();
        connection c = connection::open(address, 30s);
        CHECK(c.read_some(1, 30s) == "x");
        if (killed) {
            auto stopping = weft::spawn([&] { server.stop(); });
            weft::this_fiber::yield();
            CHECK_FALSE(stopping.ready());
            CHECK(stopping.kill(30s));
        } else {
            CHECK_THROWS_AS(weft::with_timeout(5ms, [&] { server.stop(); }), timeout_error);
        }
        CHECK_FALSE(server.started());
        CHECK(server.clients() == 0);
        CHECK(server.fd() == -1);
        CHECK(c.read_some(1, 30s).empty());
        CHECK_THROWS_AS(connection::open(address, 30s), std::system_error);
    }
    CHECK(server.stop(0s));
}

TEST_CASE("who_waits_for_a_descriptor_is_not_deadlocked") {
    const auto r = run_in_child([] {
        int fds[2];
        must(::pipe(fds) == 0);
        if (::fork() == 0) {
            ::usleep(20'000);
            must(::write(fds[1], "x", 1) == 1);
            ::_exit(0);
        }
        must(weft::wait_readable(fds[0]));
    }, 30s);
    INFO(r.err);
    CHECK(r.exit_code() == 0);
}
