// SPDX-License-Identifier: Apache-2.0
// Every call of groups, pools, threads, processes and programs that waits: a deadline in the past polls, a deadline ends it, a timeout scope
// ends it, a kill ends it; and afterwards all is as it was.
#include <weft/errors.hpp>
#include <weft/event.hpp>
#include <weft/process.hpp>
#include <weft/subprocess.hpp>
#include <weft/threadpool.hpp>
#include <weft/timeout.hpp>

#include "support/child_process.hpp"
#include "support/waiting_calls.hpp"

#include <catch2/catch.hpp>

#include <csignal>
#include <functional>
#include <string>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using test_support::takes;
using test_support::throws;
using weft::deadline;
using weft::this_fiber::sleep_for;

#if defined(__SANITIZE_THREAD__)
// As in process_test.cpp.
extern "C" const char* __tsan_default_suppressions() {
    return "race:libweft\nrace:work_waits_test\n";
}
#endif

namespace {

struct waiting_call {
    const char* name;
    takes what;
    std::function<bool(deadline)> gives_up; // true: it says that the deadline came first
};

void check(const std::vector<waiting_call>& calls) {
    for (const waiting_call& c : calls) {
        INFO(c.name);
        const auto begin = std::chrono::steady_clock::now();
        if (c.what == takes::a_deadline) {
            CHECK(c.gives_up(-1s));
            CHECK(c.gives_up(0s));
            CHECK(c.gives_up(2ms));
            CHECK(c.gives_up(std::chrono::system_clock::now() + 1ms));
        }
        bool ended = false; // by the scope, whose error some of the calls take for the deadline's
        try {
            ended = weft::with_timeout(2ms, [&] { return c.gives_up({}); });
        } catch (const weft::timeout_error&) {
            ended = true;
        }
        CHECK(ended);
        if (c.what == takes::a_deadline) { // the same on a kernel thread without a hub; Catch2's checks are for the main thread only
            bool gave_up = false;
            std::thread([&] {
                gave_up = c.gives_up(-1s) && c.gives_up(2ms);
                try {
                    gave_up = weft::with_timeout(2ms, [&] { return c.gives_up({}); }) && gave_up;
                } catch (const weft::timeout_error&) {
                }
            }).join();
            CHECK(gave_up);
        }
        auto f = weft::spawn([&] { c.gives_up({}); });
        sleep_for(1ms);
        CHECK_FALSE(f.ready());
        CHECK(f.kill(30s));
        CHECK_THROWS_AS(f.get(), weft::fiber_killed);
        CHECK(std::chrono::steady_clock::now() - begin < 50s);
    }
}

} // namespace

TEST_CASE("waits_of_groups_and_pools") {
    weft::group busy;
    weft::pool full(1);
    auto sleeper = busy.spawn([] { sleep_for(1h); });
    full.spawn([] { sleep_for(1h); });
    const std::vector<int> numbers{1, 2, 3};
    const auto same = [](int n) { return n; };
    check({
        {"group.join", takes::a_deadline, [&](deadline d) { return !busy.join(d); }},
        {"group.join with raise_error", takes::a_deadline, [&](deadline d) { return !busy.join(d, true); }},
        {"pool.wait_available", takes::a_deadline, [&](deadline d) { return !full.wait_available(d); }},
        {"pool.spawn", takes::none, [&](deadline) { return full.spawn([] {}), false; }},
        {"pool.add", takes::none, [&](deadline) { return full.add(sleeper), false; }},
        {"pool.apply", takes::none, [&](deadline) { return full.apply([] { return false; }); }},
        {"group.apply", takes::none, [&](deadline) { return busy.apply([] { return sleep_for(1h), false; }); }},
        {"pool.map", takes::none, [&](deadline) { return full.map(same, numbers).empty(); }},
        {"pool.map_async().get", takes::a_deadline, [&](deadline d) {
            auto f = full.map_async(same, numbers);
            const bool late = throws<weft::timeout_error>([&] { f.get(d); });
            return f.kill() && late;
        }},
        {"pool.imap", takes::none, [&](deadline) {
            for (int n : full.imap(same, numbers)) (void)n;
            return false;
        }},
        {"pool.imap_unordered", takes::none, [&](deadline) {
            for (int n : full.imap_unordered(same, numbers, 1)) (void)n;
            return false;
        }},
    });
    // What apply had waiting goes with the pool; nothing of the others is left.
    CHECK(busy.killone(sleeper, 20s));
    CHECK(busy.kill(20s));
    CHECK(full.kill(20s));
    CHECK(full.free_count() == 1);
    CHECK(full.apply([] { return 5; }) == 5);
}

