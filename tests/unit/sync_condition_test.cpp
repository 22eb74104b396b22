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

namespace {
/// Its unlock() and lock() suspend the fiber.
struct slow_lock {
    weft::mutex m;
    int unlocks = 0;
    void lock() {
        yield();
        m.lock();
        weft::this_fiber::sleep_for(1ms);
    }
    void unlock() {
        weft::this_fiber::sleep_for(1ms);
        ++unlocks;
        m.unlock();
        yield();
    }
};
} // namespace

TEST_CASE("condition_variable_lock_whose_unlock_suspends") {
    slow_lock l;
    weft::condition_variable changed;
    bool ready = false;
    auto f = weft::spawn([&] {
        l.lock();
        changed.wait(l, [&] { return ready; });
        CHECK_FALSE(l.m.try_lock());
        l.unlock();
    });
    auto g = weft::spawn([&] {
        l.lock();
        CHECK_FALSE(changed.wait(l, 1us)); // past when the unlock is done
        changed.wait(l, 5s, [&] { return ready; });
        l.unlock();
    });
    weft::this_fiber::sleep_for(10ms);
    l.lock();
    ready = true;
    changed.notify_all();
    l.unlock();
    CHECK(f.join(10s));
    CHECK(g.join(10s));
    auto killed = weft::spawn([&] {
        std::unique_lock hold(l);
        try {
            changed.wait(hold);
        } catch (const weft::fiber_exit&) {
            CHECK(hold.owns_lock());
            throw;
        }
    });
    for (const int before = l.unlocks; l.unlocks == before;) weft::this_fiber::sleep_for(100us);
    killed.kill_async(); // in the midst of the unlock, or of the wait
    CHECK(killed.join(10s));
    CHECK(l.m.try_lock());
    l.m.unlock();
}

TEST_CASE("condition_variable_notified_while_the_lock_is_given_up") {
    struct notifying { // the notification comes between unlock and the wait
        weft::condition_variable& c;
        weft::mutex m;
        void lock() { m.lock(); }
        void unlock() {
            m.unlock();
            auto f = weft::spawn([this] { c.notify_one(); });
            f.join();
        }
    };
    weft::condition_variable changed;
    notifying l{changed, {}};
    l.lock();
    CHECK(changed.wait(l, 5s));
    l.unlock();
}

TEST_CASE("condition_variable_ended_by_a_stop_token") {
    weft::mutex m;
    weft::condition_variable changed;
    std::stop_source source;
    bool ready = false;
    auto f = weft::spawn([&] {
        std::unique_lock hold(m);
        return changed.wait(hold, source.get_token(), [&] { return ready; });
    });
    auto g = weft::spawn([&] {
        std::unique_lock hold(m);
        return changed.wait_for(hold, source.get_token(), 10s, [&] { return ready; });
    });
    yield();
    CHECK_FALSE(f.ready());
    std::thread([&] { source.request_stop(); }).join();
    CHECK_FALSE(f.get(5s));
    CHECK_FALSE(g.get(5s));
    std::unique_lock hold(m);
    CHECK_FALSE(changed.wait(hold, source.get_token(), [&] { return ready; })); // stopped already
    ready = true;
    CHECK(changed.wait_until(hold, source.get_token(), std::chrono::system_clock::now(), [&] { return ready; }));
    std::stop_source other;
    ready = false;
    CHECK_FALSE(changed.wait(hold, other.get_token(), 5ms, [&] { return ready; }));
    CHECK(hold.owns_lock());
}

namespace {
struct half_clock { // a TrivialClock that is not one of std's
    using rep = long;
    using period = std::milli;
    using duration = std::chrono::duration<rep, period>;
    using time_point = std::chrono::time_point<half_clock>;
    static constexpr bool is_steady = true;
    static time_point now() {
        return time_point(std::chrono::duration_cast<duration>(std::chrono::steady_clock::now().time_since_epoch()) / 2);
    }
};
} // namespace

TEST_CASE("condition_variable_and_mutex_by_any_clock") {
    weft::mutex m;
    weft::condition_variable changed;
    std::unique_lock hold(m);
    CHECK(changed.wait_until(hold, half_clock::now() + 2ms) == std::cv_status::timeout);
    CHECK_FALSE(m.try_lock_until(half_clock::now() + 2ms));
    CHECK_FALSE(m.try_lock_until(half_clock::now() - 2ms));
}
