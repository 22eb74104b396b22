// SPDX-License-Identifier: Apache-2.0
#include <weft/errors.hpp>
#include <weft/event.hpp>
#include <weft/fiber.hpp>
#include <weft/hub.hpp>
#include <weft/signal.hpp>
#include <weft/timeout.hpp>

#include <catch2/catch.hpp>

#include <atomic>
#include <csignal>
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

TEST_CASE("coroutine_passes_values_both_ways") {
    weft::coroutine<int, std::string> co([](auto& give, int n) {
        for (int i = 0; i < 3; ++i) n = give(std::to_string(n));
        return "last " + std::to_string(n);
    });
    CHECK_FALSE(co.done());
    CHECK(co.resume(1) == "1");
    CHECK(co.resume(2) == "2");
    CHECK(co.resume(3) == "3");
    CHECK_FALSE(co.done());
    CHECK(co.resume(4) == "last 4");
    CHECK(co.done());
    CHECK_THROWS_AS(co.resume(5), weft::coroutine_ended);
}

namespace {
int depth_first(const std::function<int(int)>& give, int n) {
    if (n == 0) return 0;
    const int got = give(n); // deep within calls
    return got + depth_first(give, n - 1);
}
} // namespace

TEST_CASE("coroutine_bodies_of_every_form") {
    weft::coroutine<int, int> by_value([](auto give, int n) {
        for (;;) n = give(n + 1);
    });
    CHECK(by_value.resume(1) == 2);
    CHECK(by_value.resume(5) == 6);
    weft::coroutine<int, int> itself([](weft::coroutine<int, int>& self, int n) {
        for (;;) n = self.yield(n * 2);
    });
    CHECK(itself.resume(4) == 8);
    CHECK(itself.resume(5) == 10);
    weft::coroutine<int, int> first_left_out([](auto& give) {
        int sum = give.received();
        for (;;) sum += give.yield(sum);
    });
    CHECK(first_left_out.resume(1) == 1);
    CHECK(first_left_out.resume(2) == 3);
    weft::coroutine<int, int> deep([](std::function<int(int)> give, int) { return depth_first(give, 3); });
    CHECK(deep.resume(0) == 3);
    CHECK(deep.resume(10) == 2);
    CHECK(deep.resume(10) == 1);
    CHECK(deep.resume(10) == 30);
    weft::coroutine<void, int> counts([](auto& give) {
        for (int i = 0;; ++i) give(i);
    });
    CHECK(counts.resume() == 0);
    CHECK(counts.resume() == 1);
    std::vector<int> seen;
    weft::coroutine<int, void> sink([&](auto& next, int v) {
        for (; v >= 0; v = next()) seen.push_back(v);
    });
    sink.resume(1);
    sink.resume(2);
    sink.resume(-1);
    CHECK(sink.done());
    CHECK(seen == std::vector{1, 2});
    CHECK_NOTHROW(sink.resume(1));
    weft::coroutine<std::unique_ptr<int>, std::unique_ptr<int>> moves([](auto& give, std::unique_ptr<int> p) {
        for (;;) {
            ++*p;
            p = give(std::move(p));
        }
    });
    CHECK(*moves.resume(std::make_unique<int>(1)) == 2);
    int target = 1;
    weft::coroutine<int&, int&> references([](auto& give, int& n) -> int& {
        ++n;
        return give(n) += 10;
    });
    CHECK(&references.resume(target) == &target);
    CHECK(&references.resume(target) == &target);
    CHECK(target == 12);
}

TEST_CASE("coroutine_exceptions_and_ends") {
    weft::coroutine<int, int> throws([](auto& give, int n) {
        give(n);
        throw std::runtime_error("body");
    });
    CHECK(throws.resume(1) == 1);
    CHECK_THROWS_AS(throws.resume(2), std::runtime_error);
    CHECK(throws.done());
    CHECK_THROWS_AS(throws.resume(3), weft::coroutine_ended);
    weft::coroutine<int, int> without_value([](auto& give, int n) { give(n); });
    CHECK(without_value.resume(1) == 1);
    CHECK_THROWS_AS(without_value.resume(2), weft::coroutine_ended);
    std::unique_ptr<weft::coroutine<void, int>> self;
    self = std::make_unique<weft::coroutine<void, int>>([&](auto&) { return self->resume(); });
    CHECK_THROWS_AS(self->resume(), std::logic_error);
}

