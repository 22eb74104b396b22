// SPDX-License-Identifier: Apache-2.0
// A kill or an expired timeout reaches a fiber inside a C library as failing calls, never as an exception.
#include "interrupt_test.h"

#include "ticker.hpp"

#include <catch2/catch.hpp>

#include <exception>
#include <poll.h>
#include <stdexcept>
#include <vector>

using namespace shim_test;

namespace {

// Every wait of c_fetch failed, each with that error, and it reached its last line.
void check_failed_with(const c_log& log, int error) {
    CHECK(log.left == 1);
    CHECK(log.failures == 6);
    for (int i = 0; i < log.failures; ++i) CHECK(log.errors[i] == error);
}

} // namespace

TEST_CASE("a kill fails the calls of a C library with ECANCELED and is thrown at the next weft call") {
    pair s = pair::stream();
    c_log log{};
    long result = 0;
    bool returned = false, thrown = false, beyond = false;
    auto f = weft::spawn([&] {
        result = c_fetch(s[0], &log);
        returned = true;
        try {
            weft::this_fiber::yield();
            beyond = true;
        } catch (const weft::fiber_exit&) {
            thrown = true;
            throw;
        }
    });
    CHECK(eventually([&] { return log.entered == 1; }));
    CHECK(f.kill(patience));
    CHECK(result == -1);
    CHECK(returned);
    CHECK(thrown);
    CHECK_FALSE(beyond);
    CHECK(f.dead());
    CHECK_FALSE(f.successful());
    CHECK_THROWS_AS(f.get(), weft::fiber_killed);
    check_failed_with(log, ECANCELED);

    // Nothing is left behind for the next caller: its lock is free, its descriptor works.
    c_log again{};
    auto next = weft::spawn([&] { return c_fetch(s[0], &again); });
    weft::this_fiber::sleep_for(5ms);
    CHECK(::send(s[1], "fine", 4, 0) == 4);
    CHECK(next.get(patience) == 4);
    CHECK(again.failures == 0);
}

TEST_CASE("with_timeout fails the calls of a C library with ETIMEDOUT and throws on return") {
    pair s = pair::stream();
    c_log log{};
    const auto start = std::chrono::steady_clock::now();
    CHECK_THROWS_AS(weft::with_timeout(50ms, [&] { return c_fetch(s[0], &log); }), weft::timeout_error);
    CHECK(std::chrono::steady_clock::now() - start >= 45ms);
    CHECK(std::chrono::steady_clock::now() - start < 3s);
    check_failed_with(log, ETIMEDOUT);
    CHECK(weft::with_timeout(50ms, weft::value_on_timeout{-7L}, [&] { return c_fetch(s[0], &log); }) == -7);
    // The timeout is over: calls wait again.
    const auto o = in_fiber([&] { return c_fetch(s[0], &log); }, [&] { CHECK(::send(s[1], "x", 1, 0) == 1); });
    CHECK(o.result == 1);
}

TEST_CASE("a timeout scope fails the calls of a C library and is thrown at the next weft call inside it") {
    pair s = pair::stream();
    c_log log{};
    bool returned = false;
    auto f = weft::spawn([&] {
        weft::timeout t(50ms);
        try {
            c_fetch(s[0], &log);
            returned = t.expired();
            weft::this_fiber::yield();
            return 0;
        } catch (const weft::timeout_error& e) {
            return e.is(t) ? 1 : 2;
        }
    });
    CHECK(f.get(patience) == 1);
    CHECK(returned);
    check_failed_with(log, ETIMEDOUT);
}

TEST_CASE("a timeout scope that ends without another weft call throws nothing") {
    pair s = pair::stream();
    c_log log{};
    auto f = weft::spawn([&] {
        bool expired = false;
        {
            weft::timeout t(50ms);
            c_fetch(s[0], &log);
            expired = t.expired();
        }
        weft::this_fiber::yield();
        return expired;
    });
    CHECK(f.get(patience));
    check_failed_with(log, ETIMEDOUT);
}

