// SPDX-License-Identifier: Apache-2.0
#include <weft/fiber.hpp>
#include <weft/hub.hpp>
#include <weft/timeout.hpp>

#include "support/pace.hpp"

#include <chrono>
#include <concepts>
#include <future>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>

using namespace std::chrono_literals;
using steady = std::chrono::steady_clock;
using test_support::pace;
using test_support::wrong_at_any_pace;

namespace {

void compute(std::chrono::milliseconds d) {
    for (const auto until = steady::now() + d; steady::now() < until;) {
    }
}

void sleep_long() {
    weft::this_fiber::sleep_for(1h);
}

/// Which of the scopes the function's timeout_error is of: its index, or -1 for none.
template <class F, class... Scopes>
int thrown_by(F fn, const Scopes&... scopes) {
    try {
        fn();
    } catch (const weft::timeout_error& e) {
        int at = 0;
        for (const bool is : {e.is(scopes)...}) {
            if (is) return at;
            ++at;
        }
        return 99;
    }
    return -1;
}

} // namespace

TEST_CASE("timeout_interrupts_the_wait") {
    CHECK(wrong_at_any_pace([](pace& p) {
        const auto begin = steady::now();
        weft::timeout t(p.ms(50));
        p.check(t.pending());
        p.check(!t.expired());
        CHECK(thrown_by(sleep_long, t) == 0);
        CHECK(steady::now() - begin >= p.ms(50));
        CHECK(t.expired());
        CHECK_FALSE(t.pending());
        weft::this_fiber::sleep_for(1ms); // it is thrown once
    }) == 0);
}

TEST_CASE("timeout_throws_at_the_next_call_that_may_wait") {
    weft::timeout t(1ms);
    compute(3ms);
    CHECK(t.expired());
    CHECK(thrown_by([] { weft::this_fiber::yield(); }, t) == 0);
    auto done = weft::spawn([] {});
    done.join();
    weft::timeout u(1ms);
    compute(3ms);
    CHECK(thrown_by([&] { done.join(); }, t, u) == 1); // also where it need not wait
}

TEST_CASE("timeout_without_another_call_throws_nothing") {
    weft::timeout t(1ms);
    compute(3ms);
    CHECK(t.expired());
}

TEST_CASE("timeout_ends_with_its_scope") {
    { const weft::timeout t(2ms); }
    weft::this_fiber::sleep_for(5ms);
    CHECK(weft::hub::current().stats().timers == 0);
}

TEST_CASE("timeout_cancelled") {
    CHECK(wrong_at_any_pace([](pace& p) {
        weft::timeout t(p.ms(50));
        t.cancel();
        CHECK_FALSE(t.pending());
        weft::this_fiber::sleep_for(p.ms(60));
        p.check(!t.expired());
        t.cancel();
    }) == 0);
    weft::timeout never{weft::deadline()};
    CHECK(never.pending());
    CHECK_FALSE(never.expired());
}

TEST_CASE("timeout_in_the_past_throws_at_once") {
    weft::timeout t(-1s);
    CHECK(t.expired());
    CHECK(thrown_by([] { weft::this_fiber::yield(); }, t) == 0);
}

TEST_CASE("nested_timeouts_inner_first") {
    CHECK(wrong_at_any_pace([](pace& p) {
        weft::timeout outer(p.ms(40));
        {
            weft::timeout inner(p.ms(2));
            if (!p.check(thrown_by(sleep_long, outer, inner) == 1) || !p.check(outer.pending())) return; // else it would sleep long
        }
        CHECK(thrown_by(sleep_long, outer) == 0);
    }) == 0);
}

TEST_CASE("nested_timeouts_outer_first") {
    CHECK(wrong_at_any_pace([](pace& p) {
        weft::timeout outer(p.ms(2));
        weft::timeout inner(p.ms(40));
        CHECK(thrown_by(sleep_long, outer, inner) == 0);
        p.check(!inner.expired());
        CHECK(thrown_by(sleep_long, outer, inner) == 1);
    }) == 0);
}

TEST_CASE("nested_timeouts_that_expired_together_are_thrown_by_time") {
    CHECK(wrong_at_any_pace([](pace& p) {
        weft::timeout outer(p.ms(1));
        weft::timeout middle(p.ms(3));
        weft::timeout inner(p.ms(2));
        compute(p.ms(6));
        const auto wait = [] { weft::this_fiber::yield(); };
        p.check(thrown_by(wait, outer, middle, inner) == 0);
        p.check(thrown_by(wait, outer, middle, inner) == 2);
        p.check(thrown_by(wait, outer, middle, inner) == 1);
        CHECK(thrown_by(wait, outer, middle, inner) == -1);
    }) == 0);
}

