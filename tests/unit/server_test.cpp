// SPDX-License-Identifier: Apache-2.0
#include <weft/connection.hpp>
#include <weft/event.hpp>
#include <weft/fiber.hpp>
#include <weft/hub.hpp>
#include <weft/pool.hpp>
#include <weft/server.hpp>
#include <weft/timeout.hpp>

#include <catch2/catch.hpp>

#include <atomic>
#include <cctype>
#include <cstdio>
#include <filesystem>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace std::chrono_literals;
using weft::connection;

namespace {

void echo(connection& c) {
    for (std::string text; !(text = c.read_some()).empty();) c.write(text);
}

std::string ask(const std::string& address, const std::string& text) {
    connection c = connection::open(address, 10s);
    c.write(text);
    c.shutdown_write();
    return c.read_all(10s);
}

template <class F>
int error_of(F f) {
    try {
        f();
        return 0;
    } catch (const std::system_error& e) {
        return e.code().value();
    }
}

std::size_t open_descriptors() {
    std::size_t n = 0;
    for ([[maybe_unused]] const auto& e : std::filesystem::directory_iterator("/proc/self/fd")) ++n;
    return n;
}

/// Until the condition holds; within 10 s.
template <class F>
bool comes(F condition) {
    for (const weft::deadline end = 10s; !condition();) {
        if (end.expired()) return false;
        weft::this_fiber::sleep_for(1ms);
    }
    return true;
}

struct path {
    std::string name = "/tmp/weft-server-test-" + std::to_string(::getpid());
    ~path() { ::unlink(name.c_str()); }
};

} // namespace

TEST_CASE("stream_server_serves_many_clients_at_once") {
    weft::stream_server server("127.0.0.1:0", echo);
    REQUIRE_FALSE(server.started());
    REQUIRE(server.address() == "127.0.0.1:0");
    server.start();
    REQUIRE(server.started());
    REQUIRE(server.port() != 0);
    REQUIRE(server.address() == "127.0.0.1:" + std::to_string(server.port()));
    weft::group clients;
    int right = 0;
    for (int i = 0; i < 200; ++i)
        clients.spawn([&, i] { right += ask(server.address(), std::to_string(i)) == std::to_string(i); });
    REQUIRE(clients.join(30s, true));
    REQUIRE(right == 200);
    REQUIRE(server.stop(10s));
    REQUIRE_FALSE(server.started());
    REQUIRE(error_of([&] { ask(server.address(), "x"); }) == ECONNREFUSED);
}

TEST_CASE("handlers_take_connections_in_every_form") {
    const auto served = [](auto handler) {
        weft::stream_server server("127.0.0.1:0", handler);
        server.start();
        const std::string said = ask(server.address(), "");
        REQUIRE(server.stop(10s));
        return said;
    };
    REQUIRE(served([](connection c) { c.write("value"); }) == "value");
    REQUIRE(served([](connection&& c) { c.write("moved"); }) == "moved");
    REQUIRE(served([](auto& c) { c.write("auto"); }) == "auto");
    REQUIRE(served([](int fd) { REQUIRE(::send(fd, "fd", 2, 0) == 2); }) == "fd");
    const auto peer = served([](connection& c, const weft::socket_address& p) { c.write(p.host()); });
    REQUIRE(peer == "127.0.0.1");
    REQUIRE(served([](int fd, const weft::socket_address& p) { REQUIRE(::send(fd, p.host().data(), 3, 0) == 3); }) == "127");
}

TEST_CASE("stream_server_listens_on_every_kind_of_address") {
    const path p;
    for (const std::string& address : {std::string("localhost:0"), std::string(":0"), std::string("0"), std::string("0.0.0.0:0"), std::string("[::1]:0"),
                                       "unix:" + p.name, p.name, "unix:@weft-server-test-" + std::to_string(::getpid())}) {
        INFO(address);
        weft::stream_server server(address, echo);
        if (const int error = error_of([&] { server.start(); }); error != 0) {
            REQUIRE(address == "[::1]:0"); // a machine without IPv6
            continue;
        }
        const std::string reached = address[0] == ':' || address == "0" ? ":" + std::to_string(server.port()) : server.address();
        REQUIRE(ask(reached, "hello") == "hello");
        REQUIRE(server.stop(10s));
    }
    REQUIRE_FALSE(std::filesystem::exists(p.name));
}

