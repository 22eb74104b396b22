// SPDX-License-Identifier: Apache-2.0
// Several kernel threads, each with its own hub or with none. Catch2's checks are for the main thread only.
#include <weft/event.hpp>
#include <weft/fiber.hpp>
#include <weft/hub.hpp>

#include "support/child_process.hpp"

#include <atomic>
#include <cstdlib>
#include <future>
#include <optional>
#include <string>
#include <thread>
#include <vector>

using namespace std::chrono_literals;

namespace {

void sleep_long() {
    weft::this_fiber::sleep_for(1h);
}

/// A kernel thread with a hub and a fiber that runs until it is killed.
struct other_thread {
    std::promise<weft::fiber<void>> made;
    weft::fiber<void> fiber;
    std::atomic<bool> cleaned{false};
    std::thread thread;

    other_thread() {
        auto handle = made.get_future();
        thread = std::thread([this] {
            auto f = weft::spawn({.name = "far"}, [this] {
                try {
                    sleep_long();
                } catch (const weft::fiber_exit&) {
                    weft::this_fiber::sleep_for(1ms);
                    cleaned = true;
                    throw;
                }
            });
            weft::this_fiber::yield();
            made.set_value(f);
            f.join();
        });
        fiber = handle.get();
    }
};

} // namespace

TEST_CASE("each_thread_has_its_own_hub") {
    std::vector<std::future<int>> threads;
    for (int t = 0; t < 8; ++t) {
        threads.push_back(std::async(std::launch::async, [] {
            int sum = 0;
            std::vector<weft::fiber<int>> fibers;
            for (int i = 0; i < 50; ++i) {
                fibers.push_back(weft::spawn([i] {
                    weft::this_fiber::sleep_for(std::chrono::microseconds(i * 10));
                    weft::this_fiber::yield();
                    return i;
                }));
            }
            for (auto& f : fibers) sum += f.get();
            return sum;
        }));
    }
    for (auto& t : threads) CHECK(t.get() == 49 * 50 / 2);
}

TEST_CASE("kill_from_another_threads_fiber") {
    other_thread other;
    CHECK(other.fiber.kill(20s));
    CHECK(other.cleaned);
    CHECK(other.fiber.dead());
    other.thread.join();
}

TEST_CASE("kill_from_a_thread_without_a_hub") {
    other_thread other;
    auto killer = std::async(std::launch::async, [&other] { return other.fiber.kill(20s); });
    CHECK(killer.get());
    CHECK(other.cleaned);
    other.thread.join();
}

TEST_CASE("kill_async_from_many_threads_at_once") {
    for (int round = 0; round < 20; ++round) {
        other_thread other;
        std::vector<std::thread> killers;
        for (int t = 0; t < 4; ++t) killers.emplace_back([&other] { other.fiber.kill_async(); });
        CHECK(other.fiber.join(20s));
        for (auto& k : killers) k.join();
        other.thread.join();
    }
}

TEST_CASE("kill_of_a_far_fiber_before_its_start") {
    std::promise<weft::any_fiber> made;
    std::atomic<bool> killed{false};
    std::atomic<bool> ran{false};
    std::thread thread([&] {
        auto f = weft::spawn([&] { ran = true; });
        auto later = weft::spawn_later(1h, [&] { ran = true; });
        made.set_value(later);
        f.kill();
        later.join();
        killed = true;
    });
    CHECK(made.get_future().get().kill(20s));
    thread.join();
    CHECK(killed);
    CHECK_FALSE(ran);
}

TEST_CASE("join_and_get_across_threads") {
    std::promise<weft::fiber<std::string>> made;
    auto handle = made.get_future();
    std::thread thread([&] {
        made.set_value(weft::spawn([] {
            weft::this_fiber::sleep_for(5ms);
            return std::string("from afar");
        }));
        weft::wait();
    });
    weft::fiber<std::string> f = handle.get();
    auto plain = std::async(std::launch::async, [f] { return f.join(20s) && f.get() == "from afar"; });
    auto here = weft::spawn([f] { return f.get(20s); });
    CHECK(here.get() == "from afar");
    CHECK(weft::wait({weft::waitable(f)}, 20s).size() == 1);
    CHECK(plain.get());
    thread.join();
    CHECK(f.get() == "from afar"); // the handle outlives its hub
    CHECK(f.name() == "fiber-" + std::to_string(f.id()));
    CHECK(f.kill());
    f.kill_async();
    f.set_name("renamed");
    CHECK(f.name() == "renamed");
}

TEST_CASE("join_past_its_deadline_without_a_hub") {
    auto f = weft::spawn(sleep_long);
    auto plain = std::async(std::launch::async, [&f] {
        bool timed_out = false;
        try {
            f.get(1ms);
        } catch (const weft::timeout_error&) {
            timed_out = true;
        }
        return timed_out && !f.join(1ms) && weft::joinall({f}, 1ms).empty();
    });
    while (plain.wait_for(0s) != std::future_status::ready) weft::this_fiber::sleep_for(1ms);
    CHECK(plain.get());
    CHECK(f.kill(20s));
}

