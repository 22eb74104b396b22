// SPDX-License-Identifier: Apache-2.0
// bounded_semaphore, barrier, latch, call_once.
#include <weft/errors.hpp>
#include <weft/event.hpp>
#include <weft/fiber.hpp>
#include <weft/sync.hpp>
#include <weft/timeout.hpp>

#include <catch2/catch.hpp>

#include <atomic>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using weft::this_fiber::yield;

TEST_CASE("bounded_semaphore_refuses_one_too_many") {
    weft::bounded_semaphore s(2);
    CHECK(s.count() == 2);
    CHECK_THROWS_AS(s.release(), std::logic_error);
    CHECK(s.acquire(1s));
    CHECK_THROWS_AS(s.release(2), std::logic_error);
    CHECK(s.count() == 1);
    CHECK(s.try_acquire());
    CHECK_FALSE(s.try_acquire_for(1ms));
    CHECK_FALSE(s.acquire(-1s));
    auto waiting = weft::spawn([&] { return s.acquire(10s); });
    yield();
    s.release();
    CHECK(waiting.get(5s));
    s.release(2);
    {
        const std::scoped_lock hold(s);
        CHECK(s.count() == 1);
    }
    CHECK(weft::wait({s}, 0ms).size() == 1);
    weft::bounded_semaphore none(0);
    CHECK_THROWS_AS(none.release(), std::logic_error);
}

TEST_CASE("semaphore_as_a_lock") {
    weft::semaphore s(1);
    {
        const std::lock_guard hold(s);
        CHECK(s.count() == 0);
        std::unique_lock other(s, std::try_to_lock);
        CHECK_FALSE(other.owns_lock());
    }
    CHECK(s.count() == 1);
    CHECK(s.try_acquire_until(std::chrono::system_clock::now()));
}

TEST_CASE("barrier_meets_again_and_again") {
    weft::barrier b(3);
    CHECK(b.parties() == 3);
    std::vector<int> rounds(3);
    std::vector<weft::any_fiber> all;
    for (std::size_t i = 0; i < 3; ++i)
        all.push_back(weft::spawn([&, i] {
            for (int round = 1; round <= 50; ++round) {
                rounds[i] = round;
                for (std::size_t n = 0; n < i; ++n) yield();
                CHECK(b.wait());
                for (const int r : rounds) CHECK(r >= round);
                b.arrive_and_wait(); // nobody is a round ahead
            }
        }));
    weft::joinall(all, {}, true);
    CHECK(b.waiting() == 0);
    CHECK_THROWS_AS(weft::barrier(0), std::invalid_argument);
    CHECK(weft::barrier(1).wait(-1s));
}

TEST_CASE("barrier_a_wait_that_ends_early_has_not_arrived") {
    weft::barrier b(2);
    CHECK_FALSE(b.wait(-1s));
    CHECK_FALSE(b.wait(2ms));
    CHECK(b.waiting() == 0);
    auto killed = weft::spawn([&] { b.wait(); });
    yield();
    CHECK(b.waiting() == 1);
    killed.kill();
    CHECK(b.waiting() == 0);
    CHECK_THROWS_AS(weft::with_timeout(2ms, [&] { b.wait(); }), weft::timeout_error);
    auto f = weft::spawn([&] { return b.wait(10s); });
    yield();
    CHECK_FALSE(f.ready());
    CHECK(b.wait(10s));
    CHECK(f.get());
}

TEST_CASE("barrier_dropping_out") {
    weft::barrier b(3);
    auto f = weft::spawn([&] { return b.wait() && b.wait(); });
    auto g = weft::spawn([&] { return b.wait() && b.wait(); });
    yield();
    CHECK_FALSE(f.ready());
    b.arrive_and_drop();
    CHECK(f.get(5s));
    CHECK(g.get(5s));
    CHECK(b.parties() == 2);
}

