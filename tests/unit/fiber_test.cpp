// SPDX-License-Identifier: Apache-2.0
// What a handle gives: values, exceptions, names; and how the function is kept.
#include <weft/fiber.hpp>
#include <weft/timeout.hpp>
#include <weft/hub.hpp>

#include <array>
#include <atomic>
#include <cerrno>
#include <concepts>
#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>

using namespace std::chrono_literals;

TEST_CASE("fiber_get_returns_a_reference_to_the_value") {
    auto f = weft::spawn([](int a, std::string b) { return b + std::to_string(a); }, 2, "x");
    STATIC_REQUIRE(std::same_as<decltype(f), weft::fiber<std::string>>);
    STATIC_REQUIRE(std::same_as<decltype(f.get()), std::string&>);
    CHECK(f.get() == "x2");
    f.get() += "!";
    CHECK(f.get() == "x2!");
}

TEST_CASE("fiber_get_from_a_temporary_moves_out") {
    STATIC_REQUIRE(std::same_as<decltype(weft::spawn([] { return 1; }).get()), int>);
    std::unique_ptr<int> p = weft::spawn([] { return std::make_unique<int>(7); }).get();
    CHECK(*p == 7);
    auto f = weft::spawn([] { return std::make_unique<int>(8); });
    std::unique_ptr<int> q = std::move(f).get();
    CHECK(*q == 8);
}

TEST_CASE("fiber_get_of_void_and_references") {
    int n = 0;
    auto f = weft::spawn([&n] { n = 5; });
    STATIC_REQUIRE(std::same_as<decltype(f.get()), void>);
    f.get();
    CHECK(n == 5);
    auto g = weft::spawn([&n]() -> int& { return n; });
    STATIC_REQUIRE(std::same_as<decltype(g.get()), int&>);
    CHECK(&g.get() == &n);
    CHECK(&weft::spawn([&n]() -> const int& { return n; }).get() == &n);
    CHECK(*weft::spawn([&n]() -> int* { return &n; }).get() == 5);
}

TEST_CASE("fiber_get_rethrows_every_time") {
    auto f = weft::spawn([]() -> int { throw std::runtime_error("boom"); });
    CHECK_THROWS_WITH(f.get(), "boom");
    CHECK_THROWS_AS(f.get(), std::runtime_error);
    CHECK(f.ready());
    CHECK(f.dead());
    CHECK_FALSE(f.successful());
    CHECK_THROWS_WITH(std::rethrow_exception(f.exception()), "boom");
    auto g = weft::spawn([] { throw 42; }); // need not be a std::exception
    CHECK_THROWS_AS(g.get(), int);
}

TEST_CASE("fiber_get_past_the_deadline") {
    bool go = false;
    auto f = weft::spawn([&go] {
        while (!go) weft::this_fiber::yield();
        return 3;
    });
    CHECK_THROWS_AS(f.get(1ms), weft::timeout_error);
    CHECK_FALSE(f.join(0s));
    CHECK_FALSE(f.ready());
    CHECK_FALSE(f.successful());
    CHECK(f.started());
    CHECK(f.exception() == nullptr);
    go = true;
    CHECK(f.join(20s));
    CHECK(f.get(0s) == 3); // a deadline in the past polls
}

TEST_CASE("fiber_starts_at_the_next_turn") {
    int n = 0;
    auto f = weft::spawn([&n] { n = 1; });
    CHECK(n == 0);
    CHECK_FALSE(f.started());
    weft::this_fiber::yield();
    CHECK(n == 1);
    CHECK(f.started());
}

TEST_CASE("fibers_start_in_the_order_spawned") {
    std::string order;
    for (char c : {'a', 'b', 'c', 'd'}) weft::spawn([&order, c] { order += c; });
    weft::wait();
    CHECK(order == "abcd");
}

TEST_CASE("fiber_names_and_ids") {
    auto f = weft::spawn(
        {.name = "crawl"}, [] { return weft::this_fiber::name() + std::to_string(weft::this_fiber::id()); });
    CHECK(f.name() == "crawl");
    CHECK(f.get() == "crawl" + std::to_string(f.id()));
    auto g = weft::spawn([] {
        weft::this_fiber::self().set_name("renamed");
        return weft::this_fiber::self();
    });
    CHECK(g.name() == "fiber-" + std::to_string(g.id()));
    CHECK(g.get() == g);
    CHECK(g.name() == "renamed");
    CHECK_FALSE(g == f);
    CHECK(weft::this_fiber::name() == "main");
    CHECK(weft::this_fiber::self().started());
    std::set<std::uint64_t> ids{f.id(), g.id(), weft::this_fiber::id()};
    for (int i = 0; i < 100; ++i) ids.insert(weft::spawn([] {}).id());
    CHECK(ids.size() == 103);
    const std::string long_name(1000, 'n');
    CHECK(weft::spawn({.name = long_name}, [] {}).name() == long_name);
}

TEST_CASE("fiber_handles_are_copies_of_one") {
    weft::any_fiber none;
    CHECK_FALSE(none);
    auto f = weft::spawn([] { return 1; });
    weft::fiber<int> copy = f;
    weft::any_fiber any = f;
    CHECK((copy == f && any == f && any));
    CHECK(copy.get() == 1);
    CHECK(any.successful());
    weft::fiber<int> moved = std::move(f);
    CHECK(moved.get() == 1);
    copy = moved;
    CHECK(copy.get() == 1);
}

TEST_CASE("dropping_the_last_handle_does_not_end_the_fiber") {
    bool ended = false;
    weft::spawn([&ended] {
        weft::this_fiber::sleep_for(2ms);
        ended = true;
    });
    CHECK(weft::wait(20s));
    CHECK(ended);
}

