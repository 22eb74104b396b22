// SPDX-License-Identifier: Apache-2.0
#include <weft/fiber.hpp>

#include <stdexcept>
#include <string>
#include <vector>

using namespace std::chrono_literals;

namespace {

void sleep_long() {
    weft::this_fiber::sleep_for(1h);
}

} // namespace

TEST_CASE("kill_throws_fiber_exit_and_waits") {
    std::string seen;
    auto f = weft::spawn([&seen] {
        try {
            sleep_long();
        } catch (const weft::fiber_exit&) {
            weft::this_fiber::sleep_for(1ms); // clean-up may wait
            seen += "cleaned";
            throw;
        }
    });
    weft::this_fiber::yield();
    CHECK(f.kill(20s));
    CHECK(seen == "cleaned");
    CHECK(f.ready());
    CHECK_FALSE(f.successful());
    CHECK(f.exception() == nullptr);
    CHECK_THROWS_AS(f.get(), weft::fiber_killed);
}

TEST_CASE("fiber_exit_is_no_std_exception") {
    STATIC_REQUIRE_FALSE(std::is_base_of_v<std::exception, weft::fiber_exit>);
    auto f = weft::spawn([] {
        try {
            sleep_long();
        } catch (const std::exception&) {
        }
        return 1;
    });
    weft::this_fiber::yield();
    f.kill();
    CHECK_FALSE(f.successful());
}

TEST_CASE("kill_before_the_start_never_runs_it") {
    bool ran = false;
    auto f = weft::spawn([&ran] { ran = true; });
    CHECK(f.kill());
    CHECK_FALSE(f.started());
    CHECK(f.dead());
    auto g = weft::spawn([&ran] { ran = true; });
    g.kill_async();
    weft::wait();
    CHECK(g.dead());
    CHECK_FALSE(ran);
    CHECK_THROWS_AS(g.get(), weft::fiber_killed);
}

TEST_CASE("kill_of_a_dead_fiber_does_nothing") {
    auto f = weft::spawn([] { return 5; });
    f.join();
    CHECK(f.kill());
    f.kill_async();
    CHECK(f.successful());
    CHECK(f.get() == 5);
}

TEST_CASE("kill_with_throws_that_inside") {
    std::string seen;
    auto f = weft::spawn([&seen] {
        try {
            sleep_long();
        } catch (const std::runtime_error& e) {
            seen = e.what();
        }
        return 2;
    });
    weft::this_fiber::yield();
    CHECK(f.kill_with(std::make_exception_ptr(std::runtime_error("stop"))));
    CHECK(seen == "stop");
    CHECK(f.get() == 2); // it handled it

    auto g = weft::spawn(sleep_long);
    weft::this_fiber::yield();
    g.kill_with(std::make_exception_ptr(std::runtime_error("out")));
    CHECK_THROWS_WITH(g.get(), "out");

    auto h = weft::spawn(sleep_long);
    h.kill_with(std::make_exception_ptr(std::runtime_error("early")));
    CHECK_FALSE(h.started());
    CHECK_THROWS_WITH(h.get(), "early");
}

TEST_CASE("kill_async_does_not_wait") {
    auto f = weft::spawn(sleep_long);
    weft::this_fiber::yield();
    f.kill_async();
    CHECK_FALSE(f.ready());
    CHECK(f.join(20s));
    CHECK_THROWS_AS(f.get(), weft::fiber_killed);
}

TEST_CASE("kill_gives_up_at_its_deadline") {
    bool go = false;
    auto f = weft::spawn([&go] {
        try {
            sleep_long();
        } catch (const weft::fiber_exit&) {
            while (!go) weft::this_fiber::sleep_for(100us);
        }
    });
    weft::this_fiber::yield();
    CHECK_FALSE(f.kill(2ms));
    go = true;
    CHECK(f.join(20s));
}

TEST_CASE("a_swallowed_kill_is_delivered_once") {
    auto f = weft::spawn([] {
        int kills = 0;
        for (int i = 0; i < 5; ++i) {
            try {
                weft::this_fiber::sleep_for(1ms);
            } catch (const weft::fiber_exit&) {
                ++kills;
            }
        }
        return kills;
    });
    weft::this_fiber::yield();
    f.kill();
    CHECK(f.get() == 1);
}

TEST_CASE("kill_reaches_every_kind_of_wait") {
    const auto dies = [](auto wait) {
        auto f = weft::spawn(wait);
        weft::this_fiber::yield();
        weft::this_fiber::yield();
        const bool killed = f.kill(20s) && !f.successful();
        return killed && f.exception() == nullptr;
    };
    auto sleeper = weft::spawn(sleep_long);
    CHECK(dies([] { sleep_long(); }));
    CHECK(dies([] {
        for (;;) weft::this_fiber::yield();
    }));
    CHECK(dies([&] { sleeper.join(); }));
    CHECK(dies([&] { sleeper.join(1h); }));
    CHECK(dies([&] { sleeper.get(); }));
    CHECK(dies([&] { weft::joinall({sleeper}); }));
    CHECK(dies([&] { weft::wait({weft::waitable(sleeper)}); }));
    CHECK(dies([] { weft::wait(); }));
    CHECK(dies([&] {
        sleeper.kill(0s), weft::spawn([] {
                              for (;;) weft::this_fiber::yield();
                          }).join();
    }));
    CHECK(sleeper.dead());
    weft::killall(std::vector<weft::any_fiber>{});
}

TEST_CASE("a_fiber_that_kills_itself_gets_fiber_exit") {
    auto f = weft::spawn([]() -> int {
        weft::this_fiber::self().kill();
        return 1;
    });
    CHECK_THROWS_AS(f.get(), weft::fiber_killed);
    auto g = weft::spawn([]() -> int {
        weft::this_fiber::self().kill_async();
        weft::this_fiber::yield();
        return 1;
    });
    CHECK_THROWS_AS(g.get(), weft::fiber_killed);
}

TEST_CASE("fibers_may_kill_each_other") {
    weft::any_fiber a;
    weft::any_fiber b;
    a = weft::spawn([&b] {
        weft::this_fiber::yield();
        b.kill();
    });
    b = weft::spawn([&a] {
        weft::this_fiber::yield();
        a.kill();
    });
    CHECK(weft::joinall({a, b}, 20s).size() == 2);
}

TEST_CASE("joiners_of_a_killed_fiber_go_on") {
    auto f = weft::spawn(sleep_long);
    std::vector<weft::fiber<bool>> joiners;
    for (int i = 0; i < 10; ++i) joiners.push_back(weft::spawn([&f] { return f.join(); }));
    weft::this_fiber::yield();
    joiners[4].kill();
    f.kill();
    int joined = 0;
    for (auto& j : joiners) joined += j.join(20s) && j.successful() && j.get();
    CHECK(joined == 9);
}