TEST_CASE("coroutine_destroyed_before_its_end") {
    struct noted {
        bool& flag;
        ~noted() { flag = true; }
    };
    bool unwound = false;
    bool captured_gone = false;
    const auto captured = std::shared_ptr<int>(new int(1), [&](int* p) { captured_gone = true; delete p; });
    {
        weft::coroutine<int, int> co([&, captured](auto& give, int n) {
            const noted at_end{unwound};
            try {
                give(n);
            } catch (const weft::fiber_exit&) {
                give(n); // nobody listens: it throws again
            }
        });
        CHECK(co.resume(1) == 1);
        CHECK_FALSE(unwound);
    }
    CHECK(unwound);
    CHECK(captured.use_count() == 1);
    { weft::coroutine<int, int> never([&](auto&, int) { unwound = false; }); }
    CHECK(unwound);
    CHECK_FALSE(captured_gone);
}

TEST_CASE("coroutine_whose_resume_is_interrupted") {
    weft::event go_on;
    weft::coroutine<int, int> co([&](auto& give, int n) {
        go_on.wait();
        n = give(n);
        return n;
    });
    CHECK_THROWS_AS(co.resume(1, 2ms), weft::timeout_error);
    CHECK_THROWS_AS(co.resume(1), std::logic_error); // it is running
    auto killed = weft::spawn([&] { CHECK_THROWS_AS(co.resume(1), std::logic_error); });
    killed.join();
    go_on.set();
    yield();
    CHECK(co.resume(7) == 7); // what it yielded meanwhile is lost
    weft::event never;
    weft::coroutine<void, int> waits([&](auto&) { never.wait(); });
    auto resumer = weft::spawn([&] { waits.resume(); });
    yield();
    resumer.kill();
    CHECK_THROWS_AS(weft::with_timeout(2ms, [&] { return weft::coroutine<void, int>([&](auto&) { never.wait(); }).resume(); }),
                    weft::timeout_error);
}

TEST_CASE("coroutine_resumed_by_several_threads") {
    weft::coroutine<int, int> co([](auto& give, int n) {
        for (;;) n = give(n * n);
    });
    CHECK(co.resume(2) == 4);
    for (int i = 0; i < 50; ++i) {
        weft::async_result<int> answer; // waited for in a fiber, so that this thread can run the body
        std::thread t([&, i] {
            if (i % 2 == 0) answer.set(co.resume(i));
            else weft::spawn([&] { answer.set(co.resume(i)); }).join();
        });
        CHECK(answer.get(10s) == i * i);
        t.join();
    }
}

TEST_CASE("coroutine_that_has_yielded_keeps_no_join_waiting") {
    const weft::signal_handler handler(SIGUSR2, [] {}); // it might wake anyone, so nothing else ends that join
    int turns = 0;
    weft::coroutine<int, int> co([&](auto& give, int n) {
        for (;;) {
            weft::this_fiber::sleep_for(1ms);
            ++turns;
            n = give(n);
        }
    });
    weft::generator<int> numbers([](auto& give) {
        for (int i = 0;; ++i) give(i);
    });
    CHECK(co.resume(1) == 1);
    CHECK(numbers.next() == 0);
    CHECK(weft::hub::join(20s));
    CHECK(weft::wait(20s));
    CHECK(weft::hub::join(0s));
    // While it runs it does, though who resumed it has gone.
    CHECK_THROWS_AS(co.resume(2, 0s), weft::timeout_error);
    CHECK_FALSE(weft::hub::join(0s));
    CHECK(weft::hub::join(20s));
    CHECK(turns == 2);
    // And so does a fiber that is going to go on with it.
    weft::spawn([&] {
        weft::this_fiber::sleep_for(2ms);
        CHECK(co.resume(3) == 3);
    });
    CHECK(weft::hub::join(20s));
    CHECK(turns == 3);
    // From another kernel thread.
    std::atomic<int> got{0};
    std::thread far([&] { got = co.resume(4); });
    bool joined = true;
    while (got == 0) joined = weft::hub::join(20s) && joined;
    far.join();
    CHECK((joined && got == 4));
    CHECK(weft::hub::join(20s));
}

