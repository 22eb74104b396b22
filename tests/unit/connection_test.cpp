// SPDX-License-Identifier: Apache-2.0
#include <weft/connection.hpp>
#include <weft/errors.hpp>
#include <weft/fiber.hpp>

#include <catch2/catch.hpp>

#include <stdexcept>
#include <system_error>
#include <thread>

#include <sys/socket.h>
#include <unistd.h>

using namespace std::chrono_literals;
using weft::connection;

namespace {

struct ends {
    connection a, b;
    ends() {
        int fds[2];
        REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
        a = connection(fds[0]);
        b = connection(fds[1]);
    }
};

} // namespace

TEST_CASE("read_suspends_the_fiber_only") {
    ends e;
    auto reader = weft::spawn([&] { return e.a.read_some(); });
    weft::this_fiber::yield();
    REQUIRE_FALSE(reader.ready());
    e.b.write("hello");
    REQUIRE(reader.get(10s) == "hello");
    e.b.shutdown_write();
    REQUIRE(e.a.read_some().empty());
    e.a.write("half open"); // the other direction goes on
    REQUIRE(e.b.read_some() == "half open");
}

TEST_CASE("write_waits_for_room_and_writes_all") {
    ends e;
    const std::string much(4 * 1024 * 1024, 'w');
    auto writer = weft::spawn([&] {
        e.a.write(much);
        e.a.close();
    });
    REQUIRE(e.b.read_all(20s) == much);
    writer.get(10s);
}

TEST_CASE("deadlines_end_reads_and_writes") {
    ends e;
    REQUIRE_THROWS_AS(e.a.read_some(1, 5ms), weft::timeout_error);
    REQUIRE_THROWS_AS(e.a.read_some(1, -1s), weft::timeout_error);
    e.b.write("x");
    REQUIRE(e.a.read_some(1, -1s) == "x"); // a deadline in the past polls
    const std::string much(4 * 1024 * 1024, 'w');
    REQUIRE_THROWS_AS(e.a.write(much, 5ms), weft::timeout_error);
}

TEST_CASE("lines_are_cut_where_they_end") {
    ends e;
    e.b.write("one\r\ntwo\n\nthr");
    REQUIRE(e.a.read_line() == "one");
    char one = 0;
    REQUIRE(e.a.read(&one, 1) == 1); // goes on behind the line
    REQUIRE(one == 't');
    REQUIRE(e.a.read_line() == "wo");
    REQUIRE(e.a.read_line() == "");
    REQUIRE_THROWS_AS(e.a.read_line(100, 5ms), weft::timeout_error);
    e.b.write("ee");
    e.b.shutdown_write();
    REQUIRE(e.a.read_line() == "three");
    REQUIRE(e.a.read_line() == std::nullopt);
}

TEST_CASE("a_line_has_a_bound") {
    ends e;
    e.b.write("12345\n");
    REQUIRE(e.a.read_line(5) == "12345");
    e.b.write("12345\r\n");
    REQUIRE(e.a.read_line(5) == "12345");
    e.b.write("123456\n");
    REQUIRE_THROWS_AS(e.a.read_line(5), std::length_error);
    ends f;
    f.b.write(std::string(10'000, 'x'));
    REQUIRE_THROWS_AS(f.a.read_line(100), std::length_error);
}

TEST_CASE("read_exactly_stops_at_the_end_only") {
    ends e;
    auto writer = weft::spawn([&] {
        for (const char* part : {"ab", "cd", "ef", "g"}) {
            e.b.write(part);
            weft::this_fiber::yield();
        }
        e.b.close();
    });
    char got[6];
    REQUIRE(e.a.read_exactly(got, 6) == 6);
    REQUIRE(std::string(got, 6) == "abcdef");
    REQUIRE(e.a.read_exactly(got, 6) == 1);
    writer.get(10s);
}

TEST_CASE("a_close_ends_what_waits_and_a_kill_unwinds_it") {
    ends e;
    auto reader = weft::spawn([&] { return e.a.read_some(); });
    weft::this_fiber::yield();
    e.a.close();
    REQUIRE_THROWS_AS(reader.get(10s), std::system_error);
    auto killed = weft::spawn([&] { return e.b.read_some(); });
    weft::this_fiber::yield();
    (void)killed;
}

TEST_CASE("a_killed_reader_leaves_the_stream_whole") {
    ends e;
    auto reader = weft::spawn([&] { return e.a.read_some(); });
    weft::this_fiber::yield();
    REQUIRE(reader.kill(10s));
    e.b.write("kept");
    REQUIRE(e.a.read_some() == "kept");
    REQUIRE_THROWS_AS((e.a.close(), e.a.read_some()), std::system_error);
}

TEST_CASE("errors_of_the_peer_are_told") {
    ends e;
    e.b.close();
    try {
        for (int i = 0; i < 2; ++i) e.a.write("into nothing");
        FAIL("it was written");
    } catch (const std::system_error& x) {
        REQUIRE((x.code().value() == EPIPE || x.code().value() == ECONNRESET));
    }
}

TEST_CASE("a_kernel_thread_without_a_hub_blocks_in_it") {
    ends e;
    std::string got;
    std::thread t([&] { got = e.a.read_some(); });
    weft::this_fiber::sleep_for(2ms);
    e.b.write("from a fiber");
    t.join();
    REQUIRE(got == "from a fiber");
}

TEST_CASE("connections_move_and_let_go") {
    ends e;
    connection moved = std::move(e.a);
    REQUIRE_FALSE(e.a);
    REQUIRE(e.a.fd() == -1);
    e.b.write("x");
    REQUIRE(moved.read_some() == "x");
    const int fd = moved.release();
    REQUIRE_FALSE(moved);
    REQUIRE(::close(fd) == 0);
}
