// SPDX-License-Identifier: Apache-2.0
#include <weft/errors.hpp>
#include <weft/event.hpp>
#include <weft/fiber.hpp>
#include <weft/sync.hpp>
#include <weft/threadpool.hpp>
#include <weft/timeout.hpp>

#include "work/helpers.hpp"

#include <catch2/catch.hpp>

#include <atomic>
#include <csignal>
#include <memory>
#include <mutex>
#include <ranges>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

using namespace std::chrono_literals;
using weft::this_fiber::sleep_for;
using weft::this_fiber::yield;

TEST_CASE("threadpool_runs_elsewhere_while_fibers_run") {
    weft::threadpool p(2);
    CHECK(p.capacity() == 2);
    CHECK_THROWS_AS(weft::threadpool(0), std::invalid_argument);
    std::atomic<bool> go{false};
    auto f = weft::spawn([&] { // the call ends only if this fiber runs meanwhile
        yield();
        go = true;
    });
    const auto there = p.apply([&] {
        while (!go) std::this_thread::yield();
        return std::this_thread::get_id();
    });
    CHECK(there != std::this_thread::get_id());
    CHECK(p.size() == 0);
    CHECK(p.free_count() == 2);
    f.join();
    int n = 1;
    CHECK(&p.apply([&]() -> int& { return n; }) == &n);
    CHECK(*p.apply([](std::unique_ptr<int> u) { return u; }, std::make_unique<int>(3)) == 3);
    CHECK_THROWS_AS(p.apply([] { throw std::out_of_range("x"); }), std::out_of_range);
}

TEST_CASE("threadpool_no_more_threads_than_said") {
    weft::threadpool p(3);
    std::atomic<int> running{0};
    std::atomic<int> most{0};
    std::vector<weft::async_result<int>> results;
    for (int i = 0; i < 20; ++i)
        results.push_back(p.submit([&, i] {
            const int now = ++running;
            for (int m = most; m < now && !most.compare_exchange_weak(m, now);) {}
            std::this_thread::yield();
            --running;
            return i;
        }));
    for (int i = 0; i < 20; ++i) CHECK(results[static_cast<std::size_t>(i)].get(10s) == i);
    CHECK(most <= 3);
    CHECK(p.join(10s));
}

TEST_CASE("threadpool_spawn_waits_for_a_thread") {
    weft::threadpool p(1);
    std::atomic<bool> go{false};
    auto first = p.spawn([&] { while (!go) std::this_thread::yield(); });
    CHECK(p.full());
    CHECK_FALSE(p.wait_available(5ms));
    CHECK_THROWS_AS(weft::with_timeout(5ms, [&] { p.spawn([] {}); }), weft::timeout_error);
    auto f = weft::spawn([&] { return p.spawn([] { return 5; }).get(); });
    yield();
    CHECK_FALSE(f.ready());
    go = true;
    CHECK(f.get(10s) == 5);
    CHECK(first.ready());
    CHECK(p.wait_available(10s));
}

TEST_CASE("threadpool_cancel_and_interruptions") {
    weft::threadpool p(1);
    std::atomic<bool> go{false};
    std::atomic<bool> begun{false};
    std::atomic<bool> wrong{false};
    auto blocker = p.submit([&] {
        begun = true;
        while (!go) std::this_thread::yield();
    });
    auto cancelled = p.submit([&] { wrong = true; });
    CHECK(cancelled.cancel());
    CHECK_THROWS_AS(weft::with_timeout(5ms, [&] { p.apply([&] { wrong = true; }); }), weft::timeout_error);
    auto f = weft::spawn([&] { p.apply([&] { wrong = true; }); });
    yield();
    f.kill();
    while (!begun) yield();
    CHECK_FALSE(blocker.cancel()); // it runs
    go = true;
    blocker.get(10s);
    CHECK(p.join(10s));
    CHECK_FALSE(wrong);
    CHECK_THROWS_AS(cancelled.get(), weft::fiber_killed);
}