TEST_CASE("generator_is_a_range") {
    static_assert(std::ranges::input_range<weft::generator<int>>);
    static_assert(std::input_iterator<weft::generator<std::string>::iterator>);
    weft::generator<int> squares([](auto& give) {
        for (int i = 1; i <= 5; ++i) give(i * i);
    });
    std::vector<int> got;
    for (const int v : squares) got.push_back(v);
    CHECK(got == std::vector{1, 4, 9, 16, 25});
    CHECK(squares.done());
    CHECK(squares.begin() == squares.end());

    weft::generator<int> naturals([](auto give) {
        for (int i = 0;; ++i) give(i);
    });
    got.clear();
    for (const int v : naturals | std::views::filter([](int n) { return n % 2 == 1; }) | std::views::take(3)) got.push_back(v);
    CHECK(got == std::vector{1, 3, 5});
    CHECK(naturals.next() == 8); // it goes on; the loop had advanced once more, to 7
    for (const int v : naturals) {
        CHECK(v == 9);
        break;
    }
    CHECK(naturals.next(5s) == 10);
}

namespace {
struct node {
    int value;
    std::unique_ptr<node> left, right;
};
void walk(const node* n, auto& give) {
    if (n == nullptr) return;
    walk(n->left.get(), give);
    give(n->value);
    walk(n->right.get(), give);
}
} // namespace

TEST_CASE("generator_from_recursive_code") {
    const auto leaf = [](int v) { return std::unique_ptr<node>(new node{v, nullptr, nullptr}); };
    const node tree{4, std::unique_ptr<node>(new node{2, leaf(1), leaf(3)}), leaf(5)};
    weft::generator<int> in_order([&](auto& give) { walk(&tree, give); });
    int expected = 1;
    for (const int v : in_order) CHECK(v == expected++);
    CHECK(expected == 6);
}

TEST_CASE("generator_of_every_kind_of_element") {
    weft::generator<std::unique_ptr<int>> owners([](auto& give) {
        for (int i = 0; i < 3; ++i) give(std::make_unique<int>(i));
    });
    int sum = 0;
    for (auto& p : owners) sum += *std::move(p);
    CHECK(sum == 3);
    std::vector<int> data{1, 2, 3};
    weft::generator<int&> references([&](weft::generator<int&>& self) {
        for (int& n : data) self.yield(n);
    });
    for (int& n : references) n *= 10;
    CHECK(data == std::vector{10, 20, 30});
    weft::generator<int> fails([](auto& give) {
        give(1);
        throw std::out_of_range("end");
    });
    auto it = fails.begin();
    CHECK(*it == 1);
    CHECK_THROWS_AS(++it, std::out_of_range);
    CHECK_FALSE(fails.next().has_value());
    weft::generator<int> waits([](auto& give) {
        weft::this_fiber::sleep_for(1ms); // the others run meanwhile
        give(1);
    });
    bool ran = false;
    auto other = weft::spawn([&] { ran = true; });
    CHECK(waits.next() == 1);
    CHECK(ran);
    bool left = false;
    {
        weft::generator<int> broken([&](auto& give) {
            struct flag {
                bool& f;
                ~flag() { f = true; }
            } const at_end{left};
            for (;;) give(1);
        });
        for (const int v : broken)
            if (v == 1) break;
        CHECK_FALSE(left);
    }
    CHECK(left);
}

TEST_CASE("gather_fails_with_the_first_that_fails") {
    weft::event never;
    auto waits = weft::spawn([&] { never.wait(); });
    auto fails = weft::spawn([]() -> int {
        yield();
        throw std::runtime_error("second");
    });
    CHECK_THROWS_AS(weft::gather(waits, fails), std::runtime_error);
    CHECK_FALSE(waits.ready());
    waits.kill();
    weft::async_result<std::string> r;
    weft::async_result<> none;
    weft::spawn([=] {
        none.set();
        r.set("text");
    });
    const auto [text, nothing, number] = weft::gather(r, none, weft::spawn([] { return 3; }));
    CHECK(text == "text");
    CHECK(number == 3);
    CHECK(nothing == std::monostate());
    CHECK_THROWS_AS(weft::gather(waits), weft::fiber_killed);
    CHECK(std::get<0>(weft::gather(weft::spawn([] { return std::make_unique<int>(4); }))) != nullptr);
    CHECK(weft::gather() == std::tuple<>());
}