TEST_CASE("waits_of_threadpools") {
    weft::event go;
    weft::threadpool one(1);
    auto job = one.spawn([&] { go.wait(); });
    const std::vector<int> numbers{1, 2, 3};
    const auto same = [](int n) { return n; };
    check({
        {"threadpool.join", takes::a_deadline, [&](deadline d) { return !one.join(d); }},
        {"threadpool.wait_available", takes::a_deadline, [&](deadline d) { return !one.wait_available(d); }},
        {"result.get", takes::a_deadline, [&](deadline d) { return throws<weft::timeout_error>([&] { job.get(d); }) || job.ready(); }},
        {"result.wait", takes::a_deadline, [&](deadline d) { return !job.wait(d); }},
        {"threadpool.spawn", takes::none, [&](deadline) { return one.spawn([] {}), false; }},
        {"threadpool.apply", takes::none, [&](deadline) { return one.apply([] { return false; }); }},
        {"threadpool.map", takes::none, [&](deadline) { return one.map(same, numbers).empty(); }},
        {"threadpool.imap_unordered", takes::none, [&](deadline) {
            for (int n : one.imap_unordered(same, numbers)) (void)n;
            return false;
        }},
        {"threadpool.kill", takes::a_deadline, [&](deadline d) { return !one.kill(d); }},
    });
    go.set();
    CHECK(one.join(20s));
    CHECK(one.apply([] { return 5; }) == 5);
}

TEST_CASE("waits_of_processes") {
    const weft::process asleep = weft::process::spawn({.daemon = true}, [] { sleep_for(1h); });
    auto [a, b] = weft::pipe<std::string>();
    const std::string part(60000, 'p');
    while (!throws<weft::timeout_error>([&] { b.send(part, 0s); })) {}
    auto [c, d_end] = weft::pipe<int>();
    weft::process_queue<int> empty, full(1);
    full.put(1);
    weft::process_mutex locked;
    locked.lock();
    weft::process_semaphore none(0);
    weft::shared_value<int> value(1);
    value.lock();
    check({
        {"process.join", takes::a_deadline, [&](deadline d) { return !asleep.join(d); }},
        {"wait for a process", takes::a_deadline, [&](deadline d) { return weft::wait({weft::waitable(asleep)}, d).empty(); }},
        {"pipe.send", takes::a_deadline, [&](deadline d) { return throws<weft::timeout_error>([&] { b.send(part, d); }); }},
        {"pipe.recv", takes::a_deadline, [&](deadline d) { return throws<weft::timeout_error>([&] { c.recv(d); }); }},
        {"pipe.poll", takes::a_deadline, [&](deadline d) { return !c.poll(d); }},
        {"process_queue.get", takes::a_deadline, [&](deadline d) { return throws<weft::queue_empty>([&] { empty.get(d); }); }},
        {"process_queue.put", takes::a_deadline, [&](deadline d) { return throws<weft::queue_full>([&] { full.put(2, d); }); }},
        {"process_mutex.lock", takes::none, [&](deadline) { return locked.lock(), false; }},
        {"process_mutex.try_lock_until", takes::a_deadline, [&](deadline d) { return !locked.try_lock_until(d.time()); }},
        {"process_semaphore.acquire", takes::a_deadline, [&](deadline d) { return !none.acquire(d); }},
        {"shared_value.get", takes::none, [&](deadline) { return value.get() == 0; }},
    });
    asleep.kill();
    CHECK(asleep.join(20s));
    locked.unlock();
    CHECK(locked.try_lock());
    none.release();
    CHECK(none.acquire(20s));
    empty.put(3);
    CHECK(empty.get(20s) == 3);
    CHECK(full.get(20s) == 1);
    CHECK_FALSE(full.try_get());
}