TEST_CASE("a C library that does not give up keeps failing and does not keep the others from running") {
    pair s = pair::stream();
    c_log log{};
    volatile int stop = 0;
    ticker t;
    auto f = weft::spawn([&] {
        c_stubborn(s[0], &stop, &log);
        weft::this_fiber::yield();
    });
    CHECK(eventually([&] { return log.entered == 1; }));
    CHECK_FALSE(f.kill(20ms));
    const int before = t.ticks();
    CHECK(eventually([&] { return t.ticks() >= before + 10 && log.rounds >= 10; }));
    CHECK(log.last_error == ECANCELED);
    CHECK_FALSE(f.ready());
    stop = 1;
    CHECK(f.join(patience));
    CHECK(log.left == 1);
    CHECK_FALSE(f.successful());
}

TEST_CASE("in a killed fiber what need not wait goes through") {
    pair s = pair::stream(), data = pair::stream(), room = pair::stream();
    c_log log{}, second{};
    int good = 0;
    auto f = weft::spawn([&] {
        c_fetch(s[0], &log);
        good = c_needs_no_wait(data[0], room[0], &second);
        weft::this_fiber::yield();
    });
    CHECK(eventually([&] { return log.entered == 1; }));
    CHECK(::send(data[1], "data and more", 13, 0) == 13);
    CHECK(f.kill(patience));
    CHECK(good == 7);
    CHECK(second.left == 1);
    CHECK(second.failures == 0);
    char text[8];
    CHECK(::recv(room[1], text, sizeof text, 0) == 4);
}

TEST_CASE("every kind of wait fails in a killed fiber") {
    // One fiber for each call that may wait; each is killed inside it.
    pair s = pair::stream(), full = pair::stream();
    fill(full[0]);
    char text[64] = {};
    const std::vector<std::pair<const char*, std::function<long()>>> calls{
        {"read", [&] { return ::read(s[0], text, 1); }},
        {"poll", [&] {
             pollfd one{s[0], POLLIN, 0};
             return long{::poll(&one, 1, -1)};
         }},
        {"send", [&] { return ::send(full[0], text, 1, 0); }},
        {"usleep", [] { return long{::usleep(900000)}; }},
        {"nanosleep",
         [] {
             const timespec t{5, 0};
             return long{::nanosleep(&t, nullptr)};
         }},
    };
    for (const auto& [name, call] : calls) {
        INFO(name);
        long result = 0;
        int error = 0;
        auto f = weft::spawn([&] {
            result = call();
            error = errno;
            weft::this_fiber::yield();
        });
        weft::this_fiber::sleep_for(5ms);
        CHECK_FALSE(f.ready());
        CHECK(f.kill(patience));
        CHECK(result == -1);
        CHECK(error == ECANCELED);
    }

    // These two report it in their own way.
    unsigned left = 0;
    int number = 0;
    auto sleeper = weft::spawn([&] { left = ::sleep(5); });
    auto clock = weft::spawn([&] {
        const timespec t{5, 0};
        number = ::clock_nanosleep(CLOCK_MONOTONIC, 0, &t, nullptr);
    });
    weft::this_fiber::sleep_for(5ms);
    CHECK(sleeper.kill(patience));
    CHECK(clock.kill(patience));
    CHECK(left >= 4);
    CHECK(number == ECANCELED);
}

TEST_CASE("an exception given to kill_with waits until the C library has returned") {
    pair s = pair::stream();
    c_log log{};
    auto f = weft::spawn([&] {
        c_fetch(s[0], &log);
        weft::this_fiber::yield();
    });
    CHECK(eventually([&] { return log.entered == 1; }));
    CHECK(f.kill_with(std::make_exception_ptr(std::out_of_range("given")), patience));
    CHECK(log.left == 1);
    CHECK(log.failures == 6);
    CHECK_THROWS_AS(f.get(), std::out_of_range);
}
