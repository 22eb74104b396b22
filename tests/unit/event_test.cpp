// SPDX-License-Identifier: Apache-2.0
#include <weft/errors.hpp>
#include <weft/event.hpp>
#include <weft/fiber.hpp>
#include <weft/timeout.hpp>

#include <catch2/catch.hpp>

#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using weft::this_fiber::yield;

TEST_CASE("event_wakes_all_in_order") {
    weft::event e;
    std::vector<int> order;
    std::vector<weft::any_fiber> all;
    for (int i = 0; i < 4; ++i)
        all.push_back(weft::spawn([&, i] {
            if (e.wait()) order.push_back(i);
        }));
    yield();
    CHECK(order.empty());
    e.set();
    e.clear(); // who waited is woken all the same
    weft::joinall(all);
    CHECK(order == std::vector{0, 1, 2, 3});
    CHECK_FALSE(e.is_set());
}

TEST_CASE("event_deadline_kill_and_timeout") {
    weft::event e;
    CHECK_FALSE(e.wait(-1s));
    CHECK_FALSE(e.wait(5ms));
    auto f = weft::spawn([&] { e.wait(); });
    yield();
    CHECK(f.kill(5s));
    CHECK_THROWS_AS(weft::with_timeout(5ms, [&] { return e.wait(); }), weft::timeout_error);
    e.set();
    CHECK(e.wait(-1s));
    CHECK(e.wait());
    CHECK(weft::wait({e}, 0ms).size() == 1);
}

TEST_CASE("event_set_by_another_thread") {
    weft::event there;
    weft::event here;
    std::thread plain([&] {
        there.wait();
        here.set();
    });
    there.set();
    CHECK(here.wait(10s));
    plain.join();
    weft::event third;
    std::thread with_hub([&] {
        auto f = weft::spawn([&] { third.wait(); });
        here.clear();
        f.join();
        here.set();
    });
    third.set();
    with_hub.join();
    CHECK(here.wait(10s));
}

TEST_CASE("async_result_delivers_once") {
    weft::async_result<std::string> r;
    CHECK_FALSE(r.ready());
    CHECK_THROWS_AS(r.get_nowait(), weft::timeout_error);
    CHECK_THROWS_AS(r.get(5ms), weft::timeout_error);
    auto f = weft::spawn([r] { return r.get().size(); });
    yield();
    CHECK(r.set("four"));
    CHECK_FALSE(r.set("five!"));
    CHECK_FALSE(r.set_exception(std::make_exception_ptr(std::runtime_error("late"))));
    CHECK_FALSE(r.cancel());
    CHECK(r.ready());
    CHECK(r.successful());
    CHECK(f.get() == 4);
    std::string& value = r.get();
    value = "mine";
    CHECK(r.get_nowait() == "mine");
    CHECK(std::move(r).get() == "mine");
}

TEST_CASE("async_result_failures") {
    weft::async_result<int> failed;
    CHECK(failed.set_exception(std::make_exception_ptr(std::out_of_range("far"))));
    CHECK_THROWS_AS(failed.get(), std::out_of_range);
    CHECK(failed.exception() != nullptr);
    CHECK_FALSE(failed.successful());
    weft::async_result<int> dropped;
    auto waiting = weft::spawn([dropped] { return dropped.get(); });
    yield();
    CHECK(dropped.cancel());
    CHECK(dropped.cancelled());
    CHECK_FALSE(dropped.set(1));
    CHECK_THROWS_AS(waiting.get(), weft::fiber_killed);
}

TEST_CASE("async_result_of_void_reference_and_move_only") {
    const weft::async_result<> none;
    static_assert(std::is_void_v<decltype(none.get())>);
    CHECK(none.set());
    none.get();
    int n = 1;
    weft::async_result<int&> reference;
    CHECK(reference.set(n));
    reference.get() = 7;
    CHECK(n == 7);
    weft::async_result<std::unique_ptr<int>> owner;
    CHECK(owner.set(std::make_unique<int>(3)));
    std::unique_ptr<int> taken = std::move(owner).get();
    CHECK(*taken == 3);
}

namespace {
struct fragile {
    explicit fragile(bool breaks) {
        if (breaks) throw std::runtime_error("broken");
    }
};
} // namespace

TEST_CASE("async_result_value_that_cannot_be_stored") {
    weft::async_result<fragile> r;
    CHECK_THROWS_AS(r.set(true), std::runtime_error);
    CHECK_FALSE(r.ready());
    CHECK(r.set(false));
    CHECK(r.successful());
}

TEST_CASE("async_result_links_run_in_fibers") {
    weft::async_result<int> r;
    int seen = 0;
    std::uint64_t where = 0;
    r.link([&](const weft::async_result<int>& done) {
        yield(); // it may wait
        seen += done.get();
        where = weft::this_fiber::id();
    });
    std::thread plain([r] { r.set(5); });
    plain.join();
    CHECK(seen == 0);
    weft::wait(10s);
    CHECK(seen == 5);
    CHECK(where != weft::this_fiber::id());
    r.link([&](const weft::async_result<int>& done) { seen += done.get(); });
    weft::wait(10s);
    CHECK(seen == 10);
}

TEST_CASE("wait_takes_a_mix") {
    weft::event e;
    weft::async_result<int> r;
    auto f = weft::spawn([] { yield(); });
    auto g = weft::spawn([=] { r.set(1); });
    const auto ready = weft::wait({e, r, f}, 5s, 2);
    REQUIRE(ready.size() == 2);
    CHECK(ready[0] == static_cast<weft::waitable>(r));
    CHECK(ready[1] == static_cast<weft::waitable>(f));
    g.join();
    auto setter = weft::spawn([&] { e.set(); });
    CHECK(weft::wait({e}, 5s).size() == 1);
}
