// SPDX-License-Identifier: Apache-2.0
// Every blocking call lets other fibers run while it waits.
#include "ticker.hpp"

#include <catch2/catch.hpp>

#include <cstring>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <vector>

using namespace shim_test;

// What fortified programs import; the headers only declare them in fortified builds.
extern "C" {
ssize_t __read_chk(int, void*, size_t, size_t);
ssize_t __recv_chk(int, void*, size_t, size_t, int);
ssize_t __recvfrom_chk(int, void*, size_t, size_t, int, sockaddr*, socklen_t*);
int __poll_chk(pollfd*, nfds_t, int, size_t);
int __ppoll_chk(pollfd*, nfds_t, const timespec*, const sigset_t*, size_t);
}

namespace {

struct named_call {
    const char* name;
    std::function<long(int)> call;
};

char text[256];

const std::vector<named_call>& receivers() {
    static const std::vector<named_call> all{
        {"read", [](int fd) { return ::read(fd, text, 100); }},
        {"readv", [](int fd) { iovec part{text, 100}; return ::readv(fd, &part, 1); }},
        {"__read_chk", [](int fd) { return __read_chk(fd, text, 100, sizeof text); }},
        {"recv", [](int fd) { return ::recv(fd, text, 100, 0); }},
        {"recvfrom", [](int fd) { return ::recvfrom(fd, text, 100, 0, nullptr, nullptr); }},
        {"recvmsg",
         [](int fd) {
             iovec part{text, 100};
             msghdr message{};
             message.msg_iov = &part;
             message.msg_iovlen = 1;
             return ::recvmsg(fd, &message, 0);
         }},
        {"__recv_chk", [](int fd) { return __recv_chk(fd, text, 100, sizeof text, 0); }},
        {"__recvfrom_chk",
         [](int fd) { return __recvfrom_chk(fd, text, 100, sizeof text, 0, nullptr, nullptr); }},
    };
    return all;
}

const std::vector<named_call>& senders() {
    static const std::vector<named_call> all{
        {"write", [](int fd) { return ::write(fd, text, 100); }},
        {"writev", [](int fd) { iovec part{text, 100}; return ::writev(fd, &part, 1); }},
        {"send", [](int fd) { return ::send(fd, text, 100, 0); }},
        {"sendto", [](int fd) { return ::sendto(fd, text, 100, 0, nullptr, 0); }},
        {"sendmsg",
         [](int fd) {
             iovec part{text, 100};
             msghdr message{};
             message.msg_iov = &part;
             message.msg_iovlen = 1;
             return ::sendmsg(fd, &message, 0);
         }},
    };
    return all;
}

const std::vector<named_call>& waits() {
    static const std::vector<named_call> all{
        {"poll", [](int fd) { pollfd one{fd, POLLIN, 0}; return long{::poll(&one, 1, -1)}; }},
        {"ppoll", [](int fd) { pollfd one{fd, POLLIN, 0}; return long{::ppoll(&one, 1, nullptr, nullptr)}; }},
        {"__poll_chk", [](int fd) { pollfd one{fd, POLLIN, 0}; return long{__poll_chk(&one, 1, -1, sizeof one)}; }},
        {"__ppoll_chk",
         [](int fd) { pollfd one{fd, POLLIN, 0}; return long{__ppoll_chk(&one, 1, nullptr, nullptr, sizeof one)}; }},
        {"select",
         [](int fd) {
             fd_set in;
             FD_ZERO(&in);
             FD_SET(fd, &in);
             return long{::select(fd + 1, &in, nullptr, nullptr, nullptr)};
         }},
        {"pselect",
         [](int fd) {
             fd_set in;
             FD_ZERO(&in);
             FD_SET(fd, &in);
             return long{::pselect(fd + 1, &in, nullptr, nullptr, nullptr, nullptr)};
         }},
    };
    return all;
}

// It blocked for the time it should have, and the ticker ran for most of it.
void check_blocked(const outcome& o) {
    CHECK(o.time >= blocking_time - 5ms);
    CHECK(o.time < blocking_time + 2s);
    CHECK(o.ticks >= 10);
}

} // namespace