TEST_CASE("a_fiber_cannot_join_itself") {
    auto f = weft::spawn([] { weft::this_fiber::self().join(); });
    CHECK_THROWS_AS(f.get(), std::logic_error);
    CHECK_THROWS_AS(weft::this_fiber::self().join(), std::logic_error);
}

TEST_CASE("self_without_a_hub_is_an_error") {
    std::atomic<bool> thrown{false};
    std::thread([&thrown] {
        try {
            weft::this_fiber::self();
        } catch (const std::logic_error&) {
            thrown = true;
        }
    }).join();
    CHECK(thrown);
}

TEST_CASE("a_stack_that_cannot_be_had_is_an_error") {
    CHECK_THROWS_AS(weft::spawn({.stack_size = std::size_t{1} << 50}, [] {}), std::system_error);
}

// --- The function and its arguments ---

namespace {

/// Counts itself, and can be told at which copy or move to throw.
struct counted {
    static inline int alive = 0;
    static inline int until_throw = -1;
    counted() { ++alive; }
    counted(const counted&) { made(); }
    counted(counted&&) { made(); }
    ~counted() { --alive; }
    static void made() {
        if (until_throw >= 0 && until_throw-- == 0) throw std::runtime_error("no copy");
        ++alive;
    }
};

} // namespace

TEST_CASE("function_goes_when_the_fiber_ends_not_with_the_handle") {
    counted::alive = 0;
    auto f = weft::spawn([c = counted(), x = 5](const counted&) { return x; }, counted());
    CHECK(counted::alive == 2);
    CHECK(f.get() == 5);
    CHECK(counted::alive == 0);
    CHECK(f.get() == 5);

    auto g = weft::spawn([c = counted()]() -> int { throw std::runtime_error("x"); });
    CHECK_THROWS(g.get());
    CHECK(counted::alive == 0);

    auto h = weft::spawn([c = counted()] { weft::this_fiber::sleep_for(1h); });
    weft::this_fiber::yield();
    h.kill();
    CHECK(counted::alive == 0);
}

TEST_CASE("function_of_a_fiber_killed_before_its_start_goes_at_its_end") {
    counted::alive = 0;
    auto f = weft::spawn([c = counted()] {});
    CHECK(f.kill());
    CHECK_FALSE(f.started());
    CHECK(counted::alive == 0);
    auto g = weft::spawn_later(1h, [c = counted()] {});
    CHECK(g.kill());
    CHECK(counted::alive == 0);
}

TEST_CASE("result_goes_with_the_last_handle") {
    counted::alive = 0;
    {
        auto f = weft::spawn([] { return counted(); });
        f.get();
        CHECK(counted::alive == 1);
    }
    CHECK(counted::alive == 0);
    weft::spawn([] { return counted(); });
    weft::wait();
    CHECK(counted::alive == 0);
}

TEST_CASE("spawn_passes_on_what_a_copy_throws") {
    counted::alive = 0;
    {
        const counted original;
        for (int n = 0; n < 3; ++n) {
            auto fn = [](const counted&, const counted&) {};
            counted::until_throw = n;
            try {
                weft::spawn(fn, original, original).join();
                CHECK(n == 2); // two copies are made
            } catch (const std::runtime_error&) {
                CHECK(n < 2);
            }
            counted::until_throw = -1;
            CHECK(counted::alive == 1);
        }
    }
    CHECK(counted::alive == 0);
    CHECK(weft::hub::current().fibers().size() == 1);
}

TEST_CASE("closures_may_be_large_and_over_aligned") {
    std::array<char, 600'000> big{};
    big.fill('z');
    CHECK(weft::spawn({.stack_size = 16 * 1024}, [big] { return big[599'999]; }).get() == 'z');
    struct alignas(4096) page {
        char c = 'p';
    };
    auto where =
        weft::spawn([p = page()] { return reinterpret_cast<std::uintptr_t>(&p) % 4096 + (p.c == 'p' ? 0U : 1U); });
    CHECK(where.get() == 0);
    auto result = weft::spawn([] { return page(); });
    CHECK(reinterpret_cast<std::uintptr_t>(&result.get()) % 4096 == 0);
}

TEST_CASE("spawn_takes_what_std_invoke_takes") {
    struct thing {
        int n = 4;
        int add(int k) const { return n + k; }
    } const t;
    CHECK(weft::spawn(&thing::add, t, 3).get() == 7);
    CHECK(weft::spawn(&thing::add, &t, 1).get() == 5);
    CHECK(weft::spawn(&thing::n, &t).get() == 4);
    CHECK(weft::spawn([](std::unique_ptr<int> p) { return *p; }, std::make_unique<int>(9)).get() == 9);
    int n = 1;
    weft::spawn([](int& r) { r = 2; }, std::ref(n)).join();
    CHECK(n == 2);
    CHECK(weft::spawn([i = 0]() mutable { return ++i; }).get() == 1);
}

TEST_CASE("what_is_spawned_may_be_a_member") {
    struct counter {
        int n = 3;
        int get() const { return n; }
        int& get_reference() { return n; }
        std::unique_ptr<int> owned = std::make_unique<int>(7);
    };
    counter c;
    CHECK(weft::spawn(&counter::get, &c).get() == 3);
    weft::spawn(&counter::get_reference, std::ref(c)).get() = 5;
    CHECK(c.n == 5);
    weft::spawn(&counter::n, &c).get() = 6;
    CHECK(weft::spawn(&counter::n, std::ref(c)).get() == 6);
    CHECK(*weft::spawn(&counter::owned, counter()).get() == 7); // out of an argument that goes with the fiber
    CHECK(weft::with_timeout(std::chrono::seconds(10), &counter::get, c) == 6);
}
