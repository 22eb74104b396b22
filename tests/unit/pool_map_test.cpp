// SPDX-License-Identifier: Apache-2.0
#include <weft/errors.hpp>
#include <weft/fiber.hpp>
#include <weft/pool.hpp>
#include <weft/timeout.hpp>

#include <catch2/catch.hpp>

#include <algorithm>
#include <memory>
#include <ranges>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

using namespace std::chrono_literals;
using weft::this_fiber::sleep_for;
using weft::this_fiber::yield;

TEST_CASE("pool_map") {
    weft::pool p(3);
    std::vector<int> in(20);
    for (int i = 0; i < 20; ++i) in[static_cast<std::size_t>(i)] = i;
    int running = 0;
    int most = 0;
    const auto out = p.map(
        [&](int n) {
            most = std::max(most, ++running);
            sleep_for(std::chrono::microseconds(100 * (20 - n)));
            --running;
            return n * n;
        },
        in);
    CHECK(most == 3);
    REQUIRE(out.size() == 20);
    for (std::size_t i = 0; i < 20; ++i) CHECK(out[i] == static_cast<int>(i * i));
    p.map([](int& n) { n += 1; }, in); // elements by reference, nothing returned
    CHECK(in[0] == 1);
    auto squares = p.map_async([](int n) { return n * n; }, std::vector{1, 2, 3});
    CHECK(std::move(squares).get(5s) == std::vector{1, 4, 9});
    std::vector<std::unique_ptr<int>> owners;
    owners.push_back(std::make_unique<int>(4));
    CHECK(p.map([](const std::unique_ptr<int>& u) { return *u; }, owners) == std::vector{4});
}

TEST_CASE("pool_map_exceptions_reach_the_caller_once") {
    weft::pool p(4);
    int finished = 0;
    CHECK_THROWS_WITH(p.map(
                          [&](int n) {
                              sleep_for(std::chrono::milliseconds(10 - n));
                              if (n % 2 == 1) throw std::runtime_error("odd " + std::to_string(n));
                              ++finished;
                              return n;
                          },
                          std::vector{0, 1, 2, 3}),
                      "odd 1");
    CHECK(finished == 2);
    CHECK(p.empty());
}

TEST_CASE("pool_map_of_a_killed_caller") {
    weft::pool p(2);
    int started = 0;
    int ended = 0;
    auto f = weft::spawn([&] {
        int local = 0; // the calls use this frame
        p.map([&](int) { ++started; sleep_for(1h); ++local; ++ended; }, std::views::iota(0, 5));
    });
    yield();
    yield();
    f.kill();
    CHECK(started == 2);
    CHECK(ended == 0);
    CHECK(p.empty());
    CHECK(p.free_count() == 2);
}

TEST_CASE("pool_imap_is_lazy_bounded_and_ordered") {
    weft::pool p(2);
    int produced = 0;
    auto source = std::views::iota(0) | std::views::transform([&](int n) { ++produced; return n; });
    std::vector<int> got;
    {
        auto results = p.imap([](int n) { sleep_for(std::chrono::milliseconds(n % 3)); return n * 10; }, source, 4);
        for (int r : results) {
            got.push_back(r);
            if (got.size() == 10) break;
        }
        CHECK(produced <= 10 + 4 + 2);
    } // kills what still runs
    CHECK(p.empty());
    CHECK(p.free_count() == 2);
    CHECK(got == std::vector{0, 10, 20, 30, 40, 50, 60, 70, 80, 90});
}

TEST_CASE("pool_imap_unordered_and_input_ranges") {
    weft::pool p(3);
    std::istringstream text("30 1 10");
    std::vector<int> got;
    for (int n : p.imap_unordered([](int ms) { sleep_for(std::chrono::milliseconds(ms)); return ms; },
                                  std::ranges::istream_view<int>(text)))
        got.push_back(n);
    CHECK(got == std::vector{1, 10, 30});
    CHECK(p.empty());
}

TEST_CASE("pool_imap_exceptions") {
    weft::group g;
    auto results = g.imap(
        [](int n) {
            if (n == 2) throw std::runtime_error("two");
            return n;
        },
        std::vector{1, 2, 3});
    CHECK(results.next() == 1);
    CHECK_THROWS_WITH(results.next(), "two");
    CHECK(results.next() == 3);
    CHECK(results.next() == std::nullopt);
    auto broken = std::vector{1, 0} | std::views::transform([](int n) { return n == 0 ? throw std::out_of_range("range") : n; });
    auto second = g.imap([](int n) { return n; }, std::move(broken));
    CHECK(second.next() == 1);
    CHECK_THROWS_AS(second.next(), std::out_of_range);
    CHECK(second.next() == std::nullopt);
}

TEST_CASE("pool_imap_killed_with_its_group") {
    weft::group g;
    auto results = g.imap_unordered([](int n) { sleep_for(1h); return n; }, std::vector{1, 2, 3});
    yield();
    yield();
    g.kill(5s);
    CHECK_THROWS_AS(
        [&] {
            while (results.next()) {}
        }(),
        weft::fiber_killed);
    auto unstarted = g.imap([](int n) { return n; }, std::vector{1});
    g.kill(5s);
    CHECK_THROWS_AS(unstarted.next(), weft::fiber_killed);
    auto timed = g.imap([](int n) { sleep_for(1h); return n; }, std::vector{1});
    CHECK_THROWS_AS(weft::with_timeout(5ms, [&] { return timed.next(); }), weft::timeout_error);
}
