// SPDX-License-Identifier: Apache-2.0
#include <weft/event.hpp>
#include <weft/fiber.hpp>
#include <weft/hub.hpp>
#include <weft/inspect.hpp>

#include "core/hub.hpp"
#include "inspect/backtrace.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <atomic>
#include <ctime>
#include <mutex>
#include <optional>
#include <sstream>
#include <string>
#include <thread>

#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

using namespace std::chrono_literals;

namespace {

std::string info() {
    std::ostringstream out;
    weft::print_run_info(out);
    return out.str();
}

[[gnu::noinline, gnu::noipa]] void waits_in_here(weft::event& e) {
    e.wait();
    asm volatile("");
}

[[gnu::noinline, gnu::noipa]] void outer_of_all(weft::event& e) {
    waits_in_here(e);
    asm volatile("");
}

[[gnu::noinline, gnu::noipa]] void computes_for_long(const std::atomic<bool>& stop) {
    while (!stop.load(std::memory_order_relaxed)) asm volatile("");
    asm volatile("");
}

[[gnu::noinline, gnu::noipa]] void sleeps_for_real(long ms) {
    timespec t{0, ms * 1'000'000};
    REQUIRE(::nanosleep(&t, nullptr) == 0); // a signal would end it early
    asm volatile("");
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

std::string info_that_has(const std::string& part) {
    const weft::deadline end = 20s;
    std::string text = info();
    while (!has(text, part) && !end.expired()) text = info();
    return text;
}

/// What a monitor reported.
struct reports {
    std::mutex lock;
    std::vector<weft::blocking_report> all;
    auto taker() {
        return [this](const weft::blocking_report& r) {
            const std::lock_guard hold(lock);
            all.push_back(r);
        };
    }
    std::size_t count() {
        const std::lock_guard hold(lock);
        return all.size();
    }
    /// The first that is of the kind: on a busy machine another fiber, too, may have had a hub for long.
    template <class Kind>
    std::optional<weft::blocking_report> first(Kind kind) {
        const std::lock_guard hold(lock);
        const auto found = std::find_if(all.begin(), all.end(), kind);
        return found == all.end() ? std::nullopt : std::optional(*found);
    }
};

} // namespace

TEST_CASE("run_info_says_who_waits_for_what_and_where") {
    weft::event e;
    int ends[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    auto parent = weft::spawn({.name = "parent"}, [&] {
        auto child = weft::spawn({.name = "child"}, [&] { outer_of_all(e); });
        child.join();
    });
    auto reader = weft::spawn({.name = "reader"}, [&] { weft::rt::interruption_point(); });
    reader.join();
    const auto begin = std::chrono::steady_clock::now();
    auto sleeper = weft::spawn({.name = "sleeper"}, [] { weft::this_fiber::sleep_for(1h); });
    weft::this_fiber::sleep_for(2ms);
    auto fresh = weft::spawn({.name = "fresh one"}, [] {});
    const std::string text = info();
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - begin;
    INFO(text);
    REQUIRE(has(text, "(main): running, the caller"));
    REQUIRE(has(text, "\"parent\": waits for the end of a fiber 0x"));
    REQUIRE(has(text, "\"child\": waits for an event"));
    const std::string sleeps = "\"sleeper\": waits for a sleep since ";
    REQUIRE(has(text, sleeps));
    const double since = std::stod(text.substr(text.find(sleeps) + sleeps.size()));
    REQUIRE(since >= 0.001);
    REQUIRE(since <= passed.count() + 0.001);
    REQUIRE(has(text, "\"fresh one\": not started"));
    REQUIRE(has(text, "waits_in_here(weft::event&)+0x"));
    REQUIRE(text.find("waits_in_here") < text.find("outer_of_all"));
    const auto child_at = text.rfind('\n', text.find("\"child\""));
    const auto parent_at = text.rfind('\n', text.find("\"parent\""));
    REQUIRE(text.find("+-", child_at) - child_at > text.find("+-", parent_at) - parent_at); // below its parent
    REQUIRE_FALSE(has(text, "\"reader\"")); // it has ended
    e.set();
    parent.join();
    sleeper.kill();
    ::close(ends[0]);
    ::close(ends[1]);
}

TEST_CASE("orphans_name_who_spawned_them") {
    weft::event e;
    weft::any_fiber orphan;
    auto parent = weft::spawn([&] { orphan = weft::spawn({.name = "orphan"}, [&] { e.wait(); }); });
    const std::uint64_t id = parent.id();
    parent.join();
    weft::this_fiber::yield();
    const std::string text = info();
    INFO(text);
    REQUIRE(has(text, "\"orphan\", spawned by fiber " + std::to_string(id) + " which has ended: waits for"));
    e.set();
    orphan.join();
}

TEST_CASE("run_info_asks_the_other_hubs") {
    weft::event e, ready;
    std::thread other([&] {
        auto f = weft::spawn({.name = "elsewhere"}, [&] {
            ready.set();
            outer_of_all(e);
        });
        f.join();
    });
    ready.wait();
    weft::this_fiber::sleep_for(2ms);
    const std::string text = info_that_has("\"elsewhere\""); // a hub that a busy machine keeps from its turn does not answer
    INFO(text);
    REQUIRE(has(text, ", the caller's"));
    REQUIRE(has(text, "\"elsewhere\""));
    REQUIRE(has(text, "outer_of_all"));
    std::string from_outside;
    const auto ask = [&] { from_outside = info_that_has("\"elsewhere\""); };
    std::thread(ask).join(); // a thread without a hub: this one does not switch meanwhile
    REQUIRE(has(from_outside, "\"elsewhere\""));
    REQUIRE(has(from_outside, "has not switched fibers for 200 ms"));
    e.set();
    other.join();
}

TEST_CASE("run_info_of_many_fibers") {
    weft::event e;
    std::vector<weft::fiber<void>> all;
    for (int i = 0; i < 500; ++i) all.push_back(weft::spawn([&] { e.wait(); }));
    weft::this_fiber::yield();
    std::string text;
    std::thread asker([&] {
        text = info_that_has("501 fibers");
        e.set();
    });
    weft::joinall(all);
    asker.join();
    INFO(text.substr(0, 500));
    REQUIRE(has(text, "501 fibers"));
    std::size_t lines = 0;
    for (std::size_t at = 0; (at = text.find("waits for an event", at)) != std::string::npos; ++at) ++lines;
    REQUIRE(lines == 500);
}

TEST_CASE("a_monitor_names_who_computes") {
    reports got;
    weft::monitor m({.max_blocking_time = 20ms, .report = got.taker()});
    REQUIRE(m.max_blocking_time() == 20ms);
    std::atomic<bool> stop{false};
    auto f = weft::spawn({.name = "hog"}, [&] { computes_for_long(stop); });
    const auto of_it = [id = f.id()](const weft::blocking_report& r) {
#if defined(__SANITIZE_THREAD__) // which does not let a thread be stopped
        return r.fiber == id;
#else
        return r.fiber == id && has(r.backtrace, "computes_for_long(std::atomic<bool> const&)");
#endif
    };
    std::thread watcher([&] {
        for (int i = 0; i < 10'000 && !got.first(of_it); ++i) std::this_thread::sleep_for(1ms);
        stop = true;
    });
    f.join();
    watcher.join();
    REQUIRE(got.count() >= 1);
    INFO(got.all[0].backtrace);
    const auto r = got.first(of_it);
    REQUIRE(r);
    REQUIRE(r->blocked_for >= 20ms);
#if !defined(__SANITIZE_THREAD__)
    REQUIRE(r->name == "hog");
#endif
    REQUIRE(m.reports() == got.count());
}

TEST_CASE("a_monitor_leaves_the_system_call_alone_that_blocks") {
    reports got;
    weft::monitor m({.max_blocking_time = 10ms, .report = got.taker()});
    const auto of_it = [](const weft::blocking_report& r) {
#if defined(__SANITIZE_THREAD__)
        (void)r;
        return true;
#else
        return r.name == "sleeper" && (has(r.backtrace, "no backtrace") || has(r.backtrace, "sleeps_for_real"));
#endif
    };
    auto f = weft::spawn({.name = "sleeper"}, [&] {
        for (int i = 0; i < 100 && !got.first(of_it); ++i) {
            const auto begin = std::chrono::steady_clock::now();
            sleeps_for_real(100);
            REQUIRE(std::chrono::steady_clock::now() - begin >= 100ms);
        }
    });
    f.get();
    REQUIRE(got.count() >= 1);
    INFO(got.all[0].backtrace);
    REQUIRE(got.first(of_it));
}

TEST_CASE("a_monitor_is_silent_while_fibers_switch_or_sleep") {
    reports got;
    {
        weft::monitor m({.max_blocking_time = 2s, .report = got.taker()});
        auto busy = weft::spawn([] {
            for (const weft::deadline end = 400ms; !end.expired();) weft::this_fiber::yield();
        });
        busy.join();
        weft::this_fiber::sleep_for(400ms);
    }
    REQUIRE(got.count() == 0);
    REQUIRE_THROWS_AS(weft::monitor(0ms), std::invalid_argument);
}

TEST_CASE("a_monitor_comes_and_goes") {
    for (int i = 0; i < 20; ++i) weft::monitor m(50ms);
    weft::event never;
    weft::monitor m(50ms);
    REQUIRE_THROWS(never.wait()); // it does not hide a deadlock
}

TEST_CASE("a_thread_may_be_stopped_again_and_again") {
    reports got;
    weft::monitor m({.max_blocking_time = 1ms, .report = got.taker()});
    std::uint64_t sum = 0;
    auto f = weft::spawn([&] {
        for (int round = 0; round < 30; ++round) {
            for (const weft::deadline end = 8ms; !end.expired();)
                for (int i = 0; i < 1000; ++i) sum += std::to_string(i).size();
            weft::this_fiber::yield();
        }
    });
    f.join();
    REQUIRE(sum > 0);
    REQUIRE(got.count() > 0);
}
