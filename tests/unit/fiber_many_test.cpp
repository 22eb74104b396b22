// SPDX-License-Identifier: Apache-2.0
// Several fibers at once: joinall, killall, wait, iwait, gather; later starts; idle.
#include <weft/fiber.hpp>
#include <weft/hub.hpp>

#include "support/pace.hpp"

#include <chrono>
#include <concepts>
#include <deque>
#include <memory>
#include <stdexcept>
#include <string>
#include <tuple>
#include <variant>
#include <vector>

using namespace std::chrono_literals;
using test_support::pace;
using test_support::wrong_at_any_pace;

namespace {

auto sleeper(std::chrono::milliseconds d) {
    return weft::spawn([d] { weft::this_fiber::sleep_for(d); });
}

} // namespace

TEST_CASE("joinall_returns_in_order_of_completion") {
    CHECK(wrong_at_any_pace([](pace& p) {
        std::vector<weft::fiber<void>> fibers{sleeper(p.ms(30)), sleeper(p.ms(1)), sleeper(p.ms(15))};
        const std::vector<weft::any_fiber> ended = weft::joinall(fibers);
        p.check(ended == std::vector<weft::any_fiber>{fibers[1], fibers[2], fibers[0]});
    }) == 0);
}

TEST_CASE("joinall_stops_at_its_deadline") {
    CHECK(wrong_at_any_pace([](pace& p) {
        auto quick = sleeper(p.ms(1));
        auto slow = sleeper(1h);
        p.check(weft::joinall({quick, slow}, p.ms(30)) == std::vector<weft::any_fiber>{quick});
        p.check(weft::joinall({slow}, 0s).empty());
        p.check(weft::joinall({quick}, 0s).size() == 1); // a past deadline polls
    }) == 0);
    auto quick = weft::spawn([] {});
    CHECK(weft::joinall(std::vector<weft::any_fiber>()).empty());
    CHECK(weft::joinall(std::deque<weft::any_fiber>{quick, quick}).size() == 2);
}

TEST_CASE("joinall_raises_the_first_error_at_once") {
    auto slow = sleeper(1h);
    auto fails = weft::spawn([] { throw std::runtime_error("first"); });
    CHECK_THROWS_WITH(weft::joinall({slow, fails}, 20s, true), "first");
    CHECK_FALSE(slow.ready());
    CHECK(weft::joinall({fails}, 20s, false).size() == 1);
    auto killed = sleeper(1h);
    killed.kill();
    CHECK(weft::joinall({killed}, 20s, true).size() == 1); // a kill is no error
}

TEST_CASE("killall_kills_and_waits") {
    std::vector<weft::fiber<void>> fibers;
    for (int i = 0; i < 100; ++i) fibers.push_back(sleeper(1h));
    weft::this_fiber::yield();
    fibers.push_back(sleeper(1h)); // not started
    CHECK(weft::killall(fibers));
    for (auto& f : fibers) CHECK(f.dead());
    CHECK(weft::killall(fibers, 0s));
    bool go = false;
    auto stubborn = weft::spawn([&go] {
        while (!go) {
            try {
                weft::this_fiber::sleep_for(100us);
            } catch (const weft::fiber_exit&) {
            }
        }
    });
    weft::this_fiber::yield();
    CHECK_FALSE(weft::killall({stubborn}, 5ms));
    go = true;
    CHECK(stubborn.join(20s));
}

TEST_CASE("wait_for_a_count") {
    CHECK(wrong_at_any_pace([](pace& p) {
        std::vector<weft::fiber<void>> fibers{sleeper(1h), sleeper(p.ms(2)), sleeper(p.ms(10)), sleeper(1h)};
        p.check(weft::wait(fibers, 20s, 1) == std::vector{fibers[1]});
        const auto two = weft::wait(fibers, {}, 2);
        STATIC_REQUIRE(std::same_as<decltype(two), const std::vector<weft::fiber<void>>>);
        p.check(two == std::vector{fibers[1], fibers[2]});
        p.check(weft::wait(fibers, 5ms).size() == 2);
        p.check(weft::wait(fibers, {}, 0).empty());
    }) == 0);
}

TEST_CASE("wait_takes_a_mix") {
    CHECK(wrong_at_any_pace([](pace& p) {
        auto a = weft::spawn([] { return 1; });
        auto b = sleeper(p.ms(5));
        weft::any_fiber c = sleeper(1h);
        p.check(weft::wait({a, b, c}, p.ms(100)) == std::vector<weft::waitable>{a, b});
    }) == 0);
}

