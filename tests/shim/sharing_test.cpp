// SPDX-License-Identifier: Apache-2.0
// Many fibers on few descriptors: each message is read once, each fiber keeps its errno, nobody sees O_NONBLOCK.
#include "ticker.hpp"

#include <catch2/catch.hpp>

#include <cstring>
#include <fcntl.h>
#include <netinet/in.h>
#include <string>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <vector>

using namespace shim_test;

TEST_CASE("two fibers that read one descriptor get a message each") {
    pair s = pair::datagram();
    std::vector<std::string> got;
    const auto reader = [&] {
        char text[20];
        const ssize_t n = ::recv(s[0], text, sizeof text, 0);
        got.emplace_back(text, n > 0 ? static_cast<std::size_t>(n) : 0);
    };
    auto a = weft::spawn(reader), b = weft::spawn(reader);
    weft::this_fiber::sleep_for(10ms);
    CHECK(::send(s[1], "one", 3, 0) == 3);
    CHECK(eventually([&] { return got.size() == 1; }));
    weft::this_fiber::sleep_for(10ms);
    CHECK(got.size() == 1);
    CHECK(::send(s[1], "two", 3, 0) == 3);
    CHECK(weft::joinall({a, b}, patience).size() == 2);
    CHECK(got == std::vector<std::string>{"one", "two"});
}

TEST_CASE("one fiber reads while another writes the same socket") {
    pair s = pair::stream();
    fill(s[0]);
    char text[10];
    bool wrote = false, read = false;
    auto writer = weft::spawn([&] { wrote = ::send(s[0], "w", 1, 0) == 1; });
    auto reader = weft::spawn([&] { read = ::recv(s[0], text, 10, 0) == 4; });
    weft::this_fiber::sleep_for(10ms);
    CHECK(::send(s[1], "data", 4, 0) == 4);
    CHECK(reader.join(patience));
    CHECK(read);
    CHECK_FALSE(wrote);
    std::vector<char> sink(65536);
    while (::recv(s[1], sink.data(), sink.size(), MSG_DONTWAIT) > 0) {}
    CHECK(writer.join(patience));
    CHECK(wrote);
}

TEST_CASE("MSG_WAITALL collects pieces that another fiber sends") {
    pair s = pair::stream();
    char text[20] = {};
    const outcome o = in_fiber([&] { return ::recv(s[0], text, 9, MSG_WAITALL); },
                               [&] {
                                   for (const char* piece : {"abc", "def", "ghi+"}) {
                                       CHECK(::send(s[1], piece, std::strlen(piece), 0) > 0);
                                       weft::this_fiber::sleep_for(10ms);
                                   }
                               });
    CHECK(o.result == 9);
    CHECK(std::string(text) == "abcdefghi");
    CHECK(o.time >= blocking_time + 15ms);
    CHECK(::recv(s[0], text, 10, 0) == 1);
}

TEST_CASE("every fiber keeps its errno over the calls of others") {
    pair p = pair::pipe();
    int wrong = 0;
    std::vector<weft::any_fiber> fibers;
    for (int i = 1; i <= 20; ++i)
        fibers.push_back(weft::spawn([&wrong, i] {
            char c;
            for (int round = 0; round < 20; ++round) {
                errno = i;
                ::usleep(200);
                wrong += errno != i;
                wrong += ::read(-1, &c, 1) != -1 || errno != EBADF;
                errno = i;
                weft::this_fiber::yield();
                wrong += errno != i;
            }
        }));
    CHECK(weft::joinall(fibers, patience).size() == fibers.size());
    CHECK(wrong == 0);
}

TEST_CASE("no O_NONBLOCK shows while fibers wait") {
    pair s = pair::stream(), p = pair::pipe(), d = pair::datagram(), full = pair::stream();
    fill(full[0]);
    char text[10];
    std::vector<weft::any_fiber> fibers;
    for (const int fd : {s[0], p[0], d[0]}) fibers.push_back(weft::spawn([&, fd] { return ::read(fd, text, 10); }));
    fibers.push_back(weft::spawn([&] { return ::write(full[0], text, 10); }));
    for (int i = 0; i < 20; ++i) {
        weft::this_fiber::yield();
        for (const int fd : {s[0], s[1], p[0], p[1], d[0], d[1], full[0], full[1]}) {
            CHECK((::syscall(SYS_fcntl, fd, F_GETFL) & O_NONBLOCK) == 0);
            CHECK((::fcntl(fd, F_GETFL) & O_NONBLOCK) == 0);
        }
    }
    CHECK(weft::killall(fibers, patience));
}

