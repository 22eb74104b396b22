// SPDX-License-Identifier: Apache-2.0
// What people write with gevent, greenlet, generators, threading, queue and asyncio, as it is written here: fibers, locks, events, queues.
#include <weft/weft.hpp>

#include <catch2/catch.hpp>

#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using weft::this_fiber::sleep_for;
using weft::this_fiber::yield;

TEST_CASE("gevent_spawn_joinall_wait_iwait_kill_sleep_timeout") {
    auto square = [](int n) { return n * n; };
    auto a = weft::spawn(square, 3);
    auto b = weft::spawn_later(1ms, square, 4);
    CHECK(weft::joinall({a, b}).size() == 2); // gevent.joinall([a, b])
    CHECK(a.get() + b.get() == 25);
    auto me = weft::this_fiber::self(); // gevent.getcurrent()
    CHECK(me.name() == "main");
    auto slow = weft::spawn([] { sleep_for(1h); });
    auto quick = weft::spawn([] { sleep_for(1ms); });
    CHECK(weft::wait({slow, quick}, 10s, 1) == std::vector<weft::waitable>{quick}); // gevent.wait(objects, timeout, count)
    for (auto& ready : weft::iwait({quick})) CHECK(ready == quick);
    CHECK(weft::killall({slow, quick}));
    CHECK(slow.dead());
    weft::idle();
    {
        weft::timeout limit(2ms); // with gevent.Timeout(0.002):
        try {
            sleep_for(1h);
            FAIL("it was not interrupted");
        } catch (const weft::timeout_error& e) {
            CHECK(e.is(limit));
        }
    }
    CHECK(weft::with_timeout(2ms, weft::value_on_timeout{-1}, [] { return sleep_for(1h), 1; }) == -1);
    CHECK(weft::with_timeout(2ms, weft::value_on_timeout{-1}, [] { sleep_for(1h); }) == -1); // gevent: None, or the value
    weft::wait(); // gevent.wait()
}

TEST_CASE("gevent_greenlet_join_get_kill_link_ready_successful_dead_value_exception_name") {
    weft::event never;
    auto ok = weft::spawn({.name = "ok"}, [] { return std::string("value"); });
    auto bad = weft::spawn([]() -> int { throw std::runtime_error("bad"); });
    auto killed = weft::spawn([&] { never.wait(); });
    std::vector<std::string> log;
    ok.link([&](const weft::any_fiber& f) { log.push_back("link " + f.name()); });
    ok.link_value([&](const weft::fiber<std::string>& f) { log.push_back(f.get()); });
    bad.link_exception([&](const weft::any_fiber&) { log.push_back("exception"); });
    CHECK_FALSE(ok.ready());
    CHECK(ok.join(10s));
    yield();
    CHECK(killed.kill());
    weft::wait(10s);
    CHECK(ok.ready());
    CHECK(ok.successful());
    CHECK(ok.dead());
    CHECK(ok.get() == "value");
    CHECK(ok.name() == "ok");
    CHECK_FALSE(bad.successful());
    CHECK(bad.exception() != nullptr);
    CHECK_THROWS_AS(bad.get(), std::runtime_error);
    CHECK_THROWS_AS(killed.get(), weft::fiber_killed); // gevent: GreenletExit as the value
    CHECK(std::multiset<std::string>(log.begin(), log.end()) == std::multiset<std::string>{"link ok", "value", "exception"});
}

TEST_CASE("gevent_queue_lifo_priority_joinable_channel_and_select") {
    weft::queue<int> q(2);
    q.put(1);
    q.put_nowait(2);
    CHECK(q.full());
    CHECK_THROWS_AS(q.put(3, 1ms), weft::queue_full); // Full
    CHECK(q.peek() == 1);
    CHECK(q.size() == 2); // qsize()
    CHECK(q.get() == 1);
    CHECK(q.get_nowait() == 2);
    CHECK(q.empty());
    CHECK_THROWS_AS(q.get_nowait(), weft::queue_empty); // Empty
    weft::lifo_queue<int> lifo;
    weft::priority_queue<std::pair<int, std::string>> priorities;
    for (int i = 0; i < 3; ++i) lifo.put(i), priorities.put({3 - i, "x"});
    CHECK(lifo.get() == 2);
    CHECK(priorities.get().first == 1);
    weft::channel<int> channel;
    auto producer = weft::spawn([&] {
        for (int i = 0; i < 3; ++i) channel.put(i);
        channel.shutdown(); // gevent: StopIteration
    });
    int sum = 0;
    for (const int v : channel) sum += v;
    CHECK(sum == 3);
    weft::joinable_queue<int> jobs;
    auto worker = weft::spawn([&] {
        for (const int job : jobs) {
            (void)job;
            jobs.task_done();
        }
    });
    for (int i = 0; i < 10; ++i) jobs.put(i);
    CHECK(jobs.join(10s));
    jobs.shutdown();
    CHECK_THROWS_AS(jobs.put(1), weft::queue_shutdown); // ShutDown
    worker.join();
    CHECK(weft::select(weft::on_get(q, [](int) {}), weft::on_put(q, 5), weft::on_timeout(1s)) == 1); // gevent has none
}

