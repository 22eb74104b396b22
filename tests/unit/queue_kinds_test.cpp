// SPDX-License-Identifier: Apache-2.0
// What lifo_queue, priority_queue and channel do differently from queue, and what all have in common.
#include <weft/errors.hpp>
#include <weft/event.hpp>
#include <weft/fiber.hpp>
#include <weft/queue.hpp>
#include <weft/timeout.hpp>

#include <catch2/catch.hpp>

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <numeric>
#include <ranges>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using weft::this_fiber::yield;

TEMPLATE_TEST_CASE("queues_have_the_same_face", "", weft::queue<std::string>, weft::lifo_queue<std::string>,
                   weft::priority_queue<std::string>) {
    TestType q(2);
    static_assert(std::ranges::input_range<TestType>);
    CHECK(q.maxsize() == 2);
    q.put("a");
    CHECK(q.try_put("b"));
    CHECK(q.full());
    CHECK(q.size() == 2);
    const std::string kept = "c";
    std::string moved = "a long string that does not fit inside of the object itself";
    CHECK_THROWS_AS(q.put(kept, 2ms), weft::queue_full);
    CHECK_THROWS_AS(q.put(std::move(moved), -1s), weft::queue_full);
    CHECK_THROWS_AS(q.put_nowait(std::move(moved)), weft::queue_full);
    CHECK_FALSE(q.try_put(std::move(moved)));
    CHECK(moved.size() > 20);
    CHECK(weft::wait({q}, 0ms).size() == 1);
    const std::string first = q.peek();
    CHECK(q.peek_nowait() == first);
    CHECK(q.peek(-1s) == first);
    CHECK(q.get() == first);
    CHECK(q.get_nowait() != first);
    CHECK(q.empty());
    CHECK_THROWS_AS(q.get(2ms), weft::queue_empty);
    CHECK_THROWS_AS(q.get(-1s), weft::queue_empty);
    CHECK_THROWS_AS(q.get_nowait(), weft::queue_empty);
    CHECK_THROWS_AS(q.peek(2ms), weft::queue_empty);
    CHECK_THROWS_AS(q.peek_nowait(), weft::queue_empty);
    CHECK_FALSE(q.try_get().has_value());
    CHECK(weft::wait({q}, 0ms).empty());

    auto getter = weft::spawn([&] { return q.get(); });
    auto peeker = weft::spawn([&] { return q.peek(); });
    yield();
    q.put("handed");
    CHECK(getter.get(5s) == "handed");
    q.put("seen");
    CHECK(peeker.get(5s).size() > 3); // the first of the two, or the second
    CHECK(q.get() == "seen");

    CHECK_FALSE(q.join(-1s));
    for (int i = 0; i < 4; ++i) q.task_done();
    CHECK(q.join(-1s));
    CHECK_THROWS_AS(q.task_done(), std::logic_error);

    q.put("x");
    q.put("y");
    auto putter = weft::spawn([&] { q.put("z"); });
    auto joiner = weft::spawn([&] { return q.join(); });
    yield();
    q.shutdown();
    CHECK(q.is_shutdown());
    CHECK_THROWS_AS(putter.get(5s), weft::queue_shutdown);
    CHECK_THROWS_AS(q.put("late"), weft::queue_shutdown);
    CHECK_FALSE(q.try_put("late"));
    std::size_t left = 0;
    for (const std::string& item : q) left += item.size();
    CHECK(left == 2);
    CHECK_THROWS_AS(q.get(), weft::queue_shutdown);
    CHECK_THROWS_AS(q.peek(), weft::queue_shutdown);
    CHECK_FALSE(joiner.ready());
    q.task_done();
    q.task_done();
    CHECK(joiner.get(5s));
}

