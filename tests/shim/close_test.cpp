// SPDX-License-Identifier: Apache-2.0
// close, dup2 and shutdown from another fiber while a call waits. (A bare Linux leaves the reader asleep on a close.)
#include "ticker.hpp"

#include <catch2/catch.hpp>

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/select.h>
#include <thread>
#include <vector>

using namespace shim_test;

namespace {

char text[256];

int tcp_listener() {
    const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in where{};
    where.sin_family = AF_INET;
    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::bind(fd, reinterpret_cast<sockaddr*>(&where), sizeof where) == 0);
    REQUIRE(::listen(fd, 5) == 0);
    return fd;
}

void check_bad_descriptor(const outcome& o) {
    CHECK(o.result == -1);
    CHECK(o.error == EBADF);
    CHECK(o.time >= blocking_time - 5ms);
}

} // namespace

TEST_CASE("close wakes a reader with EBADF") {
    pair s = pair::stream();
    check_bad_descriptor(in_fiber([&] { return ::recv(s[0], text, 10, 0); }, [&] { s.close(0); }));
    pair p = pair::pipe();
    check_bad_descriptor(in_fiber([&] { return ::read(p[0], text, 10); }, [&] { p.close(0); }));
}

TEST_CASE("close wakes a writer with EBADF") {
    pair s = pair::stream();
    fill(s[0]);
    check_bad_descriptor(in_fiber([&] { return ::send(s[0], text, 10, 0); }, [&] { s.close(0); }));
    pair p = pair::pipe();
    const std::vector<char> capacity(65536);
    REQUIRE(::write(p[1], capacity.data(), capacity.size()) == 65536);
    check_bad_descriptor(in_fiber([&] { return ::write(p[1], text, 10); }, [&] { p.close(1); }));
}

TEST_CASE("a write that had delivered part returns the count when it is closed") {
    pair p = pair::pipe();
    const std::vector<char> data(100000);
    const outcome o = in_fiber([&] { return ::write(p[1], data.data(), data.size()); }, [&] { p.close(1); });
    CHECK(o.result == 65536);
}

TEST_CASE("close wakes accept with EBADF") {
    const int listener = tcp_listener();
    check_bad_descriptor(in_fiber([&] { return long{::accept(listener, nullptr, nullptr)}; }, [&] { ::close(listener); }));
}

TEST_CASE("shutdown of a listener wakes accept with EINVAL") {
    const int listener = tcp_listener();
    const outcome o = in_fiber([&] { return long{::accept(listener, nullptr, nullptr)}; },
                               [&] { ::shutdown(listener, SHUT_RDWR); });
    CHECK(o.result == -1);
    CHECK(o.error == EINVAL);
    ::close(listener);
}

TEST_CASE("close wakes poll and select") {
    pair s = pair::stream();
    short seen = 0;
    const outcome polled = in_fiber(
        [&] {
            pollfd one{s[0], POLLIN, 0};
            const long n = ::poll(&one, 1, -1);
            seen = one.revents;
            return n;
        },
        [&] { s.close(0); });
    // What a poll that begins after the close says.
    CHECK(polled.result == 1);
    CHECK(seen == POLLNVAL);

    pair t = pair::stream();
    check_bad_descriptor(in_fiber(
        [&] {
            fd_set in;
            FD_ZERO(&in);
            FD_SET(t[0], &in);
            return long{::select(t[0] + 1, &in, nullptr, nullptr, nullptr)};
        },
        [&] { t.close(0); }));
}

TEST_CASE("close wakes every fiber that waits on the descriptor") {
    pair s = pair::stream();
    fill(s[0]);
    int bad = 0;
    std::vector<weft::any_fiber> waiting;
    for (int i = 0; i < 5; ++i) {
        waiting.push_back(weft::spawn([&] { bad += ::recv(s[0], text, 10, 0) == -1 && errno == EBADF; }));
        waiting.push_back(weft::spawn([&] { bad += ::send(s[0], text, 10, 0) == -1 && errno == EBADF; }));
    }
    weft::this_fiber::sleep_for(20ms);
    s.close(0);
    CHECK(weft::joinall(waiting, patience).size() == waiting.size());
    CHECK(bad == 10);
}

TEST_CASE("close from a kernel thread wakes a fiber") {
    pair s = pair::stream();
    const int fd = s[0];
    auto reader = weft::spawn([&] { return ::recv(fd, text, 10, 0) == -1 ? errno : 0; });
    weft::this_fiber::sleep_for(20ms);
    std::thread closer([&] { s.close(0); });
    CHECK(reader.get(patience) == EBADF);
    closer.join();
}

TEST_CASE("closing a duplicate wakes nobody") {
    pair s = pair::stream();
    const int other = ::dup(s[0]);
    const outcome o = in_fiber([&] { return ::recv(s[0], text, 10, 0); },
                               [&] {
                                   ::close(other);
                                   weft::this_fiber::sleep_for(20ms);
                                   CHECK(::send(s[1], "alive", 5, 0) == 5);
                               });
    CHECK(o.result == 5);
    CHECK(o.time >= blocking_time + 15ms);
}

TEST_CASE("the original stays usable through a duplicate that outlives it") {
    pair s = pair::stream();
    const int other = ::dup(s[0]);
    s.close(0);
    const outcome o = in_fiber([&] { return ::recv(other, text, 10, 0); }, [&] { CHECK(::send(s[1], "dup", 3, 0) == 3); });
    CHECK(o.result == 3);
    ::close(other);
}

TEST_CASE("a number that is used again starts afresh") {
    for (int round = 0; round < 20; ++round) {
        pair s = pair::stream();
        const int number = s[0];
        auto reader = weft::spawn([&] { return ::recv(number, text, 10, 0) == -1 ? errno : 0; });
        weft::this_fiber::yield();
        s.close(0);
        pair p = pair::pipe();
        CHECK(p[0] == number);
        auto second = weft::spawn([&] { return ::read(number, text, 10); });
        weft::this_fiber::yield();
        CHECK(reader.get(patience) == EBADF);
        CHECK(::write(p[1], "fresh", 5) == 5);
        CHECK(second.get(patience) == 5);
    }
}

TEST_CASE("a closed descriptor fails at once") {
    pair s = pair::stream();
    auto reader = weft::spawn([&] { return ::recv(s[0], text, 10, 0); });
    weft::this_fiber::yield();
    CHECK(::send(s[1], "x", 1, 0) == 1);
    CHECK(reader.get(patience) == 1);
    const int number = s[0];
    s.close(0);
    CHECK(::recv(number, text, 10, 0) == -1);
    CHECK(errno == EBADF);
}