TEST_CASE("gevent_lock_semaphore_rlock_event_async_result_local") {
    weft::semaphore places(2);
    {
        const std::scoped_lock hold(places); // with semaphore:
        CHECK(places.count() == 1);
    }
    weft::bounded_semaphore bounded(1);
    CHECK_THROWS_AS(bounded.release(), std::logic_error); // ValueError
    weft::recursive_mutex rlock;
    const std::scoped_lock twice(rlock);
    const std::scoped_lock again(rlock);
    weft::event event;
    auto waits = weft::spawn([&] { return event.wait(10s); });
    yield();
    event.set();
    CHECK(event.is_set());
    CHECK(waits.get());
    event.clear();
    CHECK_FALSE(event.wait(1ms));
    weft::async_result<int> result;
    weft::spawn([=] { result.set(3); });
    CHECK(result.get(10s) == 3);
    CHECK(result.ready());
    weft::fiber_local<int> local; // local.local()
    *local = 1;
    CHECK(weft::spawn([&] { return *local; }).get() == 0);
}

TEST_CASE("greenlet_switch_back_and_forth") {
    std::string log;
    weft::coroutine<std::string, std::string> other([&](auto& parent, std::string z) { // gr = greenlet(f)
        log += z;
        const std::string u = parent("answer ");
        log += u;
        return std::string("end");
    });
    log += other.resume("hello "); // gr.switch("hello ")
    log += other.resume("again ");
    CHECK(log == "hello answer again end");
    CHECK(other.done()); // gr.dead
}

TEST_CASE("generators_producer_consumer_by_yield_and_send") {
    weft::coroutine<int, double> average([](auto& yield_, int n) { // running average: send(n)
        double sum = 0;
        for (int count = 1;; ++count) {
            sum += n;
            n = yield_(sum / count);
        }
    });
    CHECK(average.resume(10) == 10);
    CHECK(average.resume(20) == 15);
    weft::generator<int> fibonacci([](auto& give) {
        for (int a = 0, b = 1;; a = std::exchange(b, a + b)) give(a);
    });
    std::vector<int> first;
    for (const int n : fibonacci) {
        if (n > 20) break;
        first.push_back(n);
    }
    CHECK(first == std::vector{0, 1, 1, 2, 3, 5, 8, 13});
}

TEST_CASE("threading_lock_rlock_event_condition_semaphore_barrier_with_lock") {
    weft::mutex lock;
    weft::condition_variable condition;
    std::vector<int> items;
    weft::barrier barrier(3);
    std::thread plain([&] { // fibers and threads share them
        barrier.wait();
        const std::scoped_lock hold(lock); // with condition:
        items.push_back(1);
        condition.notify_one();
    });
    auto consumer = weft::spawn([&] {
        barrier.wait();
        std::unique_lock hold(lock);
        condition.wait(hold, [&] { return !items.empty(); }); // wait_for(predicate)
        return items.back();
    });
    CHECK(barrier.wait(10s));
    CHECK(consumer.get(10s) == 1);
    plain.join();
    CHECK(weft::hub::fibers().size() >= 1); // enumerate()
}

TEST_CASE("threading_timer") {
    int rung = 0;
    auto timer = weft::spawn_later(1ms, [&] { ++rung; });
    auto cancelled = weft::spawn_later(1h, [&] { ++rung; });
    CHECK(cancelled.kill()); // cancel()
    CHECK(timer.join(10s));
    CHECK(rung == 1);
}

TEST_CASE("queue_between_threads") {
    weft::queue<int> q(3);
    long sum = 0;
    std::thread producer([&] {
        for (int i = 1; i <= 100; ++i) q.put(i);
        q.join();
        q.shutdown();
    });
    auto consumer = weft::spawn([&] {
        for (const int v : q) {
            sum += v;
            q.task_done();
        }
    });
    CHECK(consumer.join(20s));
    producer.join();
    CHECK(sum == 5050);
}

TEST_CASE("asyncio_run_create_task_gather_wait_for_sleep_queue_lock_semaphore") {
    const auto fetch = [](int n) {
        sleep_for(1ms); // await asyncio.sleep
        return n * 10;
    };
    const auto [a, b, c] = weft::gather(weft::spawn(fetch, 1), weft::spawn(fetch, 2), weft::spawn([] {}));
    CHECK(a + b == 30);
    CHECK(c == std::monostate());
    CHECK_THROWS_AS(weft::with_timeout(1ms, [] { sleep_for(1h); }), weft::timeout_error); // wait_for
    CHECK_THROWS_AS(weft::gather(weft::spawn([] { sleep_for(1h); }), weft::spawn([] { throw std::out_of_range("x"); })), std::out_of_range);
}