TEST_CASE("receiving calls let other fibers run") {
    for (const auto& [name, call] : receivers()) {
        INFO(name);
        pair p = pair::stream();
        const outcome o = in_fiber([&] { return call(p[0]); }, [&] { CHECK(::write(p[1], "hello", 5) == 5); });
        CHECK(o.result == 5);
        CHECK(std::memcmp(text, "hello", 5) == 0);
        CHECK(o.error == 0);
        check_blocked(o);
    }
}

TEST_CASE("receiving calls on a pipe and an eventfd let other fibers run") {
    pair p = pair::pipe();
    const outcome o = in_fiber([&] { return ::read(p[0], text, 100); }, [&] { CHECK(::write(p[1], "pipe", 4) == 4); });
    CHECK(o.result == 4);
    check_blocked(o);

    const int event = ::eventfd(0, 0);
    const std::uint64_t three = 3;
    std::uint64_t value = 0;
    const outcome e = in_fiber([&] { return ::read(event, &value, sizeof value); },
                               [&] { CHECK(::write(event, &three, sizeof three) == 8); });
    CHECK(e.result == 8);
    CHECK(value == 3);
    check_blocked(e);
    ::close(event);
}

TEST_CASE("sending calls let other fibers run") {
    for (const auto& [name, call] : senders()) {
        INFO(name);
        pair p = pair::stream();
        fill(p[0]);
        const outcome o = in_fiber([&] { return call(p[0]); },
                                   [&] { while (::recv(p[1], text, sizeof text, MSG_DONTWAIT) > 0) {} });
        CHECK(o.result == 100);
        CHECK(o.error == 0);
        check_blocked(o);
    }
}

TEST_CASE("a write larger than the pipe delivers everything while its reader is a fiber of the same hub") {
    pair p = pair::pipe();
    const std::vector<char> data(1 << 20, 'x');
    std::size_t received = 0;
    const outcome o = in_fiber([&] { return ::write(p[1], data.data(), data.size()); },
                               [&] {
                                   std::vector<char> into(10000);
                                   while (received < data.size()) {
                                       const ssize_t n = ::read(p[0], into.data(), into.size());
                                       if (n <= 0) break;
                                       received += static_cast<std::size_t>(n);
                                   }
                               });
    CHECK(o.result == 1 << 20);
    CHECK(received == data.size());
    check_blocked(o);
}

TEST_CASE("poll and select let other fibers run") {
    for (const auto& [name, call] : waits()) {
        INFO(name);
        pair p = pair::stream();
        const outcome o = in_fiber([&] { return call(p[0]); }, [&] { CHECK(::write(p[1], "x", 1) == 1); });
        CHECK(o.result == 1);
        check_blocked(o);
    }
}

TEST_CASE("poll and select that time out let other fibers run") {
    timeval v{0, 60000};
    const timespec t{0, 60000000};
    const std::vector<std::pair<const char*, std::function<long()>>> calls{
        {"poll", [] { return long{::poll(nullptr, 0, 60)}; }},
        {"ppoll", [&] { return long{::ppoll(nullptr, 0, &t, nullptr)}; }},
        {"select", [&] { return long{::select(0, nullptr, nullptr, nullptr, &v)}; }},
        {"pselect", [&] { return long{::pselect(0, nullptr, nullptr, nullptr, &t, nullptr)}; }}};
    for (const auto& [name, call] : calls) {
        INFO(name);
        const outcome o = in_fiber(call);
        CHECK(o.result == 0);
        check_blocked(o);
    }
}