TEST_CASE("threadpool_callbacks") {
    weft::threadpool p(1);
    int got = 0;
    auto r = p.apply_async([](int n) { return n + 1; }, 41, [&](int n) { got += n; });
    auto v = p.apply_async([] {}, [&] { got += 100; });
    auto bad = p.apply_async([]() -> int { throw std::runtime_error("x"); }, [&](int) { got += 1000; });
    CHECK(r.get(10s) == 42);
    v.get(10s);
    CHECK_THROWS_AS(bad.get(10s), std::runtime_error);
    weft::wait(10s);
    CHECK(got == 142);
}

TEST_CASE("threadpool_map_and_imap") {
    weft::threadpool p(2);
    std::mutex m;
    std::set<std::thread::id> where;
    const auto square = [&](int n) {
        const std::lock_guard hold(m);
        where.insert(std::this_thread::get_id());
        return n * n;
    };
    CHECK(p.map(square, std::vector{1, 2, 3}) == std::vector{1, 4, 9});
    CHECK(where.count(std::this_thread::get_id()) == 0);
    CHECK(p.map_async(square, std::views::iota(0, 4)).get(10s) == std::vector{0, 1, 4, 9});
    std::vector<int> got;
    for (int n : p.imap(square, std::views::iota(0, 10), 3)) got.push_back(n);
    CHECK(got == std::vector{0, 1, 4, 9, 16, 25, 36, 49, 64, 81});
    int sum = 0;
    for (int n : p.imap_unordered(square, std::views::iota(0, 10))) sum += n;
    CHECK(sum == 285);
    CHECK_THROWS_WITH(p.map([](int n) -> int { throw std::runtime_error(std::to_string(n)); }, std::vector{7, 8}), "7");
    CHECK(p.size() == 0);
}

TEST_CASE("threadpool_map_of_a_killed_caller_waits_for_what_runs") {
    weft::threadpool p(2);
    std::atomic<int> begun{0};
    std::atomic<bool> go{false};
    std::atomic<bool> used_late{false};
    auto f = weft::spawn([&] {
        struct frame {
            std::atomic<bool>& late;
            std::atomic<int> value{0};
            ~frame() { late = value != 2; }
        } local{used_late};
        p.map([&](int) {
            ++begun;
            while (!go) std::this_thread::yield();
            ++local.value;
        }, std::views::iota(0, 5));
    });
    while (begun < 2) yield();
    f.kill_async();
    yield();
    CHECK_FALSE(f.ready());
    go = true;
    CHECK(f.join(10s));
    CHECK(begun == 2);
    CHECK_FALSE(used_late);
}

TEST_CASE("threadpool_destructor_drops_what_has_not_begun") {
    std::atomic<bool> go{false};
    std::atomic<bool> ended{false};
    weft::async_result<> running;
    weft::async_result<> queued;
    weft::event begun;
    auto opener = weft::spawn([&] { // while the destructor waits
        begun.wait();
        while (!queued.ready()) yield();
        go = true;
    });
    {
        weft::threadpool p(1);
        running = p.submit([&] {
            begun.set();
            while (!go) std::this_thread::yield();
            ended = true;
        });
        queued = p.submit([] {});
        begun.wait();
    }
    CHECK(ended);
    CHECK_NOTHROW(running.get_nowait());
    CHECK_THROWS_AS(queued.get_nowait(), weft::fiber_killed);
    opener.join();
}

TEST_CASE("threadpool_kill_leaves_it_usable") {
    weft::threadpool p(1);
    std::atomic<bool> go{false};
    weft::event begun;
    auto running = p.submit([&] {
        begun.set();
        while (!go) std::this_thread::yield();
    });
    auto queued = p.submit([] {});
    begun.wait();
    CHECK_FALSE(p.kill(5ms));
    go = true;
    CHECK(p.kill(10s));
    CHECK(running.successful());
    CHECK_THROWS_AS(queued.get_nowait(), weft::fiber_killed);
    CHECK(p.apply([] { return 2; }) == 2);
}