TEST_CASE("waits_of_process_pools") {
    weft::process_pool one(1);
    auto job = one.apply_async([] { sleep_for(1h); });
    const std::vector<int> numbers{1, 2, 3};
    const auto same = [](int n) { return n; };
    check({
        {"process_pool.join", takes::a_deadline, [&](deadline d) { return !one.join(d); }},
        {"result.get", takes::a_deadline, [&](deadline d) { return throws<weft::timeout_error>([&] { job.get(d); }); }},
        {"process_pool.apply", takes::none, [&](deadline) { return one.apply([] { return false; }); }},
        {"process_pool.map", takes::none, [&](deadline) { return one.map(same, numbers).empty(); }},
        {"process_pool.imap_unordered", takes::none, [&](deadline) {
            for (int n : one.imap_unordered(same, numbers)) (void)n;
            return false;
        }},
    });
    one.terminate();
    CHECK(one.join(20s));
    CHECK_THROWS_AS(job.get(20s), weft::fiber_killed);
}

TEST_CASE("waits_of_programs") {
    weft::popen asleep({"sleep", "1000"}, {.stdin = weft::popen::pipe, .stdout = weft::popen::pipe});
    const std::string big(1 << 20, 'b');
    check({
        {"popen.wait", takes::a_deadline, [&](deadline d) { return throws<weft::timeout_error>([&] { asleep.wait(d); }); }},
        {"popen.stdout().read", takes::a_deadline, [&](deadline d) { return throws<weft::timeout_error>([&] { asleep.stdout().read(5, d); }); }},
        {"popen.stdout().read_some", takes::a_deadline,
         [&](deadline d) { return throws<weft::timeout_error>([&] { asleep.stdout().read_some(5, d); }); }},
        {"popen.stdout().read_line", takes::a_deadline, [&](deadline d) { return throws<weft::timeout_error>([&] { asleep.stdout().read_line(d); }); }},
        {"popen.stdin().write", takes::a_deadline, [&](deadline d) { return throws<weft::timeout_error>([&] { asleep.stdin().write(big, d); }); }},
        {"popen.communicate", takes::a_deadline, [&](deadline d) { return throws<weft::timeout_error>([&] { asleep.communicate({}, d); }); }},
        {"run", takes::a_deadline, [&](deadline d) { return throws<weft::timeout_error>([&] { weft::run({"sleep", "1000"}, {}, d); }); }},
        {"check_output", takes::a_deadline,
         [&](deadline d) { return throws<weft::timeout_error>([&] { weft::check_output({"sleep", "1000"}, {}, d); }); }},
    });
    asleep.kill();
    CHECK(asleep.wait(20s) == -SIGKILL);
}

TEST_CASE("a_foreign_thread_ends_the_waits") {
    weft::group g;
    weft::event go;
    g.spawn([&] { go.wait(); });
    weft::process_queue<int> q;
    weft::process_mutex m;
    m.lock();
    auto [a, b] = weft::pipe<int>();
    weft::popen p({"cat"}, {.stdin = weft::popen::pipe});
    std::thread other([&] {
        std::this_thread::sleep_for(5ms);
        go.set();
        q.put(1);
        m.unlock();
        a.send(2);
        p.stdin().close();
    });
    CHECK(g.join(30s));
    CHECK(q.get(30s) == 1);
    CHECK(m.try_lock_for(30s));
    CHECK(b.recv(30s) == 2);
    CHECK(p.wait(30s) == 0);
    other.join();
}

TEST_CASE("a_group_that_nobody_can_end_is_a_deadlock") {
    weft::group g;
    weft::event never;
    g.spawn([&] { never.wait(); });
    CHECK_THROWS_AS(g.join(), weft::deadlock_error);
    weft::pool full(1);
    full.spawn([&] { never.wait(); });
    CHECK_THROWS_AS(full.spawn([] {}), weft::deadlock_error);
    CHECK_THROWS_AS(full.wait_available(), weft::deadlock_error);
    CHECK_THROWS_AS(full.map([](int n) { return n; }, std::vector{1}), weft::deadlock_error);
    never.set();
    CHECK(g.join(20s));
    CHECK(full.join(20s));
}

// TSan's own kernel thread is not counted right in a child of fork that makes threads: none is told there (see deadlock_test).
#if !defined(__SANITIZE_THREAD__)
TEST_CASE("who_has_dropped_a_program_may_be_deadlocked") {
    const auto r = test_support::run_in_child([] {
        weft::popen sleeper({"sleep", "1000"});
        const pid_t pid = sleeper.pid();
        sleeper = weft::popen();
        bool told = false;
        try {
            weft::event().wait();
        } catch (const weft::deadlock_error&) {
            told = true;
        }
        ::kill(pid, SIGKILL);
        test_support::must(told);
    }, 30s);
    INFO(r.err);
    CHECK(r.exit_code() == 0);
}
#endif
