// SPDX-License-Identifier: Apache-2.0
#include <weft/errors.hpp>
#include <weft/fiber.hpp>
#include <weft/queue.hpp>
#include <weft/timeout.hpp>

#include <catch2/catch.hpp>

#include <atomic>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using weft::this_fiber::yield;

TEST_CASE("queue_first_in_first_out") {
    weft::queue<int> q;
    CHECK(q.empty());
    CHECK(q.maxsize() == 0);
    for (int i = 0; i < 5; ++i) q.put(i);
    CHECK(q.size() == 5);
    CHECK_FALSE(q.full());
    CHECK(q.peek() == 0);
    CHECK(q.peek_nowait() == 0);
    for (int i = 0; i < 5; ++i) CHECK(q.get() == i);
    CHECK_FALSE(q.try_get());
    CHECK_THROWS_AS(q.get_nowait(), weft::queue_empty);
    CHECK_THROWS_AS(q.peek_nowait(), weft::queue_empty);
    CHECK_THROWS_AS(q.get(5ms), weft::queue_empty);
    CHECK_THROWS_AS(q.peek(-1s), weft::queue_empty);
}

TEST_CASE("queue_waiting_getters_are_served_in_order") {
    weft::queue<int> q;
    std::vector<std::pair<int, int>> got;
    std::vector<weft::any_fiber> all;
    for (int i = 0; i < 4; ++i)
        all.push_back(weft::spawn([&, i] {
            const int v = q.get();
            got.emplace_back(i, v);
        }));
    yield();
    for (int v = 10; v < 14; ++v) q.put(v);
    CHECK(q.empty()); // handed over
    CHECK_FALSE(q.try_get());
    weft::joinall(all);
    CHECK(got == std::vector<std::pair<int, int>>{{0, 10}, {1, 11}, {2, 12}, {3, 13}});
}

TEST_CASE("queue_bounded_put_waits_in_order") {
    weft::queue<int> q(2);
    std::vector<weft::any_fiber> all;
    for (int i = 0; i < 6; ++i) all.push_back(weft::spawn([&, i] { q.put(i); }));
    yield();
    CHECK(q.full());
    CHECK(q.size() == 2);
    CHECK_FALSE(q.try_put(9));
    CHECK_THROWS_AS(q.put_nowait(9), weft::queue_full);
    CHECK_THROWS_AS(q.put(9, 5ms), weft::queue_full);
    std::vector<int> got;
    for (int i = 0; i < 6; ++i) got.push_back(q.get(5s));
    CHECK(got == std::vector{0, 1, 2, 3, 4, 5});
    weft::joinall(all);
}

TEST_CASE("queue_move_only_and_a_failed_put_keeps_the_value") {
    weft::queue<std::unique_ptr<int>> q(1);
    auto a = std::make_unique<int>(1);
    auto b = std::make_unique<int>(2);
    q.put(std::move(a));
    CHECK(a == nullptr);
    CHECK_FALSE(q.try_put(std::move(b)));
    CHECK_THROWS_AS(q.put_nowait(std::move(b)), weft::queue_full);
    CHECK_THROWS_AS(q.put(std::move(b), 1ms), weft::queue_full);
    auto killed = weft::spawn([&] { q.put(std::move(b)); });
    yield();
    killed.kill();
    REQUIRE(b != nullptr);
    CHECK(*q.get() == 1);
    q.shutdown();
    CHECK_THROWS_AS(q.put(std::move(b)), weft::queue_shutdown);
    REQUIRE(b != nullptr);
    CHECK(*b == 2);
}

TEST_CASE("queue_killed_getter_swallows_nothing") {
    weft::queue<int> q;
    auto victim = weft::spawn([&] { q.get(); });
    auto other = weft::spawn([&] { return q.get(); });
    yield();
    victim.kill_async();
    q.put(1);
    CHECK(other.get(5s) == 1);
    victim.join();
    auto timed = weft::spawn([&] { return weft::with_timeout(5ms, [&] { return q.get(); }); });
    CHECK_THROWS_AS(timed.get(), weft::timeout_error);
    q.put(2);
    CHECK(q.size() == 1);
}

