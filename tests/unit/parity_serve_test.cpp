// SPDX-License-Identifier: Apache-2.0
// What people know from elsewhere, as far as it is about servers, signals, descriptors and inspection: a test for each, named after it.
#include <weft/weft.hpp>

#include <catch2/catch.hpp>

#include <atomic>
#include <csignal>
#include <mutex>
#include <set>
#include <sstream>
#include <string>
#include <system_error>
#include <thread>

#include <sched.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace std::chrono_literals;

namespace {

struct pair {
    int a = -1, b = -1;
    pair() {
        int ends[2];
        REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
        a = ends[0];
        b = ends[1];
    }
    ~pair() {
        ::close(a);
        ::close(b);
    }
};

void echo(weft::connection& c) {
    for (std::string text; !(text = c.read_some()).empty();) c.write(text);
}

std::string ask(const std::string& address, const std::string& text) {
    weft::connection c = weft::connection::open(address, 10s);
    c.write(text);
    c.shutdown_write();
    return c.read_all(10s);
}

} // namespace

TEST_CASE("gevent_server_stream_server") {
    weft::stream_server server("127.0.0.1:0", echo);
    auto serving = weft::spawn([&] { server.serve_forever(); });
    while (!server.started()) weft::this_fiber::yield();
    REQUIRE(ask(server.address(), "hello") == "hello");
    REQUIRE(server.stop(10s));
    serving.get(10s);
}

TEST_CASE("gevent_server_datagram_server") {
    weft::datagram_server server("127.0.0.1:0", [](weft::datagram& d) { d.reply("you said " + d.data); });
    server.start();
    weft::async_result<std::string> answer;
    weft::datagram_server client("127.0.0.1:0", [&](std::string text, const weft::socket_address&) { answer.set(text); });
    client.start();
    sockaddr_storage to{};
    socklen_t size = sizeof to;
    REQUIRE(::getsockname(server.fd(), reinterpret_cast<sockaddr*>(&to), &size) == 0);
    client.sendto("hello", weft::socket_address(reinterpret_cast<const sockaddr*>(&to), size));
    REQUIRE(answer.get(10s) == "you said hello");
}

TEST_CASE("gevent_signal_handler") {
    weft::event interrupted;
    weft::signal_handler h(SIGINT, [&] { interrupted.set(); });
    ::kill(::getpid(), SIGINT);
    REQUIRE(interrupted.wait(10s));
    h.cancel();
}

TEST_CASE("gevent_socket_wait_read_wait_write_cancel_wait") {
    const pair p;
    REQUIRE(weft::wait_writable(p.a, 10s));
    REQUIRE_FALSE(weft::wait_readable(p.a, 1ms));
    auto reader = weft::spawn([&] { return weft::wait_readable(p.a, 10s); });
    weft::this_fiber::yield();
    REQUIRE(::send(p.b, "x", 1, 0) == 1);
    REQUIRE(reader.get(10s));
    char c = 0;
    REQUIRE(::recv(p.a, &c, 1, 0) == 1);
    auto cancelled = weft::spawn([&] { return weft::wait_readable(p.a); });
    weft::this_fiber::sleep_for(1ms);
    weft::cancel_wait(p.a);
    REQUIRE_THROWS_AS(cancelled.get(10s), std::system_error);
}

TEST_CASE("gevent_select_and_selectors") {
    const pair p, q;
    weft::selector s;
    s.register_(p.a, weft::selector::read, std::string("p"));
    s.register_(q.a, weft::selector::read, std::string("q"));
    weft::spawn_later(1ms, [&] { REQUIRE(::send(q.b, "x", 1, 0) == 1); });
    const auto ready = s.select(10s);
    REQUIRE(ready.size() == 1);
    REQUIRE(std::any_cast<std::string>(ready[0].data) == "q");
    s.modify(q.a, weft::selector::write);
    REQUIRE(s.select(10s).at(0).events == weft::selector::write);
    s.unregister(q.a);
    REQUIRE(s.select(1ms).empty());
}