TEST_CASE("sleeps let other fibers run") {
    const timespec t{0, 60000000};
    const std::vector<std::pair<const char*, std::function<long()>>> calls{
        {"usleep", [] { return long{::usleep(60000)}; }},
        {"nanosleep", [&] { return long{::nanosleep(&t, nullptr)}; }},
        {"clock_nanosleep", [&] { return long{::clock_nanosleep(CLOCK_MONOTONIC, 0, &t, nullptr)}; }},
        {"clock_nanosleep absolute",
         [&] {
             timespec when{};
             ::clock_gettime(CLOCK_REALTIME, &when);
             when.tv_nsec += 60000000;
             when.tv_sec += when.tv_nsec / 1000000000;
             when.tv_nsec %= 1000000000;
             return long{::clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &when, nullptr)};
         }},
        {"sleep", [] { return static_cast<long>(::sleep(1)); }}};
    for (const auto& [name, call] : calls) {
        INFO(name);
        const outcome o = in_fiber(call);
        CHECK(o.result == 0);
        check_blocked(o);
    }
}

TEST_CASE("sched_yield runs the other fibers") {
    int other = 0;
    bool stop = false;
    auto f = weft::spawn([&] {
        while (!stop) {
            ++other;
            ::sched_yield();
        }
    });
    for (int i = 0; i < 100; ++i) CHECK(::sched_yield() == 0);
    CHECK(other >= 90);
    stop = true;
    CHECK(f.join(patience));
}

TEST_CASE("accept and connect let other fibers run") {
    for (const bool four : {false, true}) {
        const int listener = ::socket(AF_INET, SOCK_STREAM, 0), client = ::socket(AF_INET, SOCK_STREAM, 0);
        sockaddr_in where{};
        socklen_t size = sizeof where;
        where.sin_family = AF_INET;
        where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        REQUIRE(::bind(listener, reinterpret_cast<sockaddr*>(&where), size) == 0);
        REQUIRE(::listen(listener, 5) == 0);
        REQUIRE(::getsockname(listener, reinterpret_cast<sockaddr*>(&where), &size) == 0);
        const outcome o = in_fiber(
            [&] { return long{four ? ::accept4(listener, nullptr, nullptr, 0) : ::accept(listener, nullptr, nullptr)}; },
            [&] { CHECK(::connect(client, reinterpret_cast<sockaddr*>(&where), sizeof where) == 0); });
        CHECK(o.result >= 0);
        check_blocked(o);
        ::close(static_cast<int>(o.result));
        ::close(client);
        ::close(listener);
    }

    // A unix listener with a full backlog makes connect wait.
    const int listener = ::socket(AF_UNIX, SOCK_STREAM, 0);
    const int first = ::socket(AF_UNIX, SOCK_STREAM, 0), second = ::socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un where{};
    where.sun_family = AF_UNIX;
    std::snprintf(where.sun_path + 1, sizeof where.sun_path - 1, "weft-ticker-%d", ::getpid());
    const auto* address = reinterpret_cast<sockaddr*>(&where);
    REQUIRE(::bind(listener, address, sizeof where) == 0);
    REQUIRE(::listen(listener, 0) == 0);
    REQUIRE(::connect(first, address, sizeof where) == 0);
    const outcome o = in_fiber([&] { return long{::connect(second, address, sizeof where)}; },
                               [&] { ::close(::accept(listener, nullptr, nullptr)); });
    CHECK(o.result == 0);
    check_blocked(o);
    for (const int fd : {listener, first, second}) ::close(fd);
}

TEST_CASE("names are resolved in fibers side by side") {
    ticker t;
    std::vector<weft::fiber<int>> lookups;
    for (int i = 0; i < 20; ++i)
        lookups.push_back(weft::spawn([] {
            addrinfo want{};
            want.ai_family = AF_INET;
            want.ai_socktype = SOCK_STREAM;
            addrinfo* list = nullptr;
            const int result = ::getaddrinfo("localhost", "80", &want, &list);
            if (result == 0) ::freeaddrinfo(list);
            return result;
        }));
    for (auto& f : lookups) CHECK(f.get(patience) == 0);
    auto by_name = weft::spawn([] { return ::gethostbyname("localhost") != nullptr; });
    CHECK(by_name.get(patience));
}
