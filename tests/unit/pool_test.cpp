// SPDX-License-Identifier: Apache-2.0
#include <weft/errors.hpp>
#include <weft/event.hpp>
#include <weft/fiber.hpp>
#include <weft/pool.hpp>
#include <weft/timeout.hpp>

#include <catch2/catch.hpp>

#include <algorithm>
#include <atomic>
#include <memory>
#include <random>
#include <stdexcept>
#include <thread>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

using namespace std::chrono_literals;
using weft::this_fiber::sleep_for;
using weft::this_fiber::yield;

TEST_CASE("group_join_waits_for_members_of_members") {
    weft::group g;
    int ended = 0;
    for (int i = 0; i < 3; ++i)
        g.spawn([&] {
            yield();
            g.spawn([&] { yield(); ++ended; });
            ++ended;
        });
    CHECK(g.size() == 3);
    CHECK_FALSE(g.full());
    CHECK(g.wait_available());
    CHECK(g.join(5s));
    CHECK(ended == 6);
    CHECK(g.empty());
}

TEST_CASE("group_join_deadline_and_errors") {
    weft::group g;
    weft::event go;
    g.spawn([&] { go.wait(); });
    CHECK_FALSE(g.join(5ms));
    CHECK_FALSE(g.join(5ms, true));
    auto bad = g.spawn([] { throw std::out_of_range("bad"); });
    go.set();
    CHECK_THROWS_AS(g.join({}, true), std::out_of_range);
    CHECK(g.join());
}

TEST_CASE("group_fiber_has_left_before_its_joiner_runs") {
    weft::group g;
    auto f = g.spawn([] { yield(); });
    f.join();
    CHECK(g.size() == 0);
    auto linked = g.spawn([] {});
    std::size_t at_link = 99;
    linked.link([&](const weft::any_fiber&) { at_link = g.size(); });
    linked.join();
    yield();
    yield();
    CHECK(at_link == 0);
}

TEST_CASE("group_add_and_discard") {
    weft::group g;
    weft::event go;
    auto f = weft::spawn([&] { go.wait(); });
    g.add(f);
    g.add(f);
    CHECK(g.size() == 1);
    CHECK(g.contains(f));
    CHECK(g.discard(f));
    CHECK_FALSE(g.discard(f));
    CHECK(g.join());
    CHECK_FALSE(f.ready());
    go.set();
    f.join();
    g.add(f); // ended
    CHECK(g.empty());
}

TEST_CASE("group_kill") {
    weft::group g;
    int unwound = 0;
    bool late = false;
    struct count {
        int& n;
        ~count() { ++n; }
    };
    for (int i = 0; i < 3; ++i)
        g.spawn([&] {
            count c{unwound};
            try {
                sleep_for(1h);
            } catch (const weft::fiber_exit&) {
                g.spawn([&] { sleep_for(1h); late = true; }); // is killed too
                throw;
            }
        });
    g.spawn([&] { late = true; });
    auto never_run = g.spawn([&] { late = true; });
    CHECK(g.kill(5s)); // before any of them started
    CHECK(unwound == 0);
    CHECK_FALSE(late);
    for (int i = 0; i < 3; ++i)
        g.spawn([&] {
            count c{unwound};
            sleep_for(1h);
        });
    yield();
    CHECK(g.kill(5s));
    CHECK(unwound == 3);
    CHECK(g.empty());
    auto one = g.spawn([] { sleep_for(1h); });
    auto two = g.spawn([] { sleep_for(1h); });
    CHECK(g.killone(one, 5s));
    CHECK_FALSE(g.killone(one));
    CHECK(g.size() == 1);
    CHECK_FALSE(two.ready());
}

TEST_CASE("group_member_kills_its_group") {
    weft::group g;
    bool after = false;
    auto other = g.spawn([] { sleep_for(1h); });
    auto me = g.spawn([&] {
        yield();
        g.kill();
        after = true;
    });
    CHECK(g.join(5s));
    CHECK(other.ready());
    CHECK(me.ready());
    CHECK_FALSE(after);
}

TEST_CASE("group_destructor_kills_and_waits") {
    int unwound = 0;
    struct slow {
        int& n;
        ~slow() {
            yield();
            ++n;
        }
    };
    auto outer = weft::spawn([&] {
        weft::group g;
        for (int i = 0; i < 3; ++i)
            g.spawn([&] {
                slow s{unwound};
                sleep_for(1h);
            });
        yield();
        sleep_for(1h);
    });
    yield();
    yield();
    yield();
    outer.kill(); // while it unwinds, it is killed again
    CHECK(unwound == 3);
}

