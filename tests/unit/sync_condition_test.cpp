// SPDX-License-Identifier: Apache-2.0
#include <weft/errors.hpp>
#include <weft/fiber.hpp>
#include <weft/sync.hpp>

#include <catch2/catch.hpp>

#include <deque>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using weft::this_fiber::yield;

TEST_CASE("condition_variable_wakes_in_order") {
    weft::mutex m;
    weft::condition_variable changed;
    std::vector<int> order;
    std::vector<weft::any_fiber> all;
    for (int i = 0; i < 4; ++i)
        all.push_back(weft::spawn([&, i] {
            std::unique_lock hold(m);
            changed.wait(hold);
            CHECK(hold.owns_lock());
            order.push_back(i);
        }));
    yield();
    changed.notify_one();
    yield();
    CHECK(order == std::vector{0});
    changed.notify_all();
    weft::joinall(all);
    CHECK(order == std::vector{0, 1, 2, 3});
}

TEST_CASE("condition_variable_deadlines_and_predicates") {
    weft::mutex m;
    weft::condition_variable changed;
    bool ready = false;
    std::unique_lock hold(m);
    CHECK_FALSE(changed.wait(hold, 5ms));
    CHECK_FALSE(changed.wait(hold, 5ms, [&] { return ready; }));
    CHECK(changed.wait_for(hold, 5ms) == std::cv_status::timeout);
    CHECK(changed.wait_until(hold, std::chrono::steady_clock::now()) == std::cv_status::timeout);
    CHECK_FALSE(changed.wait_for(hold, 5ms, [&] { return ready; }));
    auto f = weft::spawn([&] {
        const std::lock_guard inner(m);
        ready = true;
        changed.notify_one();
    });
    changed.wait(hold, [&] { return ready; });
    CHECK(hold.owns_lock());
    CHECK(changed.wait_until(hold, std::chrono::system_clock::now() + 1s, [&] { return ready; }));
    f.join();
}

TEST_CASE("condition_variable_killed_waiter_holds_the_lock") {
    weft::mutex m;
    weft::condition_variable changed;
    bool held = false;
    auto f = weft::spawn([&] {
        std::unique_lock hold(m);
        try {
            changed.wait(hold);
        } catch (const weft::fiber_exit&) {
            held = hold.owns_lock() && !m.try_lock();
            throw;
        }
    });
    yield();
    m.lock();
    f.kill_async();
    yield();
    CHECK_FALSE(f.ready()); // it waits for the lock first, undisturbed
    f.kill_async();
    yield();
    CHECK_FALSE(f.ready());
    m.unlock();
    CHECK(f.join(5s));
    CHECK(held);
    CHECK(m.try_lock());
    m.unlock();
}

TEST_CASE("condition_variable_killed_waiter_takes_no_notification") {
    weft::mutex m;
    weft::condition_variable changed;
    bool woken = false;
    auto victim = weft::spawn([&] { std::unique_lock hold(m); changed.wait(hold); });
    auto other = weft::spawn([&] { std::unique_lock hold(m); changed.wait(hold); woken = true; });
    yield();
    victim.kill_async();
    changed.notify_one();
    CHECK(other.join(5s));
    CHECK(woken);
    victim.join();
}

TEST_CASE("condition_variable_lock_that_cannot_be_unlocked") {
    weft::mutex m;
    weft::condition_variable changed;
    std::unique_lock not_held(m, std::defer_lock);
    CHECK_THROWS_AS(changed.wait(not_held), std::system_error);
    changed.notify_all();
    yield(); // still able to wait
}

TEST_CASE("condition_variable_bounded_buffer_between_threads") {
    weft::mutex m;
    weft::condition_variable not_empty;
    weft::condition_variable not_full;
    std::deque<int> buffer;
    constexpr int each = 1000;
    const auto produce = [&](int base) {
        for (int i = 0; i < each; ++i) {
            std::unique_lock hold(m);
            not_full.wait(hold, [&] { return buffer.size() < 3; });
            buffer.push_back(base + i);
            not_empty.notify_one();
        }
    };
    long long sum = 0;
    const auto consume = [&](int count) {
        for (int i = 0; i < count; ++i) {
            std::unique_lock hold(m);
            not_empty.wait(hold, [&] { return !buffer.empty(); });
            sum += buffer.front();
            buffer.pop_front();
            not_full.notify_one();
        }
    };
    std::thread plain_producer(produce, 0);
    std::thread plain_consumer(consume, each);
    std::thread hub_producer([&] { weft::spawn(produce, each).join(); });
    auto here = weft::spawn(consume, each);
    here.join();
    plain_producer.join();
    plain_consumer.join();
    hub_producer.join();
    CHECK(sum == 2LL * each * (2 * each - 1) / 2);
    CHECK(buffer.empty());
}

TEST_CASE("condition_variable_with_a_std_mutex") {
    std::mutex m;
    weft::condition_variable changed;
    bool ready = false;
    std::thread t([&] {
        const std::lock_guard hold(m);
        ready = true;
        changed.notify_all();
    });
    std::unique_lock hold(m);
    changed.wait(hold, [&] { return ready; });
    hold.unlock();
    t.join();
    CHECK(ready);
}

TEST_CASE("condition_may_be_destroyed_once_all_are_notified") {
    weft::mutex m;
    auto c = std::make_unique<weft::condition_variable>();
    weft::condition_variable* const of_the_waiter = c.get();
    auto f = weft::spawn([&] {
        std::unique_lock hold(m);
        of_the_waiter->wait(hold);
    });
    yield();
    c->notify_all();
    c.reset(); // the waiter has not returned yet
    CHECK(f.join(5s));
}