TEST_CASE("queue_killed_putter_gives_its_turn_away") {
    weft::queue<int> q(1);
    q.put(0);
    auto victim = weft::spawn([&] { q.put(1); });
    auto other = weft::spawn([&] { q.put(2); });
    yield();
    victim.kill();
    CHECK(q.get() == 0);
    CHECK(q.get(5s) == 2);
    other.join();
}

TEST_CASE("queue_peek_waits_and_shares") {
    weft::queue<int> q;
    auto first = weft::spawn([&] { return q.peek(); });
    auto second = weft::spawn([&] { return q.get(); });
    auto third = weft::spawn([&] { return q.peek(5ms); });
    yield();
    q.put(7);
    CHECK(first.get(5s) == 7);
    CHECK(second.get(5s) == 7);
    CHECK_THROWS_AS(third.get(5s), weft::queue_empty);
    CHECK(q.empty());
}

namespace {
struct slow_copy {
    int value = 0;
    explicit slow_copy(int v) : value(v) {}
    slow_copy(const slow_copy& other) : value(other.value) {
        for (int i = 0; i < 3; ++i) yield();
        value = other.value; // still there
    }
    slow_copy(slow_copy&& other) noexcept : value(std::exchange(other.value, -1)) {}
};
} // namespace

TEST_CASE("queue_get_waits_for_a_peek_that_copies") {
    weft::queue<slow_copy> q;
    q.put(slow_copy(4));
    auto peeker = weft::spawn([&] { return q.peek().value; });
    yield();
    CHECK(q.get().value == 4);
    CHECK(peeker.get(5s) == 4);
}

TEST_CASE("queue_tasks") {
    weft::joinable_queue<int> q;
    CHECK(q.join());
    CHECK_THROWS_AS(q.task_done(), std::logic_error);
    for (int i = 0; i < 3; ++i) q.put(i);
    CHECK_FALSE(q.join(5ms));
    int done = 0;
    auto worker = weft::spawn([&] {
        for (int v : q) {
            (void)v;
            yield();
            ++done;
            q.task_done();
        }
    });
    CHECK(q.join(5s));
    CHECK(done == 3);
    q.shutdown();
    worker.join();
    CHECK_THROWS_AS(q.task_done(), std::logic_error);
}

TEST_CASE("queue_shutdown_wakes_all") {
    weft::queue<int> q(1);
    auto getter = weft::spawn([&] { return q.get(); });
    auto peeker = weft::spawn([&] { return q.peek(); });
    yield();
    q.shutdown();
    CHECK_THROWS_AS(getter.get(5s), weft::queue_shutdown);
    CHECK_THROWS_AS(peeker.get(5s), weft::queue_shutdown);
    CHECK_THROWS_AS(q.put(1), weft::queue_shutdown);
    CHECK_FALSE(q.try_put(1));
    CHECK_FALSE(q.try_get());
    CHECK_THROWS_AS(q.get_nowait(), weft::queue_shutdown);

    weft::queue<int> full(1);
    full.put(1);
    auto putter = weft::spawn([&] { full.put(2); });
    yield();
    full.shutdown();
    CHECK_THROWS_AS(putter.get(5s), weft::queue_shutdown);
    CHECK(full.get() == 1);
    CHECK_THROWS_AS(full.get(), weft::queue_shutdown);
}

TEST_CASE("queue_immediate_shutdown_drops_and_ends_tasks") {
    auto alive = std::make_shared<int>(0);
    weft::queue<std::shared_ptr<int>> q;
    q.put(alive);
    q.put(alive);
    auto joiner = weft::spawn([&] { return q.join(); });
    yield();
    q.shutdown(true);
    CHECK(alive.use_count() == 1);
    CHECK(joiner.get(5s));
    CHECK(q.empty());
    CHECK_THROWS_AS(q.get(), weft::queue_shutdown);
}