TEST_CASE("a_thread_that_ends_kills_its_fibers_and_waits") {
    std::atomic<int> cleaned{0};
    std::atomic<int> ran_fresh{0};
    std::optional<weft::fiber<void>> kept;
    std::thread([&] {
        for (int i = 0; i < 10; ++i) {
            auto f = weft::spawn([&] {
                try {
                    sleep_long();
                } catch (const weft::fiber_exit&) {
                    weft::this_fiber::sleep_for(2ms);
                    ++cleaned;
                    throw;
                }
            });
            if (i == 0) kept = f;
        }
        weft::this_fiber::yield();
        weft::spawn([&] { ++ran_fresh; });
        weft::spawn_later(1h, [&] { ++ran_fresh; });
    }).join();
    CHECK(cleaned == 10);
    CHECK(ran_fresh == 0);
    CHECK(kept->dead());
    CHECK_THROWS_AS(kept->get(), weft::fiber_killed);
}

TEST_CASE("a_joiner_hears_of_a_fiber_killed_by_its_threads_end") {
    std::promise<weft::any_fiber> made;
    auto handle = made.get_future();
    std::promise<void> go;
    std::thread thread([&] {
        auto f = weft::spawn(sleep_long);
        weft::this_fiber::yield();
        made.set_value(f);
        go.get_future().wait();
    });
    weft::any_fiber f = handle.get();
    auto joiner = weft::spawn([f] { return f.join(20s); });
    weft::this_fiber::yield();
    go.set_value();
    CHECK(joiner.get());
    thread.join();
}

TEST_CASE("handles_to_a_threads_main_fiber_outlive_the_thread") {
    weft::any_fiber main_of_it;
    const std::string name(100, 'm');
    std::thread([&] {
        weft::spawn([] {}).join();
        main_of_it = weft::this_fiber::self();
        main_of_it.set_name(name);
    }).join();
    CHECK(main_of_it.join(20s));
    CHECK(main_of_it.dead());
    CHECK(main_of_it.name() == name);
    main_of_it.kill_async();
    CHECK(main_of_it.kill(20s));
}

TEST_CASE("a_threads_main_fiber_can_be_joined") {
    std::promise<weft::any_fiber> made;
    auto handle = made.get_future();
    std::thread thread([&] {
        weft::spawn([] {}).join();
        made.set_value(weft::this_fiber::self());
        weft::this_fiber::sleep_for(2ms);
    });
    CHECK(handle.get().join(20s));
    thread.join();
}

TEST_CASE("links_across_threads") {
    std::atomic<int> called{0};
    other_thread other;
    other.fiber.link([&called](weft::fiber<void>) { ++called; });
    other.fiber.kill(20s);
    other.fiber.link([&called](weft::any_fiber) { ++called; }); // after the end: runs here
    CHECK(weft::wait(20s));
    other.thread.join();
    CHECK(called >= 1); // the first one had its turn there, or was killed with the thread
    CHECK(called <= 2);
}

TEST_CASE("many_threads_come_and_go") {
    std::atomic<int> ended{0};
    for (int round = 0; round < 25; ++round) {
        std::vector<std::thread> threads;
        for (int t = 0; t < 4; ++t) {
            threads.emplace_back([&ended] {
                for (int i = 0; i < 5; ++i) {
                    weft::spawn([&ended] {
                        weft::this_fiber::yield();
                        ++ended;
                    });
                }
                weft::wait();
            });
        }
        for (auto& t : threads) t.join();
    }
    CHECK(ended == 500);
}

TEST_CASE("a_thread_that_waits_without_fibers_blocks_for_real") {
    auto plain = std::async(std::launch::async, [] {
        const auto begin = std::chrono::steady_clock::now();
        weft::this_fiber::sleep_for(3ms);
        weft::this_fiber::yield();
        return std::chrono::steady_clock::now() - begin >= 3ms;
    });
    CHECK(plain.get());
}

TEST_CASE("a_thread_may_end_while_its_waker_is_still_at_it") {
    // The woken thread runs to its end, and takes its hub and its stack with it, while the other side has yet to leave the wake.
    constexpr int rounds = 300;
    for (int i = 0; i < rounds; ++i) {
        weft::event go;
        std::atomic<bool> waits{false};
        std::thread other([&, with_hub = i % 2 == 0] {
            if (with_hub) weft::spawn([] {}).join();
            waits = true;
            go.wait();
        });
        while (!waits) std::this_thread::yield();
        go.set();
        other.join();
    }
    SUCCEED();
}

TEST_CASE("exit_in_a_fiber_of_another_thread_ends_the_process") {
    const auto r = test_support::run_in_child([] {
        std::thread([] { weft::spawn([] { std::exit(3); }).join(); }).join();
    });
    INFO(r.err);
    CHECK(r.exit_code() == 3);
}

TEST_CASE("a_fiber_spawned_while_its_thread_ends_goes_too") {
    std::thread([] {
        weft::spawn([] {
            try {
                weft::this_fiber::sleep_for(1h);
            } catch (...) {
                weft::spawn([] { weft::this_fiber::sleep_for(1h); });
                throw;
            }
        });
        weft::this_fiber::yield();
    }).join();
    SUCCEED();
}