TEST_CASE("pool_limits_and_serves_in_order") {
    weft::pool p(3);
    CHECK(p.capacity() == 3);
    CHECK_THROWS_AS(weft::pool(0), std::invalid_argument);
    int running = 0;
    int most = 0;
    std::vector<int> started;
    for (int i = 0; i < 10; ++i) {
        p.spawn([&, i] {
            most = std::max(most, ++running);
            started.push_back(i);
            sleep_for(1ms);
            --running;
        });
        if (i == 2) {
            CHECK(p.full());
            CHECK(p.free_count() == 0);
        }
    }
    CHECK(p.join(5s));
    CHECK(most == 3);
    CHECK(started == std::vector{0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
    CHECK(p.free_count() == 3);
}

TEST_CASE("pool_spawn_is_interrupted") {
    weft::pool p(1);
    weft::event go;
    p.spawn([&] { go.wait(); });
    CHECK_FALSE(p.wait_available(5ms));
    CHECK_THROWS_AS(weft::with_timeout(5ms, [&] { p.spawn([] {}); }), weft::timeout_error);
    auto killed = weft::spawn([&] { p.spawn([] {}); });
    yield();
    killed.kill();
    CHECK(p.size() == 1);
    go.set();
    CHECK(p.wait_available(5s));
    CHECK(p.free_count() == 1);
    p.spawn([] {}).join();
}

TEST_CASE("pool_discard_frees_the_place") {
    weft::pool p(1);
    weft::event go;
    auto f = p.spawn([&] { go.wait(); });
    p.discard(f);
    CHECK(p.free_count() == 1);
    auto g = p.spawn([] { return 1; });
    CHECK(g.get(5s) == 1);
    go.set();
    f.join();
    CHECK(p.free_count() == 1);
}

TEST_CASE("pool_apply") {
    weft::pool p(1);
    CHECK(p.apply([](int a, int b) { return a + b; }, 1, 2) == 3);
    CHECK_THROWS_AS(p.apply([] { throw std::runtime_error("x"); }), std::runtime_error);
    CHECK(p.spawn([&] { return p.apply([] { return 7; }); }).get(5s) == 7); // from a member: no wait for its own place
}

TEST_CASE("pool_apply_async_does_not_wait_for_a_place") {
    weft::pool p(1);
    weft::event go;
    p.spawn([&] { go.wait(); });
    int called = 0;
    int running = 0;
    auto f = p.apply_async([&](int n) { ++running; return n + 1; }, 41, [&](int n) { called = n; });
    auto g = p.apply_async([&] { ++running; }, [&] { called += 100; });
    auto h = p.apply_async([] { return std::make_unique<int>(5); });
    yield();
    yield();
    CHECK(running == 0);
    CHECK(p.size() == 4);
    go.set();
    CHECK(f.get(5s) == 42);
    g.get(5s);
    CHECK(*std::move(h).get(5s) == 5);
    CHECK(p.join(5s));
    weft::wait(5s);
    CHECK(called == 142);
    CHECK(p.free_count() == 1);
}

TEST_CASE("group_killed_before_start_and_destroyed_with_a_pending_call") {
    weft::event go;
    {
        weft::pool p(1);
        p.spawn([&] { go.wait(); });
        (void)p.apply_async([] {});
        (void)p.map_async([](int n) { return n; }, std::vector{1, 2});
        yield();
        yield();
    }
    CHECK_FALSE(go.is_set());
}

TEST_CASE("pool_shared_by_hubs") {
    const auto seed = std::random_device()();
    INFO("seed " << seed);
    weft::pool p(5);
    std::atomic<int> running{0};
    std::atomic<int> most{0};
    std::atomic<int> total{0};
    const auto work = [&](unsigned salt) {
        std::minstd_rand random(seed + salt);
        std::vector<weft::any_fiber> mine;
        for (int i = 0; i < 200; ++i) {
            mine.push_back(p.spawn([&, pause = random() % 50] {
                const int now = ++running;
                for (int m = most; m < now && !most.compare_exchange_weak(m, now);) {}
                sleep_for(std::chrono::microseconds(pause));
                --running;
                ++total;
            }));
            if (random() % 16 == 0) p.discard(mine.back()), --total, mine.back().link([&](const weft::any_fiber&) { ++total; });
        }
        weft::joinall(mine);
        weft::wait(20s);
    };
    std::thread a(work, 1);
    std::thread b(work, 2);
    work(3);
    a.join();
    b.join();
    CHECK(total == 600);
    CHECK(p.join(5s));
    CHECK(p.free_count() == 5);
}

TEST_CASE("group_in_the_child_of_a_fork") {
    weft::pool p(1);
    p.spawn([] { sleep_for(1h); });
    yield();
    const pid_t child = fork();
    if (child == 0) {
        const bool fine = p.join(5s) && p.free_count() == 1 && p.spawn([] { return 3; }).get(5s) == 3;
        _exit(fine ? 0 : 1);
    }
    int status = -1;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(status == 0);
    CHECK(p.size() == 1);
}

TEST_CASE("pool_places_of_the_dead_are_free_after_fork") {
    weft::pool p(1);
    p.spawn([] { sleep_for(1h); });
    yield();
    const pid_t child = fork();
    if (child == 0) _exit(p.free_count() == 1 && p.size() == 0 && p.spawn([] { return 3; }).get(5s) == 3 ? 0 : 1);
    int status = -1;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(status == 0);
}
