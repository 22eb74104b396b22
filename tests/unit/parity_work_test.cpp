// SPDX-License-Identifier: Apache-2.0
// What people write with gevent, concurrent.futures and multiprocessing, as it is written here: groups, pools, threads, processes, programs.
#include <weft/weft.hpp>

#include <catch2/catch.hpp>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <list>
#include <numeric>
#include <ranges>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

using namespace std::chrono_literals;
using weft::this_fiber::sleep_for;

#if defined(__SANITIZE_THREAD__)
// As in process_test.cpp.
extern "C" const char* __tsan_default_suppressions() {
    return "race:libweft\nrace:parity_work_test\n";
}
#endif

namespace {

int square(int n) { return n * n; }
const std::vector<int> numbers{1, 2, 3, 4};
const std::vector<int> squares{1, 4, 9, 16};

} // namespace

TEST_CASE("gevent_group_add_map_imap_imap_unordered_apply_apply_async") {
    weft::group g;
    auto f = weft::spawn(square, 3);
    g.add(f);
    CHECK(g.size() == 1);
    CHECK(g.join(20s));
    CHECK(f.get() == 9);
    CHECK(g.map(square, numbers) == squares);
    CHECK(g.map_async(square, numbers).get() == squares);
    std::vector<int> ordered;
    for (int n : g.imap(square, numbers)) ordered.push_back(n);
    CHECK(ordered == squares);
    std::set<int> unordered;
    for (int n : g.imap_unordered([](int n) { return sleep_for(std::chrono::milliseconds(5 - n)), n * n; }, numbers)) unordered.insert(n);
    CHECK(unordered == std::set<int>(squares.begin(), squares.end()));
    CHECK(g.apply(square, 5) == 25);
    int called = 0;
    CHECK(g.apply_async(square, 6, [&](int n) { called = n; }).get() == 36);
    weft::wait(20s);
    CHECK(called == 36);
    auto one = g.spawn([] { sleep_for(1h); });
    g.spawn([] { sleep_for(1h); });
    CHECK(g.killone(one, 20s));
    CHECK(g.size() == 1);
    CHECK(g.kill(20s));
    CHECK(g.empty());
}

TEST_CASE("gevent_pool_of_n") {
    weft::pool p(2);
    int running = 0, most = 0;
    for (int i = 0; i < 6; ++i)
        p.spawn([&] {
            most = std::max(most, ++running);
            sleep_for(1ms);
            --running;
        });
    CHECK(p.full());
    CHECK(p.free_count() == 0);
    CHECK(p.wait_available(20s));
    CHECK(p.join(20s));
    CHECK(most == 2);
    // A lazy and endless range: no further than asked.
    int made = 0;
    auto endless = std::views::iota(1) | std::views::transform([&](int n) { return ++made, n; });
    int sum = 0;
    for (int n : p.imap(square, endless, 3)) {
        sum += n;
        if (n == 25) break;
    }
    CHECK(sum == 1 + 4 + 9 + 16 + 25);
    CHECK(made <= 10);
}

TEST_CASE("gevent_threadpool") {
    weft::threadpool pool(2);
    const auto here = std::this_thread::get_id();
    CHECK(pool.spawn([] { return std::this_thread::get_id(); }).get(20s) != here);
    CHECK(pool.apply(square, 4) == 16);
    CHECK(pool.map(square, numbers) == squares);
    std::atomic<int> ticks{0};
    auto ticker = weft::spawn([&] {
        for (;; ++ticks) sleep_for(1ms);
    });
    pool.apply([&] { // blocks its thread only
        for (int i = 0; i < 4000 && ticks < 5; ++i) std::this_thread::sleep_for(5ms);
    });
    CHECK(ticks >= 5);
    ticker.kill();
}

TEST_CASE("gevent_subprocess_popen") {
    weft::subprocess::popen p({"sh", "-c", "read line; echo got $line; exit 2"}, {.stdin = weft::subprocess::pipe, .stdout = weft::subprocess::pipe});
    CHECK_FALSE(p.poll());
    bool linked = false;
    p.rawlink([&](const weft::subprocess&) { linked = true; });
    auto [out, err] = p.communicate("this\n", 20s);
    CHECK(out == "got this\n");
    CHECK(p.wait() == 2);
    CHECK(p.returncode() == 2);
    weft::wait(20s);
    CHECK(linked);
    weft::popen sleeper({"sleep", "1000"});
    sleeper.terminate();
    CHECK(sleeper.wait(20s) == -SIGTERM);
    CHECK(weft::check_output({"echo", "text"}) == "text\n");
    CHECK(weft::run({"false"}).returncode == 1);
}

