// SPDX-License-Identifier: Apache-2.0
#include "core/readiness.hpp"

#include <weft/fiber.hpp>
#include <weft/timeout.hpp>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <future>
#include <thread>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

using namespace std::chrono_literals;
using weft::rt::fd_wake;
using weft::rt::readiness;

namespace {

struct pair {
    int a = -1;
    int b = -1;
    pair() {
        int ends[2];
        REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
        a = ends[0];
        b = ends[1];
    }
    ~pair() {
        readiness::closing(a);
        ::close(a);
        if (b >= 0) {
            readiness::closing(b);
            ::close(b);
        }
    }
    void put() const { REQUIRE(::send(b, "x", 1, 0) == 1); }
    /// Reads all there is.
    int drain() const {
        char buffer[256];
        const ssize_t n = ::recv(a, buffer, sizeof buffer, MSG_DONTWAIT);
        return static_cast<int>(n);
    }
};

fd_wake wait_in(int fd, std::uint32_t events = EPOLLIN, weft::deadline d = 20s) {
    return readiness::wait(fd, events, d);
}

} // namespace

TEST_CASE("wait_ends_when_data_comes") {
    const pair p;
    auto f = weft::spawn([&] { return wait_in(p.a); });
    weft::this_fiber::sleep_for(1ms);
    CHECK_FALSE(f.ready());
    CHECK(readiness::is_awaited(p.a));
    p.put();
    CHECK(f.get() == fd_wake::ready);
    CHECK_FALSE(readiness::is_awaited(p.a));
}

TEST_CASE("wait_ends_at_its_deadline") {
    const pair p;
    CHECK(wait_in(p.a, EPOLLIN, 2ms) == fd_wake::deadline);
    CHECK(wait_in(p.a, EPOLLIN, 0s) == fd_wake::deadline);
    CHECK(wait_in(p.a, EPOLLOUT) == fd_wake::ready);
}

TEST_CASE("an_edge_nobody_waited_for_is_kept") {
    const pair p;
    for (int i = 0; i < 50; ++i) { // attempt, wait, attempt: as every blocking call
        p.put();
        if (i % 3 == 0) weft::this_fiber::sleep_for(200us); // the event is collected before anyone waits
        while (p.drain() < 1) REQUIRE(wait_in(p.a) == fd_wake::ready);
    }
    CHECK(wait_in(p.a, EPOLLIN, 2ms) != fd_wake::closed);
}

TEST_CASE("data_left_unread_is_seen_by_the_next_wait") {
    const pair p;
    p.put();
    for (int i = 0; i < 5; ++i) {
        auto f = weft::spawn([&] { return wait_in(p.a); });
        // The protocol attempts first, so a wait with data there may only happen after a partial read.
        CHECK(f.get(20s) == fd_wake::ready);
        weft::this_fiber::sleep_for(1ms);
        CHECK(p.drain() == 1);
        p.put();
    }
}

TEST_CASE("a_reader_and_a_writer_wait_for_one_descriptor") {
    const pair p;
    const std::vector<char> much(1 << 20);
    auto writer = weft::spawn([&] {
        std::size_t sent = 0;
        while (sent < much.size()) {
            const ssize_t n = ::send(p.a, much.data() + sent, much.size() - sent, MSG_DONTWAIT);
            if (n > 0) sent += static_cast<std::size_t>(n);
            else readiness::wait(p.a, EPOLLOUT, 20s);
        }
        return sent;
    });
    auto reader = weft::spawn([&] {
        int got = 0;
        while (got < 10) {
            const int n = p.drain();
            if (n > 0) got += n;
            else readiness::wait(p.a, EPOLLIN, 20s);
        }
        return got;
    });
    for (int i = 0; i < 10; ++i) {
        p.put();
        weft::this_fiber::yield();
    }
    CHECK(reader.get(20s) == 10);
    CHECK_FALSE(writer.ready());
    std::vector<char> sink(1 << 16);
    std::size_t taken = 0;
    while (taken < much.size()) {
        const ssize_t n = ::recv(p.b, sink.data(), sink.size(), MSG_DONTWAIT);
        if (n > 0) taken += static_cast<std::size_t>(n);
        else REQUIRE(readiness::wait(p.b, EPOLLIN, 20s) == fd_wake::ready);
    }
    CHECK(writer.get(20s) == much.size());
}

TEST_CASE("closing_wakes_everybody") {
    pair p;
    std::vector<weft::fiber<fd_wake>> waiting;
    for (const std::uint32_t events : {EPOLLIN, EPOLLIN, EPOLLPRI}) {
        waiting.push_back(weft::spawn([&p, events] { return wait_in(p.a, events); }));
    }
    weft::this_fiber::yield();
    readiness::closing(p.a);
    for (auto& w : waiting) CHECK(w.get(20s) == fd_wake::closed);
    CHECK(wait_in(p.a, EPOLLOUT) == fd_wake::ready); // the number may be used again
    CHECK(wait_in(-1) == fd_wake::closed);
    CHECK(wait_in(9999) == fd_wake::closed);
}