TEST_CASE("iwait_gives_each_as_it_ends") {
    std::vector<weft::fiber<int>> fibers;
    CHECK(wrong_at_any_pace([&](pace& p) {
        fibers.clear();
        for (int n : {30, 1, 15}) {
            fibers.push_back(weft::spawn([n, d = p.ms(n)] {
                weft::this_fiber::sleep_for(d);
                return n;
            }));
        }
        std::string order;
        for (weft::fiber<int>& f : weft::iwait(fibers)) order += std::to_string(f.get()) + " ";
        p.check(order == "1 15 30 ");
    }) == 0);
    fibers.push_back(weft::spawn([] {
        weft::this_fiber::sleep_for(1h);
        return 0;
    }));
    int ended = 0;
    for (auto& f : weft::iwait(fibers, 5ms)) ended += f.ready();
    CHECK(ended == 3);
}

TEST_CASE("iwait_may_be_left_early") {
    {
        std::vector<weft::fiber<void>> fibers{sleeper(1ms), sleeper(5ms), sleeper(5ms)};
        for (auto& f : weft::iwait(fibers)) {
            (void)f;
            break;
        }
    }
    CHECK(weft::wait(20s));
}

TEST_CASE("gather_gives_a_tuple") {
    auto text = weft::spawn([] { return std::string("kept"); });
    auto results = weft::gather(
        weft::spawn([] { return 1; }), text, weft::spawn([] {}), weft::spawn([] { return std::make_unique<int>(4); }));
    STATIC_REQUIRE(std::same_as<decltype(results), std::tuple<int, std::string, std::monostate, std::unique_ptr<int>>>);
    CHECK(std::get<0>(results) == 1);
    CHECK(std::get<1>(results) == "kept");
    CHECK(*std::get<3>(results) == 4);
    CHECK(text.get() == "kept"); // copied from a handle that stays
    CHECK(weft::gather() == std::tuple<>());
    CHECK_THROWS_WITH(
        weft::gather(weft::spawn([] { return 1; }), weft::spawn([]() -> int { throw std::logic_error("g"); })), "g");
}

TEST_CASE("spawn_later_starts_when_it_is_time") {
    const auto begin = std::chrono::steady_clock::now();
    auto f = weft::spawn_later(
        20ms, [](int n) { return n + 1; }, 4);
    weft::this_fiber::yield();
    CHECK_FALSE(f.started());
    CHECK(f.get() == 5);
    CHECK(std::chrono::steady_clock::now() - begin >= 20ms);
    CHECK(weft::spawn_later(-1s, [] { return 1; }).get(20s) == 1);
    CHECK(weft::spawn_later(begin, [] { return 1; }).get(20s) == 1);
}

TEST_CASE("spawn_later_killed_before_its_start") {
    bool ran = false;
    auto f = weft::spawn_later(1h, [&ran] { ran = true; });
    CHECK(weft::hub::current().stats().timers == 1);
    CHECK(f.kill(20s));
    CHECK(weft::hub::current().stats().timers == 0);
    auto never = weft::spawn_later(weft::deadline(), [&ran] { ran = true; });
    CHECK(never.kill(20s));
    CHECK_FALSE(ran);
    CHECK_THROWS_AS(f.get(), weft::fiber_killed);
}

TEST_CASE("idle_waits_until_nothing_is_ready") {
    int turns = 0;
    auto busy = weft::spawn([&turns] {
        for (; turns < 100; ++turns) weft::this_fiber::yield();
    });
    auto parked = sleeper(1h);
    weft::idle();
    CHECK(turns == 100);
    CHECK_FALSE(parked.ready());
    weft::idle(); // and at once where there is nothing
}

TEST_CASE("wait_until_nothing_is_left") {
    int ended = 0;
    for (int i = 0; i < 20; ++i) {
        weft::spawn([&ended, i] {
            weft::this_fiber::sleep_for(std::chrono::milliseconds(i));
            weft::spawn([&ended] { ++ended; });
            ++ended;
        });
    }
    CHECK(weft::wait());
    CHECK(ended == 40);
    auto f = sleeper(1h);
    CHECK_FALSE(weft::wait(5ms));
    CHECK_FALSE(weft::hub::current().join(0s));
    f.kill();
    CHECK(weft::hub::current().join());
    // Several may wait for it at a time.
    auto other = weft::spawn([] { return weft::wait(); });
    CHECK(weft::wait(20s));
    CHECK(other.get(20s));
}