TEST_CASE("threadpool_jobs_block_signals_and_use_weft") {
    weft::threadpool p(2);
    CHECK(p.apply([] {
        sigset_t now;
        pthread_sigmask(SIG_SETMASK, nullptr, &now);
        return sigismember(&now, SIGINT) == 1 && sigismember(&now, SIGCHLD) == 1;
    }));
    weft::semaphore s(0);
    auto r = p.submit([&] { return s.acquire(10s); }); // a thread without a hub blocks for real
    s.release();
    CHECK(r.get(10s));
    CHECK(p.apply([] { return weft::spawn([] { yield(); return 4; }).get(); }) == 4); // and may have fibers
}

TEST_CASE("threadpool_waiting_for_a_job_is_no_deadlock") {
    weft::threadpool p(1);
    CHECK(p.apply([] {
        std::this_thread::sleep_for(300ms); // longer than the deadlock check waits before it looks again
        return 1;
    }) == 1);
    weft::event never;
    CHECK_THROWS_AS(never.wait(), weft::deadlock_error); // an idle worker wakes nobody
}

TEST_CASE("threadpool_in_the_child_of_a_fork") {
    weft::threadpool p(2);
    CHECK(p.apply([] { return 1; }) == 1);
    std::atomic<bool> go{false};
    std::atomic<int> started{0};
    const auto job = [&] {
        ++started;
        while (!go) std::this_thread::sleep_for(1ms); // as a fork under a sanitizer waits until all others sleep
    };
    auto running = p.submit(job);
    auto more = p.submit(job);
    auto queued = p.submit([] {});
    while (started < 2) weft::this_fiber::sleep_for(1ms);
    const pid_t child = fork();
    if (child == 0) {
        bool fine = p.size() == 0 && queued.ready() && !queued.successful();
#ifndef __SANITIZE_THREAD__ // TSan refuses new threads after the fork of a process with several
        fine = fine && p.apply([] { return 2; }) == 2 && p.size() == 0;
#endif
        _exit(fine ? 0 : 1);
    }
    int status = -1;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(status == 0);
    go = true;
    running.get(10s);
    more.get(10s);
    queued.get(10s);
}

TEST_CASE("threadpool_used_by_several_threads") {
    weft::threadpool p(3);
    std::atomic<int> sum{0};
    const auto use = [&] {
        std::vector<weft::any_fiber> all;
        for (int i = 0; i < 20; ++i) all.push_back(weft::spawn([&] { sum += p.apply([] { return 1; }); }));
        weft::joinall(all);
    };
    std::thread a(use);
    std::thread plain([&] { for (int i = 0; i < 20; ++i) sum += p.apply([] { return 1; }); });
    use();
    a.join();
    plain.join();
    CHECK(sum == 60);
}

namespace {
struct waits final : weft::rt::helper_job {
    std::shared_ptr<std::atomic<bool>> go = std::make_shared<std::atomic<bool>>(false);
    std::atomic<bool> ran{false};
    void run() noexcept override {
        while (!*go) std::this_thread::yield();
        ran = true;
    }
};
} // namespace

TEST_CASE("threadpool_helpers_run_a_job_and_let_an_interrupted_fiber_go") {
    auto job = std::make_shared<waits>();
    bool finished = true;
    auto f = weft::spawn([&] { finished = weft::rt::run_on_helper(job); });
    yield();
    f.kill();
    CHECK_FALSE(finished);
    CHECK_FALSE(job->ran);
    *job->go = true;
    auto second = std::make_shared<waits>();
    *second->go = true;
    CHECK(weft::rt::run_on_helper(second));
    CHECK(second->ran);
}

TEST_CASE("threadpool_destroyed_in_a_fiber_is_no_deadlock") {
    for (int i = 0; i < 50; ++i) {
        auto f = weft::spawn([] {
            weft::threadpool pool(2);
            pool.apply([] {});
        });
        CHECK_NOTHROW(f.join());
    }
}