TEST_CASE("barrier_between_hubs_and_threads") {
    weft::barrier b(4);
    std::atomic<int> total{0};
    std::atomic<int> broken{0};
    constexpr int rounds = 300;
    const auto work = [&] {
        for (int round = 1; round <= rounds; ++round) {
            ++total;
            while (!b.wait(std::chrono::microseconds(round % 40))) {}
            if (total < 4 * round) ++broken;
            b.wait();
        }
    };
    std::thread plain(work);
    std::thread hub([&] { weft::spawn(work).join(); });
    auto f = weft::spawn(work);
    auto g = weft::spawn(work);
    weft::joinall({f, g});
    plain.join();
    hub.join();
    CHECK(total == 4 * rounds);
    CHECK(broken == 0);
}

TEST_CASE("latch_goes_down_once") {
    weft::latch l(3);
    CHECK_FALSE(l.try_wait());
    CHECK_FALSE(l.wait(-1s));
    CHECK_FALSE(l.wait(2ms));
    auto f = weft::spawn([&] { return l.wait(); });
    auto killed = weft::spawn([&] { l.wait(); });
    yield();
    killed.kill();
    l.count_down();
    CHECK_THROWS_AS(l.count_down(3), std::logic_error);
    std::thread([&] { l.count_down(); }).join();
    yield();
    CHECK_FALSE(f.ready());
    CHECK(weft::wait({l}, 0ms).empty());
    CHECK(l.arrive_and_wait());
    CHECK(f.get(5s));
    CHECK(l.try_wait());
    CHECK(l.wait(-1s));
    CHECK(weft::wait({l}, 0ms).size() == 1);
    CHECK(weft::latch(0).wait(-1s));
    weft::latch one(1);
    CHECK_FALSE(weft::latch(2).arrive_and_wait(1, 1ms));
}

TEST_CASE("latch_may_go_once_it_was_waited_for") {
    for (int round = 0; round < 300; ++round) {
        auto l = std::make_unique<weft::latch>(2);
        std::thread t([p = l.get()] { p->count_down(); });
        l->arrive_and_wait();
        l.reset();
        t.join();
    }
}

TEST_CASE("call_once_runs_once") {
    weft::once_flag flag;
    int calls = 0;
    std::vector<weft::any_fiber> all;
    for (int i = 0; i < 5; ++i)
        all.push_back(weft::spawn([&] {
            weft::call_once(flag, [&](int by) {
                weft::this_fiber::sleep_for(1ms);
                calls += by;
            }, 1);
            CHECK(calls == 1); // whoever returns finds it done
        }));
    weft::joinall(all, {}, true);
    weft::call_once(flag, [&] { ++calls; });
    CHECK(calls == 1);
}

TEST_CASE("call_once_that_fails_is_tried_by_the_next") {
    weft::once_flag flag;
    std::vector<int> order;
    weft::event never;
    auto killed = weft::spawn([&] { weft::call_once(flag, [&] { never.wait(); }); });
    auto throws = weft::spawn([&] {
        weft::call_once(flag, [&] {
            order.push_back(1);
            throw std::runtime_error("not yet");
        });
    });
    auto gives_up = weft::spawn([&] { weft::call_once(flag, [&] { order.push_back(9); }); });
    auto works = weft::spawn([&] { weft::call_once(flag, [&] { order.push_back(2); }); });
    yield();
    gives_up.kill();
    killed.kill();
    CHECK_THROWS_AS(throws.get(5s), std::runtime_error);
    works.get(5s);
    CHECK(order == std::vector{1, 2});
    weft::once_flag again;
    CHECK_THROWS_AS(weft::call_once(again, [] { throw 1; }), int);
    weft::call_once(again, [&] { order.push_back(3); });
    weft::call_once(again, [&] { order.push_back(4); });
    CHECK(order.back() == 3);
}

TEST_CASE("call_once_between_hubs_and_threads") {
    for (int round = 0; round < 100; ++round) {
        weft::once_flag flag;
        std::atomic<int> calls{0};
        std::atomic<int> broken{0};
        const auto work = [&](bool fails) {
            try {
                weft::call_once(flag, [&] {
                    if (fails) throw std::runtime_error("x");
                    yield();
                    ++calls;
                });
                if (calls != 1) ++broken;
            } catch (const std::runtime_error&) {
            }
        };
        std::thread plain(work, false);
        std::thread hub([&] { weft::spawn(work, true).join(); });
        auto f = weft::spawn(work, false);
        f.join();
        plain.join();
        hub.join();
        CHECK(calls == 1);
        CHECK(broken == 0);
    }
}