TEMPLATE_TEST_CASE("queues_dropped_at_once", "", (weft::queue<std::shared_ptr<int>>), (weft::lifo_queue<std::shared_ptr<int>>),
                   (weft::priority_queue<std::shared_ptr<int>>)) {
    auto alive = std::make_shared<int>(0);
    {
        TestType q;
        for (int i = 0; i < 5; ++i) q.put(alive);
        auto joiner = weft::spawn([&] { return q.join(); });
        yield();
        q.task_done();
        (void)q.get();
        q.shutdown(true);
        CHECK(alive.use_count() == 1);
        CHECK(joiner.get(5s));
        CHECK_THROWS_AS(q.get(), weft::queue_shutdown);
    }
    TestType left;
    left.put(alive);
    left.put(alive);
}

TEMPLATE_TEST_CASE("queues_killed_and_timed_out_waiters_take_nothing", "", weft::queue<int>, weft::lifo_queue<int>,
                   weft::priority_queue<int>, weft::channel<int>) {
    TestType q;
    auto victim = weft::spawn([&] { (void)q.get(); });
    auto timed = weft::spawn([&] { return weft::with_timeout(2ms, [&] { return q.get(); }); });
    auto late = weft::spawn([&] { return q.get(2ms); });
    auto other = weft::spawn([&] { return q.get(); });
    yield();
    victim.kill();
    CHECK_THROWS_AS(timed.get(5s), weft::timeout_error);
    CHECK_THROWS_AS(late.get(5s), weft::queue_empty);
    q.put(7);
    CHECK(other.get(5s) == 7);
    auto dying = weft::spawn([&] { return q.get(); });
    auto next = weft::spawn([&] { return q.get(); });
    yield();
    dying.kill_async();
    q.put(8); // whoever is killed at the same moment does not swallow it
    CHECK(next.get(5s) == 8);
}

TEST_CASE("lifo_queue_last_in_first_out") {
    weft::lifo_queue<int> q;
    for (int i = 0; i < 5; ++i) q.put(i);
    CHECK(q.peek() == 4);
    std::vector<int> got;
    while (auto v = q.try_get()) got.push_back(*v);
    CHECK(got == std::vector{4, 3, 2, 1, 0});
}

TEST_CASE("priority_queue_smallest_first") {
    weft::priority_queue<int> q;
    for (const int v : {5, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5}) q.put(v);
    CHECK(q.peek() == 1);
    std::vector<int> got;
    while (auto v = q.try_get()) got.push_back(*v);
    CHECK(std::ranges::is_sorted(got));
    CHECK(got.size() == 11);
    weft::priority_queue<int, std::greater<int>> largest;
    largest.put(1);
    largest.put(3);
    largest.put(2);
    CHECK(largest.get() == 3);
    const auto by_distance = [](int a, int b) { return std::abs(a - 10) < std::abs(b - 10); };
    weft::priority_queue<int, decltype(by_distance)> nearest(by_distance);
    for (const int v : {1, 8, 30, 11}) nearest.put(v);
    CHECK(nearest.get() == 11);
    CHECK(nearest.get() == 8);
}

TEST_CASE("priority_queue_equals_in_order_of_arrival") {
    using job = std::pair<int, int>;
    const auto by_priority = [](const job& a, const job& b) { return a.first < b.first; };
    weft::priority_queue<job, decltype(by_priority)> q(0, by_priority);
    for (int n = 0; n < 300; ++n) q.put({n * 7 % 3, n});
    job last{-1, -1};
    for (int n = 0; n < 300; ++n) {
        const job now = q.get();
        CHECK((now.first > last.first || (now.first == last.first && now.second > last.second)));
        last = now;
    }
}

