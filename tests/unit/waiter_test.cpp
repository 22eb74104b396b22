// SPDX-License-Identifier: Apache-2.0
// The primitive under everything: one suspend, one wake.
#include <weft/detail/waiter.hpp>
#include <weft/fiber.hpp>

#include <atomic>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using weft::rt::wait_list;
using weft::rt::waiter;
using weft::rt::wake_reason;

namespace {

/// The smallest thing that waits: a counter of permits.
struct permits {
    weft::rt::spinlock lock;
    int count = 0;
    wait_list waiting;

    bool take(weft::deadline d = {}) {
        for (;;) {
            weft::rt::interruption_point();
            lock.lock();
            if (count > 0) {
                --count;
                lock.unlock();
                return true;
            }
            waiter w("a permit", this);
            waiting.push(w.node);
            lock.unlock();
            const wake_reason reason = w.suspend(d);
            lock.lock();
            wait_list::remove(w.node);
            lock.unlock();
            if (reason == wake_reason::woken) return true;
            if (weft::rt::deadline_reached(reason)) return false;
        }
    }
    void give() {
        const std::lock_guard hold(lock);
        if (waiting.wake_one() == nullptr) ++count;
    }
};

} // namespace

TEST_CASE("waiters_wake_in_fifo_order") {
    permits p;
    std::string order;
    for (char c : {'a', 'b', 'c', 'd'}) {
        weft::spawn([&, c] {
            p.take();
            order += c;
        });
    }
    weft::this_fiber::yield();
    for (int i = 0; i < 4; ++i) p.give();
    CHECK(weft::wait(20s));
    CHECK(order == "abcd");
}

TEST_CASE("a_waiter_that_timed_out_swallows_no_wake") {
    permits p;
    auto late = weft::spawn([&] { return p.take(2ms); });
    auto next = weft::spawn([&] { return p.take(20s); });
    weft::this_fiber::yield();
    for (const auto until = std::chrono::steady_clock::now() + 5ms; std::chrono::steady_clock::now() < until;) {
    }
    p.give(); // late's time has come, but it is still in the list
    p.give();
    const bool first = late.get();
    CHECK(next.get());
    CHECK(p.count == (first ? 0 : 1));
}

TEST_CASE("a_killed_waiter_swallows_no_wake") {
    permits p;
    auto killed = weft::spawn([&] { p.take(); });
    auto next = weft::spawn([&] { return p.take(20s); });
    weft::this_fiber::yield();
    killed.kill_async();
    p.give(); // must go to the next, or be left
    CHECK(next.get());
    CHECK(killed.join(20s));
    CHECK_THROWS_AS(killed.get(), weft::fiber_killed);
}

TEST_CASE("a_wake_that_came_first_is_kept_against_a_kill") {
    permits p;
    bool taken = false;
    auto f = weft::spawn([&] {
        p.take();
        taken = true;
        weft::this_fiber::yield();
    });
    weft::this_fiber::yield();
    p.give();
    f.kill_async();
    f.join();
    CHECK(taken);
    CHECK_THROWS_AS(f.get(), weft::fiber_killed);
}

TEST_CASE("a_waiter_is_woken_at_most_once") {
    waiter w("a test");
    CHECK(w.wake());
    CHECK_FALSE(w.wake());
    CHECK(w.suspend() == wake_reason::woken);
    CHECK_FALSE(w.wake());
    {
        waiter next("another"); // a stale wake is a no-op
        CHECK_FALSE(w.wake());
        CHECK(next.suspend(1ms) == wake_reason::deadline);
        CHECK_FALSE(next.wake());
    }
}

TEST_CASE("a_waiter_may_be_abandoned") {
    {
        waiter w("a test");
        CHECK(w.abandon());
        CHECK_FALSE(w.wake());
    }
    waiter w("a test");
    CHECK(w.wake());
    CHECK_FALSE(w.abandon());
    weft::this_fiber::yield();
}

TEST_CASE("a_deferred_wait_is_not_interrupted") {
    permits p;
    auto f = weft::spawn([&] {
        waiter w("a deferred test", nullptr, weft::rt::interruption::deferred);
        p.waiting.push(w.node);
        const bool woken = w.suspend() == wake_reason::woken;
        if (!woken) return false;
        weft::this_fiber::yield(); // and here it is delivered
        return false;
    });
    weft::this_fiber::yield();
    CHECK_FALSE(f.kill(2ms));
    p.give();
    CHECK(f.join(20s));
    CHECK_THROWS_AS(f.get(), weft::fiber_killed);
}

TEST_CASE("threads_and_fibers_wait_in_one_list") {
    permits p;
    std::atomic<int> taken{0};
    constexpr int each = 2000;
    std::vector<std::thread> threads;
    for (int t = 0; t < 2; ++t) {
        threads.emplace_back([&] { // blocks for real
            for (int i = 0; i < each; ++i) taken += p.take();
        });
    }
    threads.emplace_back([&] { // a hub of its own
        for (int k = 0; k < 4; ++k) {
            weft::spawn([&] {
                for (int i = 0; i < each / 4; ++i) taken += p.take();
            });
        }
        weft::wait();
    });
    auto here = weft::spawn([&] {
        for (int i = 0; i < each; ++i) taken += p.take();
    });
    threads.emplace_back([&] {
        for (int i = 0; i < 2 * each; ++i) p.give();
    });
    for (int i = 0; i < 2 * each; ++i) {
        p.give();
        if (i % 16 == 0) weft::this_fiber::yield();
    }
    CHECK(here.join(50s));
    for (auto& t : threads) t.join();
    CHECK(taken == 4 * each);
    CHECK(p.count == 0);
}
