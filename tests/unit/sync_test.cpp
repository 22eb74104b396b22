// SPDX-License-Identifier: Apache-2.0
#include <weft/errors.hpp>
#include <weft/fiber.hpp>
#include <weft/sync.hpp>
#include <weft/timeout.hpp>

#include <catch2/catch.hpp>

#include <atomic>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

using namespace std::chrono_literals;
using weft::this_fiber::yield;

namespace {

template <class L>
concept timed_lockable = requires(L& l) {
    l.lock();
    { l.try_lock() } -> std::same_as<bool>;
    { l.try_lock_for(1ms) } -> std::same_as<bool>;
    { l.try_lock_until(std::chrono::steady_clock::now()) } -> std::same_as<bool>;
    l.unlock();
};
static_assert(timed_lockable<weft::mutex>);
static_assert(!std::copy_constructible<weft::mutex> && !std::move_constructible<weft::semaphore>);
static_assert(!std::move_constructible<weft::condition_variable>);

/// Waits for what another kernel thread does; false after ten seconds.
template <class Condition>
bool eventually(Condition holds) {
    for (const weft::deadline end = 10s; !end.expired(); yield())
        if (holds()) return true;
    return false;
}

} // namespace

// --- semaphore ---

TEST_CASE("semaphore_hands_over_in_order") {
    weft::semaphore s(0);
    std::vector<int> order;
    std::vector<weft::any_fiber> all;
    for (int i = 0; i < 5; ++i)
        all.push_back(weft::spawn([&, i] {
            CHECK(s.acquire());
            order.push_back(i);
        }));
    yield();
    s.release(2);
    CHECK_FALSE(s.try_acquire()); // both are handed over already: nobody overtakes
    CHECK(s.count() == 0);
    yield();
    CHECK(order == std::vector{0, 1});
    s.release(4);
    weft::joinall(all);
    CHECK(order == std::vector{0, 1, 2, 3, 4});
    CHECK(s.count() == 1);
    CHECK(s.try_acquire());
}

TEST_CASE("semaphore_deadline") {
    weft::semaphore s(1);
    CHECK(s.acquire(-1s)); // a past deadline takes what is there
    CHECK_FALSE(s.acquire(-1s));
    const auto before = std::chrono::steady_clock::now();
    CHECK_FALSE(s.try_acquire_for(20ms));
    CHECK(std::chrono::steady_clock::now() - before >= 20ms);
    CHECK_FALSE(s.try_acquire_until(std::chrono::steady_clock::now()));
    s.release();
    CHECK(s.count() == 1);
}

TEST_CASE("semaphore_killed_waiter_swallows_nothing") {
    weft::semaphore s(0);
    bool second = false;
    auto victim = weft::spawn([&] { s.acquire(); });
    auto other = weft::spawn([&] { second = s.acquire(); });
    yield();
    victim.kill_async();
    s.release();
    other.join(1s);
    CHECK(second);
    CHECK(victim.join(1s));
    CHECK_FALSE(victim.successful());
    CHECK(s.count() == 0);
}

TEST_CASE("semaphore_release_before_kill_is_kept") {
    weft::semaphore s(0);
    bool got = false;
    auto f = weft::spawn([&] { got = s.acquire(); s.release(); yield(); });
    yield();
    s.release();
    f.kill(); // after the hand-off: the call returns, the next one throws
    CHECK(got);
    CHECK(s.count() == 1);
}

TEST_CASE("semaphore_timeout_scope_interrupts") {
    weft::semaphore s(0);
    weft::timeout limit(10ms);
    CHECK_THROWS_AS(s.acquire(), weft::timeout_error);
    limit.cancel();
    s.release();
    CHECK(s.acquire());
}

TEST_CASE("semaphore_is_waitable") {
    weft::semaphore a(0);
    weft::semaphore b(0);
    auto f = weft::spawn([&] { b.release(); });
    const auto ready = weft::wait({a, b}, 5s, 1);
    REQUIRE(ready.size() == 1);
    CHECK(ready[0] == static_cast<weft::waitable>(b));
    CHECK(b.count() == 1); // nothing was taken
}

TEST_CASE("semaphore_between_kernel_threads") {
    weft::semaphore to_thread(0);
    weft::semaphore to_fiber(0);
    constexpr int rounds = 2000;
    std::thread t([&] { // no hub: it blocks for real
        for (int i = 0; i < rounds; ++i) {
            to_thread.acquire();
            to_fiber.release();
        }
    });
    int turns = 0;
    auto other = weft::spawn([&] {
        for (;; yield()) ++turns;
    });
    for (int i = 0; i < rounds; ++i) {
        to_thread.release();
        to_fiber.acquire();
    }
    t.join();
    other.kill();
    CHECK(turns > 0);
}