TEST_CASE("a_hang_up_ends_every_wait") {
    pair p;
    auto in = weft::spawn([&] { return wait_in(p.a); });
    auto pri = weft::spawn([&] { return wait_in(p.a, EPOLLPRI); });
    weft::this_fiber::yield();
    readiness::closing(p.b);
    ::close(std::exchange(p.b, -1));
    CHECK(in.get(20s) == fd_wake::ready);
    CHECK(pri.get(20s) == fd_wake::ready);
    CHECK(readiness::wait(p.a, EPOLLIN, 20s, true) == fd_wake::ready); // the kernel asked again
}

TEST_CASE("a_wait_can_be_killed_and_timed_out") {
    const pair p;
    auto f = weft::spawn([&] {
        const fd_wake w = wait_in(p.a);
        weft::rt::interruption_point();
        return w;
    });
    weft::this_fiber::yield();
    CHECK(f.kill(20s));
    CHECK_FALSE(f.successful());
    CHECK_FALSE(readiness::is_awaited(p.a));
    weft::timeout t(1ms);
    CHECK(wait_in(p.a) == fd_wake::interrupted);
    CHECK(t.expired());
}

TEST_CASE("errno_survives_a_wait") {
    const pair p;
    errno = 77;
    wait_in(p.a, EPOLLIN, 1ms);
    CHECK(errno == 77);
    wait_in(p.a, EPOLLOUT);
    CHECK(errno == 77);
    wait_in(9999);
    CHECK(errno == 77);
}

TEST_CASE("what_cannot_be_watched_is_ready") {
    char name[] = "/tmp/weft-readiness-XXXXXX";
    const int fd = ::mkstemp(name);
    REQUIRE(fd >= 0);
    ::unlink(name);
    CHECK(wait_in(fd) == fd_wake::ready);
    readiness::closing(fd);
    ::close(fd);
}

TEST_CASE("wait_any_ends_with_the_first") {
    const pair p;
    const pair q;
    auto f = weft::spawn([&] {
        weft::rt::fd_interest both[2];
        both[0].fd = p.a;
        both[0].events = EPOLLIN;
        both[1].fd = q.a;
        both[1].events = EPOLLIN;
        return readiness::wait_any(both, 20s);
    });
    weft::this_fiber::yield();
    q.put();
    CHECK(f.get() == fd_wake::ready);
    CHECK_FALSE(readiness::is_awaited(p.a));
}

TEST_CASE("a_descriptor_may_be_awaited_on_several_hubs") {
    const pair p;
    const pair done;
    std::atomic<int> woken{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t) {
        threads.emplace_back([&] {
            weft::spawn([&] {
                if (wait_in(p.a, EPOLLIN) == fd_wake::ready) ++woken;
            }).join();
        });
    }
    while (!readiness::is_awaited(p.a)) std::this_thread::yield();
    auto here = weft::spawn([&] { return wait_in(p.a); });
    weft::this_fiber::sleep_for(2ms);
    p.put();
    CHECK(here.get() == fd_wake::ready);
    for (auto& t : threads) t.join();
    CHECK(woken == 3);
}

TEST_CASE("a_wait_is_not_held_up_by_a_hub_that_waited_earlier") {
    const pair p;
    std::atomic<int> stage{0};
    std::thread first([&] { // its hub becomes the descriptor's home, then it computes
        auto w = weft::spawn([&] { wait_in(p.a); });
        weft::this_fiber::yield();
        stage = 1;
        while (stage != 2) weft::this_fiber::sleep_for(100us);
        w.kill_async();
        w.join();
        stage = 3;
        while (stage != 4) std::this_thread::yield(); // no weft call: nobody looks at its events
    });
    while (stage != 1) weft::this_fiber::sleep_for(100us);
    auto mine = weft::spawn([&] { return wait_in(p.a, EPOLLIN, 3s); });
    weft::this_fiber::sleep_for(1ms);
    stage = 2;
    while (stage != 3) weft::this_fiber::sleep_for(100us);
    p.put();
    const fd_wake how = mine.get();
    stage = 4;
    first.join();
    CHECK(how == fd_wake::ready);
}

TEST_CASE("a_wait_goes_on_when_the_hub_that_watched_ends") {
    const pair p;
    std::atomic<int> stage{0};
    std::thread first([&] {
        weft::spawn([&] { wait_in(p.a, EPOLLIN); });
        weft::this_fiber::yield();
        stage = 1;
        while (stage != 2) weft::this_fiber::sleep_for(100us);
    });
    while (stage != 1) weft::this_fiber::sleep_for(100us);
    auto mine = weft::spawn([&] {
        while (p.drain() < 1) {
            if (wait_in(p.a) != fd_wake::ready) return false;
        }
        return true;
    });
    weft::this_fiber::sleep_for(1ms);
    stage = 2;
    first.join();
    p.put();
    CHECK(mine.get(20s));
}
