// SPDX-License-Identifier: Apache-2.0
#include <weft/process.hpp>

#include <weft/event.hpp>
#include <weft/timeout.hpp>

#include "support/child_process.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <filesystem>
#include <set>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

using namespace std::chrono_literals;
using weft::process_pool;
using weft::this_fiber::sleep_for;
using weft::this_fiber::yield;

#if defined(__SANITIZE_THREAD__)
// As in process_test.cpp.
extern "C" const char* __tsan_default_suppressions() {
    return "race:libweft\nrace:process_pool_test\n";
}
#endif

namespace {

bool childless() {
    siginfo_t info{};
    return ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 && errno == ECHILD;
}

std::size_t open_descriptors() {
    const std::filesystem::directory_iterator all("/proc/self/fd");
    return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

int square(int n) { return n * n; }

struct odd_error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

} // namespace

TEST_CASE("process_pool_applies_functions") {
    process_pool p(2);
    CHECK(p.size() == 2);
    CHECK_THROWS_AS(process_pool(0), std::invalid_argument);
    CHECK(p.apply(square, 7) == 49);
    CHECK(p.apply(&square, 8) == 64);
    CHECK(p.apply([](int a, double b) { return a * b; }, 2, 1.5) == 3.0);
    CHECK(p.apply([] { return ::getpid(); }) != ::getpid());
    p.apply([] {});
    CHECK(p.apply([](const std::string& a, std::string_view b) { return a + std::string(b); }, "x", std::string("y")) == "xy");
    CHECK(p.apply([](std::vector<int> v) {
        std::reverse(v.begin(), v.end());
        return v;
    }, std::vector{1, 2, 3}) == std::vector{3, 2, 1});
    CHECK(p.apply([](std::string s) { return s + s; }, std::string(2 << 20, 'x')).size() == 4 << 20);
    CHECK(p.apply([](int n) { sleep_for(1ms); return n; }, 3) == 3); // on a hub of its own
    weft::async_result<int> later = p.apply_async(square, 9);
    CHECK(later.get(20s) == 81);
    int called = 0;
    p.apply_async(square, 2, [&](int n) { called += n; }).get(20s);
    p.apply_async([] {}, [&] { called += 100; }).get(20s);
    weft::wait(20s);
    CHECK(called == 104);
}

TEST_CASE("process_pool_maps") {
    process_pool p(3);
    std::vector<int> numbers(200);
    for (int i = 0; i < 200; ++i) numbers[static_cast<std::size_t>(i)] = i;
    const std::vector<int> squares = p.map(square, numbers);
    for (int i = 0; i < 200; ++i) REQUIRE(squares[static_cast<std::size_t>(i)] == i * i);
    std::multiset<int> unordered;
    for (int n : p.imap_unordered(square, numbers)) unordered.insert(n);
    CHECK(unordered == std::multiset<int>(squares.begin(), squares.end()));
    std::vector<int> ordered;
    for (int n : p.imap(square, numbers, 4)) ordered.push_back(n);
    CHECK(ordered == squares);
    CHECK(p.map_async(square, numbers).get(20s) == squares);
    std::set<pid_t> workers;
    for (pid_t w : p.map([](int) { sleep_for(1ms); return ::getpid(); }, numbers)) workers.insert(w);
    CHECK(workers.size() == 3);
    p.map([](int) {}, numbers);
    CHECK(p.map([](const std::string& s) { return s.size(); }, std::vector<std::string>{"a", "bcd"}) == std::vector<std::size_t>{1, 3});
}

TEST_CASE("process_pool_exceptions_reach_the_caller") {
    process_pool p(1);
    CHECK_THROWS_AS(p.apply([] { throw std::out_of_range("far"); }), std::out_of_range);
    CHECK_THROWS_WITH(p.apply([] { throw std::invalid_argument("bad"); }), "bad");
    CHECK_THROWS_AS(p.apply([] { throw weft::timeout_error("late"); }), weft::timeout_error);
    try {
        p.apply([] { throw std::system_error(ENOENT, std::generic_category(), "open"); });
        CHECK(false);
    } catch (const std::system_error& e) {
        CHECK(e.code() == std::errc::no_such_file_or_directory);
        CHECK(std::string(e.what()) == std::system_error(ENOENT, std::generic_category(), "open").what());
    }
    try {
        p.apply([] { throw odd_error("strange"); });
        CHECK(false);
    } catch (const weft::process_error& e) {
        CHECK(std::string(e.what()).find("odd_error: strange") != std::string::npos);
        CHECK_FALSE(e.exitcode());
    }
    CHECK_THROWS_AS(p.apply([] { throw 5; }), weft::process_error);
    CHECK_THROWS_AS(p.map([](int n) { return n == 3 ? throw std::range_error("three") : n; }, std::vector{1, 2, 3, 4}), std::range_error);
    CHECK(p.apply(square, 2) == 4);
}

TEST_CASE("process_pool_survives_workers_that_die") {
    process_pool p(2);
    auto beside = p.apply_async([] { sleep_for(50ms); return 1; });
    try {
        p.apply([] { ::raise(SIGKILL); });
        CHECK(false);
    } catch (const weft::process_error& e) {
        CHECK(e.exitcode() == -SIGKILL);
        CHECK(std::string(e.what()).find("signal 9") != std::string::npos);
    }
    try {
        p.apply([] { ::_exit(6); });
        CHECK(false);
    } catch (const weft::process_error& e) {
        CHECK(e.exitcode() == 6);
    }
    CHECK(beside.get(20s) == 1);
    CHECK(p.apply(square, 3) == 9);
    const pid_t idle = p.apply([] { return ::getpid(); });
    ::kill(idle, SIGKILL); // one that has nothing to do
    for (int i = 0; i < 20; ++i) {
        try {
            const int got = p.apply(square, i);
            CHECK(got == i * i);
        } catch (const weft::process_error&) { // it may die after it took the job
        }
    }
    int failed = 0;
    std::vector<weft::async_result<int>> all;
    for (int i = 0; i < 30; ++i)
        all.push_back(p.apply_async([](int n) {
            if (n % 5 == 0) ::raise(SIGKILL);
            return n;
        }, i));
    for (int i = 0; i < 30; ++i) {
        try {
            const int got = all[static_cast<std::size_t>(i)].get(40s);
            CHECK(got == i);
        } catch (const weft::process_error&) {
            CHECK(i % 5 == 0);
            ++failed;
        }
    }
    CHECK(failed == 6);
}

TEST_CASE("process_pool_callers_are_interrupted") {
    process_pool p(1);
    const auto slow = [] { sleep_for(100ms); };
    CHECK_THROWS_AS(weft::with_timeout(5ms, [&] { p.apply(slow); }), weft::timeout_error);
    CHECK_THROWS_AS(p.apply_async(slow).get(5ms), weft::timeout_error);
    auto f = weft::spawn([&] { p.apply(slow); });
    sleep_for(2ms);
    CHECK(f.kill(20s));
    auto m = weft::spawn([&] { p.map([](int n) { sleep_for(30ms); return n; }, std::vector{1, 2, 3}); });
    sleep_for(2ms);
    CHECK(m.kill(20s));
    CHECK_THROWS_AS(weft::with_timeout(5ms, [&] { p.map([](int n) { sleep_for(30ms); return n; }, std::vector{1, 2, 3}); }), weft::timeout_error);
    CHECK(p.apply(square, 5) == 25); // answers that nobody wanted are not taken for this one
    auto never = p.apply_async(slow);
    auto cancelled = p.apply_async(square, 1);
    cancelled.cancel();
    CHECK(p.join(20s));
    CHECK(never.successful());
}

TEST_CASE("process_pool_close_join_terminate") {
    {
        process_pool p(2);
        auto last = p.apply_async([] { sleep_for(20ms); return 5; });
        CHECK(p.join(20s)); // all jobs
        CHECK(last.get_nowait() == 5);
        auto more = p.apply_async(square, 6);
        p.close();
        CHECK_THROWS_AS(p.apply(square, 1), std::logic_error);
        CHECK_THROWS_AS(p.map(square, std::vector{1}), std::logic_error);
        CHECK(p.join(20s));
        CHECK(more.get_nowait() == 36);
        CHECK(childless());
    }
    {
        process_pool p(2);
        std::vector<weft::async_result<void>> jobs;
        for (int i = 0; i < 5; ++i) jobs.push_back(p.apply_async([] { sleep_for(1h); }));
        CHECK_FALSE(p.join(5ms));
        p.terminate();
        CHECK(p.join(20s));
        for (auto& j : jobs) CHECK_THROWS_AS(j.get(20s), weft::fiber_killed);
        CHECK(childless());
    }
    weft::async_result<void> left;
    {
        process_pool p(2);
        left = p.apply_async([] { sleep_for(1h); });
        yield();
    }
    CHECK_THROWS_AS(left.get(20s), weft::fiber_killed);
    CHECK(childless());
}

TEST_CASE("process_pool_workers_end_with_their_parent") {
    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    const pid_t child = ::fork();
    if (child == 0) {
        alarm(60);
        process_pool p(2);
        (void)p.apply(square, 2);
        ::raise(SIGKILL);
    }
    ::close(ends[1]);
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    char byte = 0;
    CHECK(::read(ends[0], &byte, 1) == 0); // all who had the other end are gone
    ::close(ends[0]);
}

TEST_CASE("process_pool_shared_by_hubs") {
    process_pool p(2);
    std::atomic<int> right{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 2; ++t)
        threads.emplace_back([&] {
            weft::spawn([&] {
                for (int i = 0; i < 50; ++i) right += p.apply(square, i) == i * i;
            }).join();
        });
    for (int i = 0; i < 50; ++i) right += p.apply(square, i) == i * i;
    for (auto& t : threads) t.join();
    CHECK(right == 150);
}

TEST_CASE("process_pools_leak_nothing") {
    { process_pool(2).apply(square, 1); }
    const std::size_t before = open_descriptors();
    for (int i = 0; i < 20; ++i) {
        process_pool p(3);
        CHECK(p.apply(square, i) == i * i);
        auto left = p.apply_async([] { sleep_for(1h); });
        if (i % 2 == 0) yield();
    }
    CHECK(open_descriptors() == before);
    CHECK(childless());
}