TEST_CASE("semaphore_deadlock_is_an_error") {
    weft::semaphore s(0);
    CHECK_THROWS_AS(s.acquire(), weft::deadlock_error);
    s.release();
    CHECK(s.acquire());
}

// --- mutex ---

TEST_CASE("mutex_with_std_locks") {
    weft::mutex a;
    weft::mutex b;
    {
        std::scoped_lock both(a, b);
        CHECK_FALSE(a.try_lock());
        std::unique_lock third(b, std::defer_lock);
        CHECK_FALSE(third.try_lock_for(5ms));
    }
    std::unique_lock x(a, std::defer_lock);
    std::unique_lock y(b, std::defer_lock);
    std::lock(x, y);
    CHECK(x.owns_lock());
    CHECK(y.owns_lock());
}

TEST_CASE("mutex_is_handed_over_in_order") {
    weft::mutex m;
    std::vector<int> order;
    std::vector<weft::any_fiber> all;
    m.lock();
    for (int i = 0; i < 10; ++i)
        all.push_back(weft::spawn([&, i] {
            const std::lock_guard hold(m);
            order.push_back(i);
            yield();
        }));
    yield();
    m.unlock();
    CHECK_FALSE(m.try_lock());
    weft::joinall(all);
    CHECK(order == std::vector{0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
    CHECK(m.try_lock());
    m.unlock();
}

TEST_CASE("mutex_killed_and_timed_out_waiters") {
    weft::mutex m;
    m.lock();
    bool late = false;
    bool entered = false;
    auto victim = weft::spawn([&] { const std::lock_guard hold(m); entered = true; });
    auto timed = weft::spawn([&] { late = !m.try_lock_for(5ms); });
    auto scoped = weft::spawn([&] { weft::with_timeout(5ms, [&] { m.lock(); }); });
    yield();
    victim.kill();
    CHECK_FALSE(entered);
    timed.join();
    CHECK(late);
    CHECK_THROWS_AS(scoped.get(), weft::timeout_error);
    m.unlock();
    CHECK(m.try_lock());
    m.unlock();
}

TEST_CASE("mutex_excludes_on_several_hubs_and_threads") {
    const auto seed = std::random_device()();
    INFO("seed " << seed);
    weft::mutex m;
    long long counter = 0; // guarded by m alone, so that TSan looks on
    int inside = 0;
    std::atomic<int> wrong{0};
    std::atomic<long long> expected{0};
    const auto work = [&](unsigned salt) {
        std::minstd_rand random(seed + salt);
        for (int i = 0; i < 300; ++i) {
            std::unique_lock hold(m, std::defer_lock);
            if (random() % 4 == 0) {
                if (!hold.try_lock_for(std::chrono::microseconds(random() % 200))) continue;
            } else {
                hold.lock();
            }
            if (++inside != 1) ++wrong;
            ++counter;
            ++expected;
            if (random() % 8 == 0) yield();
            --inside;
        }
    };
    const auto hub_thread = [&](unsigned salt) {
        std::vector<weft::any_fiber> all;
        for (unsigned i = 0; i < 8; ++i) all.push_back(weft::spawn(work, salt + i));
        weft::joinall(all);
    };
    std::thread first(hub_thread, 100);
    std::thread second(hub_thread, 200);
    std::thread plain(work, 300);
    hub_thread(400);
    first.join();
    second.join();
    plain.join();
    CHECK(wrong == 0);
    CHECK(counter == expected);
    CHECK(m.try_lock());
    m.unlock();
}

TEST_CASE("kill_from_another_thread_while_waiting") {
    weft::mutex m;
    m.lock();
    std::atomic<bool> waiting{false};
    auto f = weft::spawn([&] { waiting = true; m.lock(); });
    yield();
    REQUIRE(waiting);
    std::thread t([f] { f.kill_async(); });
    CHECK(f.join(10s));
    t.join();
    m.unlock();
    CHECK(eventually([&] { return m.try_lock(); }));
    m.unlock();
}

TEST_CASE("semaphore_after_fork_hands_nothing_to_the_dead") {
    weft::semaphore s(0);
    std::atomic<bool> parked{false};
    auto here = weft::spawn([&] { s.acquire(); });
    std::thread there([&] {
        auto f = weft::spawn([&] { s.acquire(); });
        yield();
        parked = true; // and this thread has done with the semaphore until it is released
        f.join();
    });
    REQUIRE(eventually([&] { return parked.load(); }));
    const pid_t child = fork();
    if (child == 0) {
        s.release(2);
        _exit(s.count() == 2 && s.try_acquire() ? 0 : 1);
    }
    int status = -1;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(status == 0);
    s.release(2);
    here.join();
    there.join();
}