TEST_CASE("queue_place_given_before_shutdown_still_counts") {
    weft::queue<int> q(1);
    q.put(1);
    auto putter = weft::spawn([&] { q.put(2); });
    yield();
    CHECK(q.get() == 1); // its place goes to the putter, who has not run yet
    q.shutdown();
    CHECK(q.get(5s) == 2);
    CHECK_NOTHROW(putter.get());
    CHECK_THROWS_AS(q.get(), weft::queue_shutdown);
}

TEST_CASE("queue_range_for_ends_at_shutdown") {
    weft::queue<std::unique_ptr<int>> q(2);
    auto producer = weft::spawn([&] {
        for (int i = 1; i <= 10; ++i) q.put(std::make_unique<int>(i));
        q.shutdown();
    });
    int sum = 0;
    for (auto& v : q) sum += *v;
    CHECK(sum == 55);
    producer.get();
}

TEST_CASE("queue_is_waitable") {
    weft::queue<int> a;
    weft::queue<int> b;
    auto f = weft::spawn([&] { b.put(1); });
    const auto ready = weft::wait({a, b}, 5s, 1);
    REQUIRE(ready.size() == 1);
    CHECK(ready[0] == static_cast<weft::waitable>(b));
    CHECK(b.get() == 1);
    a.shutdown();
    CHECK(weft::wait({a}, 5s).size() == 1);
}

TEST_CASE("queue_value_that_cannot_be_moved_in") {
    struct thrower {
        thrower() = default;
        thrower(const thrower&) { throw std::runtime_error("no copy"); }
    };
    weft::queue<thrower> q(1);
    thrower t;
    CHECK_THROWS_AS(q.put(t), std::runtime_error);
    CHECK_FALSE(q.full());
    q.shutdown();
    CHECK_THROWS_AS(q.get(), weft::queue_shutdown);
}

TEST_CASE("queue_stress_between_hubs_and_threads") {
    const auto seed = std::random_device()();
    INFO("seed " << seed);
    weft::queue<int> q(7);
    constexpr int producers = 6;
    constexpr int each = 500;
    std::atomic<long long> taken{0};
    std::atomic<int> count{0};
    const auto produce = [&](int n) {
        std::minstd_rand random(seed + static_cast<unsigned>(n));
        for (int i = 0; i < each;) {
            try {
                if (random() % 3 == 0) q.put(n * each + i, std::chrono::microseconds(random() % 100));
                else q.put(n * each + i);
                ++i;
            } catch (const weft::queue_full&) {
            }
        }
    };
    const auto consume = [&](int n) {
        std::minstd_rand random(seed + 1000 + static_cast<unsigned>(n));
        try {
            for (;;) {
                try {
                    taken += random() % 3 == 0 ? q.get(std::chrono::microseconds(random() % 100)) : q.get();
                    ++count;
                } catch (const weft::queue_empty&) {
                }
            }
        } catch (const weft::queue_shutdown&) {
        }
    };
    std::thread plain_consumer(consume, 0);
    std::thread hub_consumers([&] {
        auto f = weft::spawn(consume, 1);
        auto g = weft::spawn(consume, 2);
        weft::joinall({f, g});
    });
    std::thread plain_producer(produce, 0);
    std::thread hub_producers([&] {
        auto f = weft::spawn(produce, 1);
        auto g = weft::spawn(produce, 2);
        weft::joinall({f, g});
    });
    auto here = weft::spawn(consume, 3);
    std::vector<weft::any_fiber> mine;
    for (int n = 3; n < producers; ++n) mine.push_back(weft::spawn(produce, n));
    weft::joinall(mine);
    plain_producer.join();
    hub_producers.join();
    q.shutdown();
    here.join();
    plain_consumer.join();
    hub_consumers.join();
    constexpr long long total = producers * each;
    CHECK(count == total);
    CHECK(taken == total * (total - 1) / 2);
}