TEST_CASE("priority_queue_compare_that_throws_or_waits") {
    static bool throws = false;
    struct item {
        int n;
        bool operator<(const item& other) const {
            if (throws) throw std::runtime_error("incomparable");
            yield();
            return n < other.n;
        }
    };
    weft::priority_queue<std::unique_ptr<item>, bool (*)(const std::unique_ptr<item>&, const std::unique_ptr<item>&)> q(
        3, [](const std::unique_ptr<item>& a, const std::unique_ptr<item>& b) { return *a < *b; });
    q.put(std::make_unique<item>(5));
    q.put(std::make_unique<item>(3));
    throws = true;
    auto mine = std::make_unique<item>(4);
    CHECK_THROWS_AS(q.put(std::move(mine)), std::runtime_error);
    REQUIRE(mine != nullptr);
    CHECK(q.size() == 2);
    throws = false;
    q.put(std::move(mine));
    CHECK_FALSE(q.try_put(std::make_unique<item>(1)));
    throws = true;
    CHECK_THROWS_AS(q.get(), std::runtime_error);
    CHECK(q.size() == 3);
    throws = false;
    std::vector<weft::fiber<int>> getters;
    for (int i = 0; i < 6; ++i) getters.push_back(weft::spawn([&] { return q.get()->n; }));
    for (int n = 0; n < 3; ++n) weft::spawn([&, n] { q.put(std::make_unique<item>(n)); });
    int sum = 0;
    for (auto& g : getters) sum += g.get(5s);
    CHECK(sum == 5 + 4 + 3 + 2 + 1 + 0);
}

TEST_CASE("channel_put_waits_for_its_get") {
    weft::channel<std::unique_ptr<int>> c;
    CHECK(c.empty());
    CHECK(c.full());
    CHECK(c.size() == 0);
    auto value = std::make_unique<int>(1);
    CHECK_FALSE(c.try_put(std::move(value)));
    CHECK_THROWS_AS(c.put_nowait(std::move(value)), weft::queue_full);
    CHECK_THROWS_AS(c.put(std::move(value), 2ms), weft::queue_full);
    CHECK_THROWS_AS(c.put(std::move(value), -1s), weft::queue_full);
    auto killed = weft::spawn([&] { c.put(std::move(value)); });
    yield();
    killed.kill();
    REQUIRE(value != nullptr);
    CHECK_THROWS_AS(c.get(-1s), weft::queue_empty);
    CHECK_THROWS_AS(c.get_nowait(), weft::queue_empty);
    CHECK_FALSE(c.try_get());

    bool taken = false;
    auto putter = weft::spawn([&] {
        c.put(std::move(value));
        taken = true;
    });
    yield();
    CHECK_FALSE(taken);
    CHECK(weft::wait({c}, 0ms).size() == 1);
    CHECK(*c.get_nowait() == 1);
    putter.join();
    CHECK(taken);
    auto getter = weft::spawn([&] { return *c.get(); });
    yield();
    CHECK(c.try_put(std::make_unique<int>(2)));
    CHECK(getter.get(5s) == 2);
    CHECK_FALSE(c.join(-1s));
    c.task_done();
    c.task_done();
    CHECK(c.join(-1s));
    CHECK_THROWS_AS(c.task_done(), std::logic_error);
}

TEST_CASE("channel_in_order_and_to_its_end") {
    weft::channel<int> c;
    auto producer = weft::spawn([&] {
        for (int i = 0; i < 100; ++i) c.put(i);
        c.shutdown();
    });
    int expected = 0;
    for (const int v : c) CHECK(v == expected++);
    CHECK(expected == 100);
    CHECK_THROWS_AS(c.put(1), weft::queue_shutdown);
    CHECK_THROWS_AS(c.get(), weft::queue_shutdown);
    CHECK_THROWS_AS(c.peek(), weft::queue_shutdown);
    weft::channel<int> other;
    auto putter = weft::spawn([&] { other.put(1); });
    yield();
    other.shutdown(); // nobody took it
    CHECK_THROWS_AS(putter.get(5s), weft::queue_shutdown);
}