TEST_CASE("what_is_no_address_is_refused") {
    for (const char* text : {"", "nonsense", "host:", "1:2:3:4", "127.0.0.1:99999", "[::1"}) {
        INFO(text);
        REQUIRE_THROWS_AS([&] { weft::stream_server(text, echo).start(); }(), std::invalid_argument);
    }
    REQUIRE(error_of([] { weft::stream_server("unix:" + std::string(200, 'x'), echo).start(); }) == ENAMETOOLONG);
    weft::stream_server first("127.0.0.1:0", echo);
    first.start();
    REQUIRE(error_of([&] { weft::stream_server(first.address(), echo).start(); }) == EADDRINUSE);
}

TEST_CASE("a_stale_unix_socket_is_replaced_and_a_live_one_is_not") {
    const path p;
    {
        weft::stream_server killed("unix:" + p.name, echo);
        killed.start();
        const std::string moved = p.name + ".left";
        std::filesystem::rename(p.name, moved); // as if it had died: the file stays
        REQUIRE(killed.stop(10s));
        std::filesystem::rename(moved, p.name);
    }
    REQUIRE(std::filesystem::exists(p.name));
    weft::stream_server server("unix:" + p.name, echo);
    server.start();
    REQUIRE(ask(server.address(), "there") == "there");
    REQUIRE(error_of([&] { weft::stream_server("unix:" + p.name, echo).start(); }) == EADDRINUSE);
    REQUIRE(ask(server.address(), "still") == "still");
}

TEST_CASE("a_given_socket_is_used_and_stays_the_callers") {
    const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in a{};
    a.sin_family = AF_INET;
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::bind(fd, reinterpret_cast<const sockaddr*>(&a), sizeof a) == 0);
    REQUIRE(error_of([&] { weft::stream_server(fd, echo).start(); }) == EINVAL); // it does not listen
    REQUIRE(::listen(fd, 10) == 0);
    {
        weft::stream_server server(fd, echo);
        server.start();
        REQUIRE(ask(server.address(), "given") == "given");
        REQUIRE((::fcntl(fd, F_GETFL) & O_NONBLOCK) == 0);
        REQUIRE(server.stop(10s));
    }
    REQUIRE(::fcntl(fd, F_GETFD) >= 0);
    ::close(fd);
    REQUIRE(error_of([&] { weft::stream_server(fd, echo).start(); }) == EBADF);
}

TEST_CASE("a_pool_bounds_the_clients_that_are_served_at_once") {
    int now = 0, most = 0;
    weft::stream_server server("127.0.0.1:0", [&](connection& c) {
        most = std::max(most, ++now);
        weft::this_fiber::sleep_for(5ms);
        echo(c);
        --now;
    }, {.pool = 3});
    server.start();
    REQUIRE_THROWS_AS(server.set_pool(4), std::logic_error);
    weft::group clients;
    for (int i = 0; i < 20; ++i) clients.spawn([&] { REQUIRE(ask(server.address(), "x") == "x"); });
    REQUIRE(clients.join(30s, true));
    REQUIRE(most == 3);
    REQUIRE(server.stop(10s));
    weft::pool mine(1);
    server.set_pool(mine);
    server.start(); // again
    most = 0;
    for (int i = 0; i < 4; ++i) clients.spawn([&] { REQUIRE(ask(server.address(), "y") == "y"); });
    REQUIRE(clients.join(30s, true));
    REQUIRE(most == 1);
    REQUIRE(server.stop(10s));
}

TEST_CASE("stop_lets_handlers_finish_and_serves_who_has_connected") {
    weft::event go;
    int served = 0;
    weft::stream_server server("127.0.0.1:0", [&](connection& c) {
        go.wait();
        c.write("late");
        ++served;
    });
    server.start();
    connection first = connection::open(server.address());
    REQUIRE(comes([&] { return server.clients() == 1; }));
    connection second = connection::open(server.address()); // perhaps not accepted yet
    auto stopping = weft::spawn([&] { return server.stop(20s); });
    REQUIRE(comes([&] { return error_of([&] { connection::open(server.address()); }) == ECONNREFUSED; }));
    REQUIRE_FALSE(stopping.ready());
    go.set();
    REQUIRE(stopping.get(10s));
    REQUIRE(first.read_all(10s) == "late");
    REQUIRE(second.read_all(10s) == "late");
    REQUIRE(served >= 2); // and whoever found the door open while it was tried
}

TEST_CASE("stop_kills_handlers_at_its_deadline") {
    bool unwound = false;
    weft::stream_server server("127.0.0.1:0", [&](connection& c) {
        struct at_end {
            bool& flag;
            ~at_end() { flag = true; }
        } const mark{unwound};
        (void)c.read_some();
    });
    server.start();
    connection idle = connection::open(server.address());
    REQUIRE(comes([&] { return server.clients() == 1; }));
    REQUIRE_FALSE(server.stop(5ms));
    REQUIRE(unwound);
    REQUIRE(idle.read_all(10s).empty());
    REQUIRE(server.stop(5ms)); // nothing left to do
}

