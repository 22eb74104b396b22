// SPDX-License-Identifier: Apache-2.0
// Callbacks at the end of a fiber, and exceptions nobody collects.
#include <weft/fiber.hpp>
#include <weft/hub.hpp>

#include "support/child_process.hpp"

#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

using namespace std::chrono_literals;
using test_support::must;
using test_support::must_throw;
using test_support::run_in_child;

TEST_CASE("link_runs_in_a_fiber_after_the_end") {
    std::string seen;
    auto f = weft::spawn([&seen] {
        seen += "f";
        return 5;
    });
    const std::uint64_t main_id = weft::this_fiber::id();
    f.link([&](weft::fiber<int> ended) {
        weft::this_fiber::sleep_for(1ms); // it may wait
        seen += std::to_string(ended.get());
        CHECK(ended.ready());
        CHECK(weft::this_fiber::id() != main_id);
        CHECK(weft::this_fiber::id() != ended.id());
    });
    CHECK(weft::wait(20s));
    CHECK(seen == "f5");
}

TEST_CASE("links_run_in_the_order_added_each_in_its_own_fiber") {
    std::string seen;
    auto f = weft::spawn([] {});
    for (char c : {'a', 'b', 'c'}) f.link([&seen, c](weft::any_fiber) { seen += c; });
    f.link([](weft::any_fiber) { weft::this_fiber::sleep_for(1h); }); // holds nobody up
    f.link([&seen](auto) { seen += 'd'; });
    f.join();
    for (int i = 0; i < 3; ++i) weft::this_fiber::yield();
    CHECK(seen == "abcd");
}

TEST_CASE("link_value_and_link_exception") {
    std::string seen;
    const auto linked = [&seen](auto f) {
        f.link([&seen](auto) { seen += "l"; });
        f.link_value([&seen](auto) { seen += "v"; });
        f.link_exception([&seen](auto) { seen += "e"; });
        weft::wait();
        return std::exchange(seen, {});
    };
    CHECK(linked(weft::spawn([] { return 1; })) == "lv");
    CHECK(linked(weft::spawn([] { throw std::runtime_error("x"); })) == "le");
    auto killed = weft::spawn([] { weft::this_fiber::sleep_for(1h); });
    weft::this_fiber::yield();
    killed.kill_async();
    CHECK(linked(killed) == "le");
    auto never_ran = weft::spawn([] {});
    never_ran.kill_async();
    CHECK(linked(never_ran) == "le");
}

TEST_CASE("link_after_the_end_runs_too") {
    std::string seen;
    auto f = weft::spawn([] { return 1; });
    f.join();
    f.link([&seen](weft::fiber<int> e) { seen += std::to_string(e.get()); });
    f.link_exception([&seen](auto) { seen += "e"; });
    CHECK(seen.empty()); // not at once: in a fiber
    weft::wait();
    CHECK(seen == "1");
}

TEST_CASE("unlink_all_forgets_what_has_not_run") {
    int called = 0;
    auto f = weft::spawn([] {});
    f.link([&called](auto) { ++called; });
    f.link_value([&called](auto) { ++called; });
    f.unlink_all();
    weft::wait();
    CHECK(called == 0);
    f.unlink_all();
    f.link([&called](auto) { ++called; });
    weft::wait();
    CHECK(called == 1);
}

TEST_CASE("unlink_all_after_the_end_forgets_what_has_not_run") {
    int called = 0;
    auto f = weft::spawn([] {});
    f.link([&called](auto) { ++called; });
    f.join(); // its callbacks have not had their turn
    CHECK(called == 0);
    f.link([&called](auto) { ++called; });
    f.unlink_all();
    weft::wait();
    CHECK(called == 0);
}

TEST_CASE("a_link_keeps_its_fiber_and_lets_go_of_the_callback") {
    auto held = std::make_shared<int>(1);
    {
        auto f = weft::spawn([] { weft::this_fiber::sleep_for(1ms); });
        f.link([held](auto) {});
        f.link_exception([held](auto) {});
    }
    CHECK(held.use_count() == 3);
    weft::wait();
    CHECK(held.use_count() == 1);
    auto f = weft::spawn([] {});
    f.link([held](auto) {});
    f.unlink_all();
    CHECK(held.use_count() == 1);
    weft::wait();
}

// --- What nobody collects is printed, once ---

namespace {

std::size_t count(const std::string& text, const std::string& what) {
    std::size_t n = 0;
    for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++n;
    return n;
}

} // namespace

TEST_CASE("uncollected_exception_is_printed_once_with_id_and_name") {
    const auto r = run_in_child([] {
        auto f = weft::spawn({.name = "reader"}, [] { throw std::runtime_error("disk gone"); });
        const auto copy = f;
        dprintf(2, "id=%d;", static_cast<int>(f.id()));
        f.join();
        must(!f.successful());
        weft::joinall({f});
    });
    CHECK(r.exit_code() == 0);
    CHECK(count(r.err, "disk gone") == 1);
    CHECK(count(r.err, "(reader)") == 1);
    CHECK(count(r.err, "std::runtime_error") == 1);
    const std::string id = r.err.substr(3, r.err.find(';') - 3);
    CHECK(count(r.err, "fiber " + id + " ") == 1);
}

TEST_CASE("uncollected_exception_is_printed_when_the_last_handle_goes") {
    const auto r = run_in_child([] {
        {
            auto f = weft::spawn([] { throw 5; });
            f.join();
            dprintf(2, "[held]");
        }
        dprintf(2, "[dropped]");
        weft::spawn([] { throw std::logic_error("no handle"); });
        weft::wait();
        dprintf(2, "[end]");
    });
    const std::size_t first = r.err.find("weft: ");
    CHECK(first > r.err.find("[held]"));
    CHECK(first < r.err.find("[dropped]"));
    CHECK(r.err.find("no handle") > r.err.find("[dropped]"));
    CHECK(r.err.find("no handle") < r.err.find("[end]"));
    CHECK(count(r.err, "weft: ") == 2);
}

TEST_CASE("collected_exceptions_are_not_printed") {
    const auto r = run_in_child([] {
        const auto fails = [] { throw std::runtime_error("seen"); };
        auto by_get = weft::spawn(fails);
        must_throw<std::runtime_error>([&] { by_get.get(); });
        auto by_exception = weft::spawn(fails);
        by_exception.join();
        (void)by_exception.exception();
        weft::spawn(fails).link_exception([](auto) {});
        weft::wait();
        auto by_joinall = weft::spawn(fails);
        must_throw<std::runtime_error>([&] { weft::joinall({by_joinall}, {}, true); });
        auto by_gather = weft::spawn(fails);
        must_throw<std::runtime_error>([&] { weft::gather(by_gather); });
        weft::spawn([] { weft::this_fiber::sleep_for(1h); }).kill(); // no exception
        weft::spawn([] {}).kill();
        auto killed = weft::spawn([] { weft::this_fiber::sleep_for(1h); });
        weft::this_fiber::yield();
        killed.kill();
    });
    CHECK(r.exit_code() == 0);
    CHECK(r.err == "");
}

TEST_CASE("a_link_without_exception_interest_collects_nothing") {
    const auto r = run_in_child([] {
        weft::spawn([] { throw std::runtime_error("lost"); }).link([](auto) {});
        weft::wait();
    });
    CHECK(count(r.err, "lost") == 1);
}
