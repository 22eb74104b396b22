// SPDX-License-Identifier: Apache-2.0
#include <weft/errors.hpp>
#include <weft/fiber.hpp>
#include <weft/queue.hpp>
#include <weft/timeout.hpp>

#include <catch2/catch.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using weft::on_get;
using weft::on_put;
using weft::on_timeout;
using weft::this_fiber::yield;

TEST_CASE("select_returns_the_index_of_what_was_done") {
    weft::queue<int> a;
    weft::queue<std::string> b(1);
    int got = 0;
    bool put = false;
    bool late = false;
    const auto once = [&](weft::deadline d) {
        return weft::select(on_get(a, [&](int v) { got = v; }), on_put(b, "text", [&] { put = true; }), on_timeout(d, [&] { late = true; }));
    };
    CHECK(once(10s) == 1);
    CHECK(put);
    CHECK(b.peek() == "text");
    CHECK(once(2ms) == 2);
    CHECK(late);
    CHECK(once(-1s) == 2);
    a.put(5);
    CHECK(once(-1s) == 0);
    CHECK(got == 5);
    auto f = weft::spawn([&] { a.put(6); });
    CHECK(once({}) == 0);
    CHECK(got == 6);
    auto g = weft::spawn([&] { (void)b.get(); });
    put = false;
    CHECK(once({}) == 1);
    CHECK(put);
}

TEST_CASE("select_takes_its_turn_and_exactly_one") {
    weft::queue<int> a;
    weft::queue<int> b;
    std::vector<int> got;
    auto first = weft::spawn([&] { got.push_back(a.get()); });
    auto chooser = weft::spawn([&] {
        return weft::select(on_get(a, [&](int v) { got.push_back(100 + v); }), on_get(b, [&](int v) { got.push_back(200 + v); }));
    });
    auto last = weft::spawn([&] { got.push_back(a.get()); });
    yield();
    a.put(1);
    a.put(2); // handed to the select, so b's goes to nobody
    b.put(3);
    a.put(4);
    CHECK(chooser.get(5s) == 0);
    weft::joinall({first, last});
    CHECK(got == std::vector{1, 102, 4});
    CHECK(b.size() == 1);
}

TEST_CASE("select_leaves_a_value_that_it_does_not_put") {
    weft::queue<std::unique_ptr<int>> full(1);
    full.put(std::make_unique<int>(0));
    weft::channel<std::unique_ptr<int>> nobody;
    auto a = std::make_unique<int>(1);
    auto b = std::make_unique<int>(2);
    CHECK(weft::select(on_put(full, std::move(a)), on_put(nobody, std::move(b)), on_timeout(2ms)) == 2);
    REQUIRE(a != nullptr);
    REQUIRE(b != nullptr);
    auto killed = weft::spawn([&] { weft::select(on_put(full, std::move(a)), on_put(nobody, std::move(b))); });
    yield();
    killed.kill();
    REQUIRE(a != nullptr);
    REQUIRE(b != nullptr);
    auto getter = weft::spawn([&] { return *nobody.get(); });
    yield();
    CHECK(weft::select(on_put(full, std::move(a)), on_put(nobody, std::move(b))) == 1);
    CHECK(a != nullptr);
    CHECK(b == nullptr);
    CHECK(getter.get(5s) == 2);
    weft::queue<std::string> strings;
    const std::string text = "copied";
    CHECK(weft::select(on_put(strings, text)) == 0);
    CHECK(text == strings.get());
    auto stored = on_put(strings, 'x' + text);
    (void)stored;
}

TEST_CASE("select_on_a_queue_that_is_shut_down") {
    weft::queue<int> a;
    weft::queue<int> b;
    a.put(1);
    a.shutdown();
    int got = 0;
    const auto get = [&](int v) { got = v; };
    CHECK(weft::select(on_get(a, get), on_get(b, get)) == 0); // what is left
    CHECK_THROWS_AS(weft::select(on_get(a, get), on_get(b, get)), weft::queue_shutdown);
    b.put(7);
    CHECK(weft::select(on_get(a, get), on_get(b, get)) == 1);
    CHECK(got == 7);
    CHECK_THROWS_AS(weft::select(on_put(a, 1), on_timeout(10s)), weft::queue_shutdown);
    weft::channel<int> c;
    auto waiting = weft::spawn([&] { weft::select(on_get(b, get), on_get(c, get)); });
    auto putting = weft::spawn([&] { weft::select(on_get(b, get), on_put(c, 1)); });
    yield();
    CHECK_NOTHROW(putting.get(5s)); // the two met
    waiting.get(5s);
    auto again = weft::spawn([&] { weft::select(on_get(b, get), on_get(c, get)); });
    yield();
    c.shutdown();
    CHECK_THROWS_AS(again.get(5s), weft::queue_shutdown);
}

TEST_CASE("select_two_meet_in_a_channel") {
    weft::channel<int> c;
    weft::channel<int> other;
    int got = 0;
    for (int i = 0; i < 100; ++i) {
        auto getter = weft::spawn([&] { return weft::select(on_get(other, [](int) {}), on_get(c, [&](int v) { got = v; })); });
        auto putter = weft::spawn([&, i] { return weft::select(on_put(c, i), on_get(other, [](int) {})); });
        CHECK(getter.get(5s) == 1);
        CHECK(putter.get(5s) == 0);
        CHECK(got == i);
    }
    // Nobody meets itself.
    CHECK(weft::select(on_get(c, [](int) {}), on_put(c, 1), on_timeout(2ms)) == 2);
}