TEST_CASE("a_handler_may_stop_its_server") {
    weft::stream_server server("127.0.0.1:0", [&](connection& c) {
        REQUIRE(server.stop(10s));
        c.write("stopped");
    });
    auto serving = weft::spawn([&] { server.serve_forever(); });
    REQUIRE(comes([&] { return server.started(); }));
    REQUIRE(ask(server.address(), "") == "stopped");
    serving.get(10s);
}

TEST_CASE("serve_forever_ends_with_stop_kill_and_timeouts") {
    weft::stream_server server("127.0.0.1:0", echo);
    auto f = weft::spawn([&] { server.serve_forever(); });
    REQUIRE(comes([&] { return server.started(); }));
    server.stop();
    f.get(10s);
    f = weft::spawn([&] { server.serve_forever(); });
    REQUIRE(comes([&] { return server.started(); }));
    f.kill(10s);
    REQUIRE_FALSE(server.started());
    REQUIRE_THROWS_AS(weft::with_timeout(5ms, [&] { server.serve_forever(); }), weft::timeout_error);
    REQUIRE_FALSE(server.started());
}

TEST_CASE("an_exception_in_a_handler_ends_its_connection_only") {
    weft::stream_server server("127.0.0.1:0", [](connection& c) {
        if (c.read_line() == "bad") throw std::runtime_error("this is expected in the test's output");
        c.write("good");
    });
    server.start();
    REQUIRE(ask(server.address(), "bad\n").empty());
    REQUIRE(ask(server.address(), "fine\n") == "good");
    REQUIRE(server.stop(10s));
}

TEST_CASE("without_descriptors_accepting_pauses_and_goes_on") {
    weft::event go;
    weft::stream_server server("127.0.0.1:0", [&](connection& c) {
        c.write("in");
        go.wait();
    }, {.min_delay = 1ms, .max_delay = 5ms});
    server.start();
    rlimit limit{};
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &limit) == 0);
    const rlimit before = limit;
    std::vector<connection> clients;
    for (int i = 0; i < 4; ++i) clients.push_back(connection::open(server.address()));
    REQUIRE(clients[0].read_some(2, 10s) == "in");
    REQUIRE(comes([&] { return server.clients() == 4; }));
    connection more = connection::open(server.address());
    REQUIRE(comes([&] { return server.clients() == 5; }));
    const int next = ::dup(0); // the lowest free number
    ::close(next);
    connection refused(::socket(AF_INET, SOCK_STREAM, 0));
    limit.rlim_cur = static_cast<rlim_t>(next + 1);
    sockaddr_in a{};
    a.sin_family = AF_INET;
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    a.sin_port = htons(server.port());
    // UBSan needs descriptors for its checks, so nothing is checked meanwhile.
    const int lowered = ::setrlimit(RLIMIT_NOFILE, &limit);
    const int connected = ::connect(refused.fd(), reinterpret_cast<const sockaddr*>(&a), sizeof a); // by the kernel
    weft::this_fiber::sleep_for(20ms);
    const std::size_t served = server.clients();
    const bool still = server.started();
    const int raised = ::setrlimit(RLIMIT_NOFILE, &before);
    REQUIRE(lowered == 0);
    REQUIRE(connected == 0);
    REQUIRE(served == 5);
    REQUIRE(still);
    REQUIRE(raised == 0);
    REQUIRE(refused.read_some(2, 10s) == "in");
    go.set();
    REQUIRE(server.stop(10s));
}

TEST_CASE("workers_are_kernel_threads_with_a_hub_each") {
    std::mutex lock;
    std::set<std::thread::id> threads;
    weft::stream_server server("127.0.0.1:0", [&](connection& c) {
        {
            const std::lock_guard hold(lock);
            threads.insert(std::this_thread::get_id());
        }
        echo(c);
    }, {.pool = 50, .workers = 3});
    for (int round = 0; round < 2; ++round) {
        server.start();
        weft::group clients;
        for (int i = 0; i < 100; ++i) clients.spawn([&] { REQUIRE(ask(server.address(), "t") == "t"); });
        REQUIRE(clients.join(30s, true));
        REQUIRE(server.stop(10s));
    }
    REQUIRE(threads.size() > 1);
    REQUIRE(threads.count(std::this_thread::get_id()) == 0);
    const path p;
    weft::stream_server shared("unix:" + p.name, echo, {.workers = 3});
    shared.start();
    weft::group clients;
    for (int i = 0; i < 50; ++i) clients.spawn([&] { REQUIRE(ask(shared.address(), "u") == "u"); });
    REQUIRE(clients.join(30s, true));
    connection idle = connection::open(shared.address());
    REQUIRE(comes([&] { return shared.clients() == 1; }));
    REQUIRE_FALSE(shared.stop(5ms));
}