TEST_CASE("timeout_belongs_to_its_fiber") {
    weft::timeout t(2ms);
    auto other = weft::spawn([] {
        weft::this_fiber::sleep_for(10ms);
        return 1;
    });
    CHECK(thrown_by([&] { other.join(); }, t) == 0);
    CHECK(other.get() == 1);
}

TEST_CASE("timeout_error_of_a_call_is_of_no_scope") {
    weft::timeout t(1h);
    auto f = weft::spawn(sleep_long);
    CHECK(thrown_by([&] { f.get(1ms); }, t) == 99);
    CHECK_FALSE(weft::timeout_error().is(t));
}

TEST_CASE("kill_comes_before_an_expired_timeout") {
    auto f = weft::spawn([] {
        weft::timeout t(1ms);
        try {
            sleep_long();
        } catch (const weft::timeout_error&) {
            sleep_long();
        }
    });
    weft::this_fiber::sleep_for(5ms);
    CHECK(f.kill(20s));
    CHECK_THROWS_AS(f.get(), weft::fiber_killed);
}

TEST_CASE("uncaught_timeout_ends_the_fiber_with_it") {
    auto f = weft::spawn([] {
        const weft::timeout t(1ms);
        sleep_long();
    });
    CHECK_THROWS_AS(f.get(), weft::timeout_error);
}

TEST_CASE("with_timeout_returns_or_throws") {
    CHECK(
        weft::with_timeout(
            1h, [](int n) { return n + 1; }, 4) == 5);
    CHECK_THROWS_AS(weft::with_timeout(1ms, sleep_long), weft::timeout_error);
    CHECK_THROWS_AS(weft::with_timeout(1h, [] { throw std::out_of_range("x"); }), std::out_of_range);
    int n = 3;
    STATIC_REQUIRE(std::same_as<decltype(weft::with_timeout(1h, [&n]() -> int& { return n; })), int&>);
    CHECK(&weft::with_timeout(1h, [&n]() -> int& { return n; }) == &n);
    CHECK(*weft::with_timeout(1h, [] { return std::make_unique<int>(6); }) == 6);
    weft::with_timeout(1ms, [] { compute(3ms); }); // nothing waited
}

TEST_CASE("with_timeout_gives_a_value_instead") {
    const auto slow = [] {
        sleep_long();
        return std::string("yes");
    };
    CHECK(weft::with_timeout(1ms, weft::value_on_timeout{std::string("none")}, slow) == "none");
    CHECK(weft::with_timeout(1h, weft::value_on_timeout{std::string("none")}, [] {
              return std::string("yes");
          }) == "yes");
    // An outer scope's expiry is not this call's.
    weft::timeout outer(1ms);
    CHECK(thrown_by([&] { weft::with_timeout(1h, weft::value_on_timeout{std::string()}, slow); }, outer) == 0);
}

TEST_CASE("timeout_on_a_thread_without_a_hub") {
    const auto on_a_thread = [](std::chrono::milliseconds later) {
        std::string seen;
        weft::timeout outer(later); // not before the sleep below
        try {
            weft::timeout inner(1ms);
            const int first = thrown_by(sleep_long, outer, inner);
            if (first == 0) return std::string("late");
            seen += std::to_string(first);
            weft::this_fiber::sleep_for(1ms);
        } catch (const weft::timeout_error&) {
            return std::string("late");
        }
        weft::timeout cancelled(1ms);
        cancelled.cancel();
        seen += std::to_string(thrown_by(sleep_long, outer, cancelled));
        weft::this_fiber::yield();
        seen += std::to_string(weft::with_timeout(1ms, weft::value_on_timeout{7}, [] { return sleep_long(), 8; }));
        return seen;
    };
    CHECK(wrong_at_any_pace([&](pace& p) { p.check(std::async(std::launch::async, on_a_thread, p.ms(300)).get() == "107"); }) == 0);
}

TEST_CASE("timeout_made_before_a_threads_first_spawn_stays_in_force") {
    auto thread = std::async(std::launch::async, [] {
        weft::timeout t(10ms);
        auto f = weft::spawn(sleep_long); // the thread gets its hub
        const int by = thrown_by([&] { f.join(5s); }, t);
        f.kill();
        return by;
    });
    CHECK(thread.get() == 0);
}

TEST_CASE("with_timeout_value_for_a_function_of_nothing") {
    const auto late = weft::with_timeout(2ms, weft::value_on_timeout{7}, [] { weft::this_fiber::sleep_for(10s); });
    REQUIRE(late.has_value());
    CHECK(late == 7);
    bool ran = false;
    CHECK_FALSE(weft::with_timeout(10s, weft::value_on_timeout{std::string("late")}, [&](bool to) { ran = to; }, true).has_value());
    CHECK(ran);
    weft::timeout outer(2ms);
    CHECK_THROWS_AS(weft::with_timeout(10s, weft::value_on_timeout{1}, [] { weft::this_fiber::sleep_for(10s); }), weft::timeout_error);
}