TEST_CASE("select_is_fair") {
    std::array<weft::queue<int>, 3> queues;
    std::array<int, 3> count{};
    constexpr int rounds = 3000;
    for (auto& q : queues)
        for (int i = 0; i < rounds; ++i) q.put(i);
    const auto none = [](int) {};
    for (int i = 0; i < rounds; ++i) ++count[weft::select(on_get(queues[0], none), on_get(queues[1], none), on_get(queues[2], none))];
    for (const int n : count) CHECK((n > rounds / 6 && n < rounds / 2)); // 1,000 each; this is far beyond ten deviations
    weft::queue<int> empty; // what cannot be done gives its chance to all others alike
    std::array<int, 3> two{};
    for (int i = 0; i < rounds / 2; ++i) ++two[weft::select(on_get(queues[1], none), on_get(empty, none), on_get(queues[2], none))];
    CHECK(two[1] == 0);
    CHECK((two[0] > rounds / 6 && two[2] > rounds / 6));
}

TEST_CASE("select_of_every_kind_of_queue_and_timeouts") {
    weft::lifo_queue<int> l;
    weft::priority_queue<std::string> p;
    weft::channel<double> c;
    std::string log;
    const auto once = [&] {
        return weft::select(on_get(l, [&](int v) { log += std::to_string(v); }), on_get(p, [&](std::string&& v) { log += v; }),
                            on_get(c, [&](const double& v) { log += v > 0 ? "+" : "-"; }), on_timeout(5s, [&] { log += "?"; }),
                            on_timeout(1ms, [&] { log += "!"; }));
    };
    l.put(1);
    CHECK(once() == 0);
    p.put("b");
    p.put("a");
    CHECK(once() == 1);
    CHECK(once() == 1);
    auto f = weft::spawn([&] { c.put(1.5); });
    yield();
    CHECK(once() == 2);
    CHECK(once() == 4); // the earliest
    CHECK(log == "1ab+!");
    CHECK(weft::select(on_timeout(1ms)) == 0);
    CHECK(weft::select(on_put(p, "x"), on_put(l, 1)) < 2);
}

TEST_CASE("select_what_the_function_throws") {
    weft::queue<int> q;
    q.put(1);
    CHECK_THROWS_AS(weft::select(on_get(q, [](int) { throw std::runtime_error("mine"); })), std::runtime_error);
    CHECK(q.empty());
    CHECK_THROWS_AS(weft::select(on_put(q, 2, [] { throw std::runtime_error("mine"); })), std::runtime_error);
    CHECK(q.get() == 2);
    struct uncopyable {
        uncopyable() = default;
        uncopyable(const uncopyable&) { throw std::runtime_error("no copy"); }
    };
    weft::queue<uncopyable> bounded(1);
    const uncopyable value;
    CHECK_THROWS_AS(weft::select(on_put(bounded, value)), std::runtime_error);
    CHECK_FALSE(bounded.full());
}

TEST_CASE("select_killed_and_timed_out") {
    weft::queue<int> a;
    weft::channel<int> b;
    const auto none = [](int) {};
    auto killed = weft::spawn([&] { weft::select(on_get(a, none), on_get(b, none)); });
    yield();
    killed.kill_async();
    a.put(1); // it takes nothing
    killed.join();
    CHECK(a.size() == 1);
    CHECK(a.get() == 1);
    CHECK_THROWS_AS(weft::with_timeout(2ms, [&] { return weft::select(on_get(a, none), on_get(b, none)); }), weft::timeout_error);
    CHECK_FALSE(b.try_put(1));
}

TEST_CASE("select_between_hubs_and_threads") {
    const auto seed = std::random_device()();
    INFO("seed " << seed);
    weft::queue<int> a(3);
    weft::channel<int> b;
    weft::priority_queue<int> c(5);
    weft::queue<int> stop;
    constexpr int each = 800;
    constexpr int producers = 4;
    std::vector<std::atomic<int>> seen(producers * each);
    const auto produce = [&](int n) {
        std::minstd_rand random(seed + static_cast<unsigned>(n));
        for (int i = 0; i < each;) {
            const int v = n * each + i;
            const auto limit = std::chrono::microseconds(random() % 200);
            if (weft::select(on_put(a, v), on_put(b, v), on_put(c, v), on_timeout(limit)) < 3) ++i;
        }
    };
    const auto consume = [&] {
        const auto take = [&](int v) { ++seen[static_cast<std::size_t>(v)]; };
        try {
            for (;;) weft::select(on_get(a, take), on_get(b, take), on_get(c, take), on_get(stop, [](int) {}));
        } catch (const weft::queue_shutdown&) {
        }
    };
    std::thread plain_consumer(consume);
    std::thread hub_consumer([&] { weft::spawn(consume).join(); });
    auto here = weft::spawn(consume);
    std::thread plain_producer(produce, 0);
    std::thread hub_producer([&] {
        auto f = weft::spawn(produce, 1);
        auto g = weft::spawn(produce, 2);
        weft::joinall({f, g});
    });
    weft::spawn(produce, 3).join();
    plain_producer.join();
    hub_producer.join();
    stop.shutdown();
    here.join();
    plain_consumer.join();
    hub_consumer.join();
    const auto drop = [&](int v) { ++seen[static_cast<std::size_t>(v)]; };
    while (weft::select(on_get(a, drop), on_get(c, drop), on_timeout(0ms)) < 2) {}
    CHECK(std::ranges::all_of(seen, [](const auto& n) { return n == 1; }));
}