#if !defined(__SANITIZE_THREAD__) // in a child of fork it does not follow what it must know
TEST_CASE("workers_are_processes_and_are_replaced") {
    weft::stream_server server("127.0.0.1:0", [](connection& c) {
        const auto line = c.read_line();
        if (line == "die") ::_exit(9);
        if (line == "wait") (void)c.read_line();
        c.write(std::to_string(::getpid()));
    }, {.workers = 2, .kind = weft::worker_kind::processes, .min_delay = 1ms});
    server.start();
    std::set<std::string> pids;
    for (int i = 0; i < 50; ++i) pids.insert(ask(server.address(), "who\n"));
    REQUIRE(pids.count(std::to_string(::getpid())) == 0);
    REQUIRE((pids.size() >= 1 && pids.size() <= 2));
    for (int i = 0; i < 3; ++i) {
        try {
            REQUIRE(ask(server.address(), "die\n").empty());
        } catch (const std::system_error&) { // it was reset
        }
    }
    for (int i = 0; i < 20; ++i) REQUIRE_FALSE(ask(server.address(), "who\n").empty());
    SECTION("drained") {
        REQUIRE(server.stop(10s));
    }
    SECTION("killed") {
        connection idle = connection::open(server.address());
        idle.write("wait\n");
        REQUIRE_FALSE(server.stop(20ms));
    }
    REQUIRE(::waitpid(-1, nullptr, WNOHANG) == -1); // all were waited for
}
#endif

TEST_CASE("datagram_server_answers") {
    for (const unsigned workers : {1U, 2U}) {
        weft::datagram_server server("127.0.0.1:0", [](weft::datagram& d) {
            if (d.data == "later") weft::this_fiber::sleep_for(5ms);
            d.reply(d.data + "!");
        }, {.workers = workers});
        server.start();
        weft::event got;
        weft::datagram_server client("127.0.0.1:0", [&](std::string text, const weft::socket_address& from) {
            REQUIRE(from.to_string() == server.address());
            if (text == "later!") got.set();
        });
        client.start();
        const weft::socket_address to = [&] {
            sockaddr_in a{};
            a.sin_family = AF_INET;
            a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
            a.sin_port = htons(server.port());
            return weft::socket_address(reinterpret_cast<const sockaddr*>(&a), sizeof a);
        }();
        client.sendto("now", to);
        client.sendto("later", to);
        REQUIRE(got.wait(10s));
        got.clear();
        client.sendto("later", to);
        REQUIRE(server.stop(10s)); // takes what has come, and lets it be answered
        REQUIRE(got.wait(10s));
        REQUIRE(client.stop(10s));
    }
}

TEST_CASE("servers_leave_no_descriptor_and_no_fiber") {
    weft::this_fiber::yield();
    const std::size_t descriptors = open_descriptors();
    const std::size_t fibers = weft::hub::fibers().size();
    for (int i = 0; i < 20; ++i) {
        weft::stream_server server("127.0.0.1:0", echo);
        server.start();
        connection open = connection::open(server.address());
        REQUIRE(ask(server.address(), "x") == "x");
        if (i % 2 == 0) server.stop(0s);
    }
    REQUIRE(comes([&] { return open_descriptors() <= descriptors; }));
    REQUIRE(comes([&] { return weft::hub::fibers().size() == fibers; }));
}

TEST_CASE("in_a_handler_libc_knows_its_characters") { // which it keeps for each thread, also where a hub has thread-local storage of its own
    weft::stream_server server("127.0.0.1:0", [](weft::connection& c) {
        char number[16];
        std::snprintf(number, sizeof number, "%.1f", 2.5);
        c.write(std::string(number) + (std::isalpha('a') != 0 && std::tolower('B') == 'b' ? " letters" : " nothing"));
    });
    server.start();
    CHECK(weft::connection::open(server.address(), 10s).read_all(10s) == "2.5 letters");
    CHECK(weft::spawn([] { return std::toupper('x'); }).get() == 'X');
    CHECK(server.stop(10s));
}