TEST_CASE("channel_peek_copies_what_waits") {
    weft::channel<std::string> c;
    auto peeker = weft::spawn([&] { return c.peek(); });
    CHECK_THROWS_AS(c.peek(2ms), weft::queue_empty);
    CHECK_THROWS_AS(c.peek_nowait(), weft::queue_empty);
    auto putter = weft::spawn([&] { c.put("text"); });
    CHECK(peeker.get(5s) == "text");
    CHECK(c.peek_nowait() == "text");
    CHECK_FALSE(putter.ready());
    CHECK(c.get() == "text");
    putter.get(5s);
}

namespace {
struct fragile {
    static inline int throws = 0;
    int n;
    explicit fragile(int v) : n(v) {}
    fragile(const fragile& o) : n(o.n) {
        if (throws > 0 && throws-- > 0) throw std::runtime_error("not this time");
        for (int i = 0; i < 3; ++i) yield();
    }
};
} // namespace

TEST_CASE("channel_value_that_is_hard_to_copy") {
    weft::channel<fragile> c;
    const fragile mine(3);
    auto waiting = weft::spawn([&] { c.put(mine); });
    yield();
    auto peeker = weft::spawn([&] { return c.peek().n; });
    yield(); // in the midst of it
    CHECK(c.get().n == 3);
    waiting.get(5s);
    CHECK(peeker.get(5s) == 3);
    auto again = weft::spawn([&] { c.put(mine); });
    yield();
    fragile::throws = 1;
    CHECK_THROWS_AS(c.get(), std::runtime_error);
    CHECK_FALSE(again.ready()); // it waits for the next
    CHECK(c.get().n == 3);
    again.get(5s);
    auto getter = weft::spawn([&] { return c.get().n; });
    yield();
    fragile::throws = 1;
    CHECK_THROWS_AS(c.put(mine), std::runtime_error);
    yield();
    CHECK_FALSE(getter.ready());
    c.put(mine);
    CHECK(getter.get(5s) == 3);
}

TEMPLATE_TEST_CASE("queues_thousands_of_producers_and_consumers", "", weft::queue<int>, weft::lifo_queue<int>, weft::priority_queue<int>,
                   weft::channel<int>) {
    TestType q;
    constexpr int fibers = 1000;
    constexpr int each = 5;
    std::vector<weft::any_fiber> producers;
    std::vector<weft::any_fiber> consumers;
    std::vector<int> seen(fibers * each);
    for (int i = 0; i < fibers; ++i) {
        producers.push_back(weft::spawn([&, i] {
            for (int n = 0; n < each; ++n) q.put(i * each + n);
        }));
        consumers.push_back(weft::spawn([&] {
            for (const int v : q) ++seen[static_cast<std::size_t>(v)];
        }));
    }
    weft::joinall(producers);
    while (!q.empty()) yield();
    q.shutdown();
    CHECK(weft::joinall(consumers, 20s).size() == fibers);
    CHECK(std::ranges::count(seen, 1) == fibers * each);
}

TEMPLATE_TEST_CASE("queues_between_hubs_and_threads", "", weft::queue<int>, weft::lifo_queue<int>, weft::priority_queue<int>,
                   weft::channel<int>) {
    TestType q;
    constexpr int each = 600;
    constexpr int producers = 4;
    std::vector<std::atomic<int>> seen(producers * each);
    const auto produce = [&](int n) {
        for (int i = 0; i < each;) {
            try {
                if (i % 3 == 0) q.put(n * each + i, std::chrono::microseconds(i % 50));
                else q.put(n * each + i);
                ++i;
            } catch (const weft::queue_full&) {
            }
        }
    };
    const auto consume = [&] {
        for (int i = 0;; ++i) {
            try {
                const int v = i % 3 == 0 ? q.get(std::chrono::microseconds(i % 50)) : q.get();
                ++seen[static_cast<std::size_t>(v)];
            } catch (const weft::queue_empty&) {
            } catch (const weft::queue_shutdown&) {
                return;
            }
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
    q.shutdown();
    here.join();
    plain_consumer.join();
    hub_consumer.join();
    CHECK(std::ranges::all_of(seen, [](const auto& n) { return n == 1; }));
}