TEST_CASE("gevent_fork_and_waitpid") {
    auto beside = weft::spawn([] { sleep_for(1h); });
    weft::this_fiber::yield();
    const pid_t child = ::fork();
    if (child == 0) ::_exit(beside.dead() && weft::spawn(square, 2).get() == 4 ? 7 : 1);
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(WEXITSTATUS(status) == 7);
    CHECK_FALSE(beside.dead());
    beside.kill();
}

TEST_CASE("concurrent_futures_thread_pool_executor") {
    weft::threadpool executor(3);
    weft::async_result<int> future = executor.submit(square, 9);
    int called = 0;
    future.link([&](const weft::async_result<int>& done) { called = done.get(); });
    CHECK(future.get(20s) == 81);
    weft::wait(20s);
    CHECK(called == 81);
    CHECK(executor.map(square, numbers) == squares);
    auto bad = executor.submit([]() -> int { throw std::out_of_range("far"); });
    CHECK_THROWS_AS(bad.get(20s), std::out_of_range);
    CHECK(bad.exception() != nullptr);
    // as_completed
    std::vector<weft::async_result<int>> all;
    for (int n : numbers) all.push_back(executor.submit(square, n));
    std::set<int> completed;
    for (auto& r : weft::iwait(all, 20s)) completed.insert(r.get());
    CHECK(completed == std::set<int>(squares.begin(), squares.end()));
}

TEST_CASE("concurrent_futures_process_pool_executor") {
    weft::process_pool executor(2);
    weft::async_result<int> future = executor.apply_async(square, 9);
    CHECK(future.get(20s) == 81);
    CHECK(executor.map(square, numbers) == squares);
    CHECK_THROWS_AS(executor.apply([] { throw std::out_of_range("far"); }), std::out_of_range);
    CHECK_THROWS_AS(executor.apply([] { ::raise(SIGKILL); }), weft::process_error); // and not a broken pool
    CHECK(executor.apply(square, 5) == 25);
}

TEST_CASE("multiprocessing_process_queue_pipe_value_array_lock") {
    weft::process_queue<int> queue;
    auto [parent, child] = weft::pipe<std::string>();
    weft::shared_value<int> value(0);
    weft::shared_array<int> array(3);
    weft::process_mutex lock;
    std::list<weft::process> all;
    for (int i = 0; i < 3; ++i)
        all.emplace_back(weft::process_options{.name = "worker"}, [&, i] {
            const std::scoped_lock hold(lock);
            value.value() += i;
            array[static_cast<std::size_t>(i)] = i * i;
            queue.put(i);
            if (i == 2) child.send("sent");
        });
    for (weft::process& p : all) {
        CHECK(p.pid() > 0);
        CHECK(p.join(30s));
        CHECK(p.exitcode() == 0);
    }
    CHECK(*value == 3);
    CHECK(std::accumulate(array.begin(), array.end(), 0) == 5);
    CHECK(queue.get(20s) + queue.get(20s) + queue.get(20s) == 3);
    CHECK(parent.recv(20s) == "sent");
    ::signal(SIGTERM, SIG_DFL);
    const weft::process daemon = weft::process::spawn({.daemon = true}, [] { sleep_for(1h); });
    CHECK(daemon.daemon());
    CHECK(daemon.alive());
    daemon.terminate();
    CHECK(daemon.join(20s));
    CHECK(daemon.exitcode() == -SIGTERM);
}

TEST_CASE("multiprocessing_pool") {
    weft::process_pool pool(2);
    int called = 0;
    pool.apply_async(square, 3, [&](int n) { called = n; }).get(20s);
    CHECK(pool.map(square, numbers) == squares);
    std::set<int> unordered;
    for (int n : pool.imap_unordered(square, numbers)) unordered.insert(n);
    CHECK(unordered.size() == 4);
    pool.close();
    CHECK(pool.join(30s));
    weft::wait(20s);
    CHECK(called == 9);
    weft::process_pool other(2);
    auto never = other.apply_async([] { sleep_for(1h); });
    other.terminate();
    CHECK(other.join(30s));
    CHECK_THROWS_AS(never.get(20s), weft::fiber_killed);
}

TEST_CASE("several_processes_times_coroutines_use_all_cores") {
    weft::process_queue<long> sums;
    std::list<weft::process> all;
    for (int p = 0; p < 2; ++p)
        all.emplace_back([&, p] {
            weft::pool fibers(50);
            const auto results = fibers.map([](int n) { return sleep_for(1ms), long{n}; }, std::views::iota(p * 100, p * 100 + 100));
            sums.put(std::accumulate(results.begin(), results.end(), 0L));
        });
    CHECK(sums.get(30s) + sums.get(30s) == 199 * 100);
    for (weft::process& p : all) CHECK(p.join(30s));
}