TEST_CASE("a program's own O_NONBLOCK is honoured in a fiber") {
    pair s = pair::stream();
    char text[10];
    REQUIRE(::fcntl(s[0], F_SETFL, O_NONBLOCK) == 0);
    auto f = weft::spawn([&] { return ::recv(s[0], text, 10, 0) == -1 ? errno : 0; });
    CHECK(f.get(patience) == EAGAIN);
    CHECK(::fcntl(s[0], F_GETFL) & O_NONBLOCK);
}

TEST_CASE("many fibers wait in accept, each client is served once") {
    const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in where{};
    socklen_t size = sizeof where;
    where.sin_family = AF_INET;
    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* address = reinterpret_cast<sockaddr*>(&where);
    REQUIRE(::bind(listener, address, size) == 0);
    REQUIRE(::listen(listener, 100) == 0);
    REQUIRE(::getsockname(listener, address, &size) == 0);
    int served = 0;
    std::vector<weft::any_fiber> servers;
    for (int i = 0; i < 10; ++i)
        servers.push_back(weft::spawn([&] {
            for (;;) {
                const int fd = ::accept(listener, nullptr, nullptr);
                if (fd < 0) return;
                char text[10];
                const ssize_t n = ::recv(fd, text, 5, MSG_WAITALL);
                served += n == 5 && ::send(fd, text, 5, 0) == 5;
                ::close(fd);
            }
        }));
    std::vector<weft::any_fiber> clients;
    int answered = 0;
    for (int i = 0; i < 100; ++i)
        clients.push_back(weft::spawn([&] {
            const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
            char text[10];
            answered += ::connect(fd, address, sizeof where) == 0 && ::send(fd, "hello", 5, 0) == 5 &&
                        ::recv(fd, text, 5, MSG_WAITALL) == 5;
            ::close(fd);
        }));
    CHECK(weft::joinall(clients, patience).size() == clients.size());
    CHECK(answered == 100);
    CHECK(served == 100);
    ::close(listener);
    CHECK(weft::joinall(servers, patience).size() == servers.size());
}

TEST_CASE("fork with fibers parked leaves the child its caller only") {
    pair s = pair::stream(), back = pair::pipe();
    int woken = 0;
    std::vector<weft::any_fiber> parked;
    for (int i = 0; i < 10; ++i)
        parked.push_back(weft::spawn([&] {
            char c;
            if (::recv(s[0], &c, 1, 0) == 1) ++woken;
        }));
    weft::this_fiber::sleep_for(10ms);
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        // The child's calls wait and return, and the parent's fibers do not run here.
        char text[16];
        bool good = ::usleep(10000) == 0 && ::read(back[0], text, sizeof text) == 2 && woken == 0;
        auto own = weft::spawn([] { return ::usleep(1000); });
        good = good && own.get(patience) == 0;
        ::_exit(good ? 42 : 1);
    }
    weft::this_fiber::sleep_for(30ms);
    CHECK(::write(back[1], "go", 2) == 2);
    CHECK(::send(s[1], "0123456789", 10, 0) == 10);
    CHECK(weft::joinall(parked, patience).size() == 10);
    CHECK(woken == 10);
    int status = 0;
    CHECK(::waitpid(child, &status, 0) == child);
    CHECK((WIFEXITED(status) && WEXITSTATUS(status) == 42));
}

TEST_CASE("a socket timeout ends the wait of one fiber and not of another") {
    pair s = pair::stream(), t = pair::stream();
    const timeval limit{0, 60000};
    REQUIRE(::setsockopt(s[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0);
    char text[10];
    auto unlimited = weft::spawn([&] { return ::recv(t[0], text, 10, 0); });
    const outcome o = in_fiber([&] { return ::recv(s[0], text, 10, 0); });
    CHECK(o.result == -1);
    CHECK(o.error == EAGAIN);
    CHECK(o.time >= 55ms);
    CHECK(o.time < 1s);
    CHECK(o.ticks >= 10);
    CHECK_FALSE(unlimited.ready());
    CHECK(::send(t[1], "x", 1, 0) == 1);
    CHECK(unlimited.get(patience) == 1);
}