TEST_CASE("gevent_util_print_run_info_and_greenlet_tree") {
    weft::event e;
    auto parent = weft::spawn({.name = "parent"}, [&] {
        auto child = weft::spawn({.name = "child"}, [&] { e.wait(); });
        child.join();
    });
    weft::this_fiber::sleep_for(1ms);
    std::ostringstream out;
    weft::print_run_info(out);
    const std::string text = out.str();
    INFO(text);
    REQUIRE(text.find("\"parent\"") < text.find("\"child\""));
    REQUIRE(text.find("waits for an event") != std::string::npos);
    e.set();
    parent.join();
}

TEST_CASE("gevent_monitor_thread_and_max_blocking_time") {
    std::atomic<bool> told{false};
    std::string who;
    std::mutex lock;
    weft::monitor m({.max_blocking_time = 10ms, .report = [&](const weft::blocking_report& r) {
                         const std::lock_guard hold(lock);
                         if (r.name == "main") return; // which a busy machine stopped for as long
                         who = r.name;
                         told = true;
                     }});
    weft::spawn({.name = "blocks"}, [&] {
        for (const weft::deadline end = 20s; !told && !end.expired();) {}
    }).join();
    const std::lock_guard hold(lock);
#if defined(__SANITIZE_THREAD__) // which does not let a thread be stopped, so its fiber has a number only
    REQUIRE_FALSE(who.empty());
#else
    REQUIRE(who == "blocks");
#endif
}

TEST_CASE("gevent_loop_exit") {
    weft::event never;
    try {
        never.wait();
        FAIL("it was set");
    } catch (const weft::deadlock_error& e) {
        REQUIRE(std::string(e.what()).find("(main) waits for an event") != std::string::npos);
    }
}

#if !defined(__SANITIZE_THREAD__) // in a child of fork it does not follow what it must know
TEST_CASE("gevent_reinit") {
    auto other = weft::spawn([] { weft::this_fiber::sleep_for(1h); });
    weft::this_fiber::yield();
    const long child = ::syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0); // as a runtime of another language might
    if (child == 0) {
        weft::fork_reinit();
        const bool alone = weft::hub::fibers().size() == 1 && other.dead();
        const bool works = weft::spawn([] {
            weft::this_fiber::sleep_for(1ms);
            return 5;
        }).get() == 5;
        ::_exit(alone && works ? 0 : 1);
    }
    int status = 0;
    REQUIRE(::waitpid(static_cast<pid_t>(child), &status, 0) == child);
    REQUIRE(status == 0);
    REQUIRE_FALSE(other.dead());
    other.kill(10s);
}
#endif

TEST_CASE("threading_current_thread_enumerate_active_count") {
    const std::size_t before = weft::hub::fibers().size();
    auto f = weft::spawn({.name = "worker"}, [] { weft::this_fiber::sleep_for(1h); });
    bool found = false;
    for (const weft::any_fiber& one : weft::hub::fibers()) found |= one.name() == "worker" && one == f;
    REQUIRE(found);
    REQUIRE(weft::hub::fibers().size() == before + 1);
    REQUIRE(weft::this_fiber::self().name() == "main");
    const weft::hub_stats s = weft::hub::stats();
    REQUIRE(s.running == 1);
    REQUIRE(s.ready + s.parked == before);
    f.kill(10s);
}

TEST_CASE("concurrent_tcp_server_and_client") {
    weft::stream_server server("127.0.0.1:0", echo, {.pool = 20});
    server.start();
    weft::group clients;
    int right = 0;
    for (int i = 0; i < 100; ++i) clients.spawn([&, i] { right += ask(server.address(), std::to_string(i)) == std::to_string(i) ? 1 : 0; });
    REQUIRE(clients.join(30s, true));
    REQUIRE(right == 100);
    REQUIRE(server.stop(10s));
}

TEST_CASE("stream_server_with_reuse_port_workers") {
    std::mutex lock;
    std::set<std::thread::id> hubs;
    weft::stream_server server("127.0.0.1:0", [&](weft::connection& c) {
        {
            const std::lock_guard hold(lock);
            hubs.insert(std::this_thread::get_id());
        }
        echo(c);
    }, {.workers = 4});
    server.start();
    weft::group clients;
    for (int i = 0; i < 200; ++i) clients.spawn([&] { REQUIRE(ask(server.address(), "x") == "x"); });
    REQUIRE(clients.join(30s, true));
    REQUIRE(server.stop(10s));
    REQUIRE(hubs.size() > 1);
}
