// SPDX-License-Identifier: Apache-2.0
// The locks: std's named requirements as concepts, order, owners, and waits that end otherwise.
#include <weft/errors.hpp>
#include <weft/event.hpp>
#include <weft/fiber.hpp>
#include <weft/sync.hpp>
#include <weft/timeout.hpp>

#include <catch2/catch.hpp>

#include <atomic>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using weft::this_fiber::yield;

namespace {

template <class L>
concept basic_lockable = requires(L& l) {
    l.lock();
    l.unlock();
};
template <class L>
concept lockable = basic_lockable<L> && requires(L& l) {
    { l.try_lock() } -> std::same_as<bool>;
};
template <class L>
concept timed_lockable = lockable<L> && requires(L& l) {
    { l.try_lock_for(1ms) } -> std::same_as<bool>;
    { l.try_lock_for(std::chrono::duration<double>(1)) } -> std::same_as<bool>;
    { l.try_lock_until(std::chrono::steady_clock::now()) } -> std::same_as<bool>;
    { l.try_lock_until(std::chrono::system_clock::now()) } -> std::same_as<bool>;
};
template <class L>
concept shared_timed_lockable = requires(L& l) {
    l.lock_shared();
    l.unlock_shared();
    { l.try_lock_shared() } -> std::same_as<bool>;
    { l.try_lock_shared_for(1ms) } -> std::same_as<bool>;
    { l.try_lock_shared_until(std::chrono::steady_clock::now()) } -> std::same_as<bool>;
};
template <class T>
concept stays_in_place = std::is_nothrow_destructible_v<T> && !std::is_copy_constructible_v<T> && !std::is_copy_assignable_v<T> &&
                         !std::is_move_constructible_v<T> && !std::is_move_assignable_v<T>;
template <class T>
concept mutex_like = stays_in_place<T> && std::is_default_constructible_v<T> && noexcept(std::declval<T&>().unlock());

static_assert(mutex_like<weft::mutex> && timed_lockable<weft::mutex>);
static_assert(mutex_like<weft::recursive_mutex> && timed_lockable<weft::recursive_mutex>);
static_assert(mutex_like<weft::shared_mutex> && timed_lockable<weft::shared_mutex> && shared_timed_lockable<weft::shared_mutex>);
static_assert(stays_in_place<weft::condition_variable> && std::is_default_constructible_v<weft::condition_variable>);
static_assert(lockable<weft::semaphore> && lockable<weft::bounded_semaphore>);

constinit weft::mutex before_main;
constinit weft::recursive_mutex recursive_before_main;
constinit weft::shared_mutex shared_before_main;

} // namespace

TEMPLATE_TEST_CASE("locks_work_with_std_guards", "", weft::mutex, weft::recursive_mutex, weft::shared_mutex) {
    TestType a;
    TestType b;
    const auto is_free = [](TestType& l) { // seen by somebody else
        return weft::spawn([&] {
                   if (!l.try_lock()) return false;
                   l.unlock();
                   return true;
               }).get();
    };
    {
        const std::lock_guard hold(a);
        CHECK_FALSE(is_free(a));
    }
    {
        const std::scoped_lock both(a, b);
        CHECK_FALSE(is_free(a));
        CHECK_FALSE(is_free(b));
    }
    std::lock(a, b);
    a.unlock();
    b.unlock();
    CHECK(std::try_lock(a, b) == -1);
    b.unlock();
    std::unique_lock first(a, std::adopt_lock);
    CHECK(first.owns_lock());
    first.unlock();
    std::unique_lock timed(a, 5ms);
    CHECK(timed.owns_lock());
    weft::event tried;
    auto other = weft::spawn([&] {
        std::unique_lock late(a, 5ms);
        CHECK_FALSE(late.owns_lock());
        CHECK_FALSE(late.try_lock_until(std::chrono::system_clock::now() + 5ms));
        CHECK_FALSE(a.try_lock_for(-1s));
        CHECK_FALSE(a.try_lock());
        tried.set();
        late.lock();
        CHECK(late.owns_lock());
    });
    CHECK(tried.wait(10s));
    timed.unlock();
    CHECK(other.join(10s));
    CHECK(is_free(a));
}

TEMPLATE_TEST_CASE("locks_hand_over_in_order", "", weft::mutex, weft::recursive_mutex, weft::shared_mutex) {
    TestType l;
    std::vector<int> order;
    std::vector<weft::any_fiber> all;
    l.lock();
    for (int i = 0; i < 6; ++i)
        all.push_back(weft::spawn([&, i] {
            const std::lock_guard hold(l);
            order.push_back(i);
            yield();
        }));
    yield();
    all[2].kill();
    l.unlock();
    CHECK_FALSE(weft::spawn([&] { return l.try_lock(); }).get()); // handed over, not free
    weft::joinall(all);
    CHECK(order == std::vector{0, 1, 3, 4, 5});
}

TEMPLATE_TEST_CASE("locks_between_hubs_and_threads", "", weft::mutex, weft::recursive_mutex, weft::shared_mutex) {
    TestType l;
    int inside = 0; // plain: the lock guards it
    long count = 0;
    std::atomic<int> broken{0};
    constexpr int each = 2000;
    const auto work = [&] {
        for (int i = 0; i < each; ++i) {
            if (i % 7 == 0) {
                std::unique_lock hold(l, std::chrono::microseconds(i % 50));
                if (!hold.owns_lock()) hold.lock();
                if (++inside != 1) ++broken;
                ++count;
                --inside;
            } else {
                const std::lock_guard hold(l);
                if (++inside != 1) ++broken;
                ++count;
                if (i % 100 == 0) std::this_thread::yield();
                --inside;
            }
        }
    };
    std::thread plain(work);
    std::thread hub([&] {
        auto f = weft::spawn(work);
        auto g = weft::spawn(work);
        weft::joinall({f, g});
    });
    auto f = weft::spawn(work);
    auto g = weft::spawn(work);
    weft::joinall({f, g});
    plain.join();
    hub.join();
    CHECK(count == 5L * each);
    CHECK(broken == 0);
}

TEST_CASE("recursive_mutex_belongs_to_its_fiber") {
    weft::recursive_mutex l;
    l.lock();
    CHECK(l.try_lock());
    CHECK(l.try_lock_for(1ms));
    auto f = weft::spawn([&] {
        if (l.try_lock()) return 0;
        const std::lock_guard hold(l);
        const std::lock_guard again(l);
        return 2;
    });
    yield();
    l.unlock();
    l.unlock();
    yield();
    CHECK_FALSE(f.ready());
    l.unlock();
    CHECK(f.get(5s) == 2);
    std::thread([&] {
        const std::lock_guard hold(l);
        CHECK(l.try_lock());
        l.unlock();
    }).join();
    CHECK(l.try_lock());
    l.unlock();
}

TEST_CASE("shared_mutex_readers_together_writers_alone") {
    weft::shared_mutex l;
    std::vector<std::string> log;
    const auto read = [&](const char* name) {
        const std::shared_lock hold(l);
        log.push_back(std::string("+") + name);
        yield();
        yield();
        log.push_back(std::string("-") + name);
    };
    const auto write = [&](const char* name) {
        const std::unique_lock hold(l);
        log.push_back(std::string("+") + name);
        yield();
        log.push_back(std::string("-") + name);
    };
    auto a = weft::spawn(read, "a");
    auto b = weft::spawn(read, "b");
    auto w = weft::spawn(write, "w");
    auto c = weft::spawn(read, "c");
    auto d = weft::spawn(read, "d");
    weft::joinall({a, b, w, c, d});
    CHECK(log == std::vector<std::string>{"+a", "+b", "-a", "-b", "+w", "-w", "+c", "+d", "-c", "-d"});
}

TEST_CASE("shared_mutex_a_writer_that_leaves_lets_readers_in") {
    weft::shared_mutex l;
    l.lock_shared();
    auto writer = weft::spawn([&] { return l.try_lock_for(20ms); });
    auto killed = weft::spawn([&] { l.lock(); });
    yield();
    CHECK_FALSE(l.try_lock_shared()); // it comes after the writers
    auto reader = weft::spawn([&] {
        const std::shared_lock hold(l);
        return true;
    });
    auto timed = weft::spawn([&] { return l.try_lock_shared_for(0ms); });
    yield();
    CHECK_FALSE(timed.get(5s));
    CHECK_FALSE(reader.ready());
    killed.kill();
    CHECK(reader.get(10s)); // once the first writer's time is up, while we still read
    CHECK_FALSE(writer.get(5s));
    l.unlock_shared();
    CHECK(l.try_lock());
    l.unlock();
}

TEST_CASE("shared_mutex_between_hubs_and_threads") {
    weft::shared_mutex l;
    std::atomic<int> readers{0};
    std::atomic<int> writers{0};
    std::atomic<int> broken{0};
    std::atomic<int> most{0};
    const auto work = [&](int seed) {
        for (int i = 0; i < 1500; ++i) {
            if ((i + seed) % 5 == 0) {
                std::unique_lock hold(l, std::defer_lock);
                if (i % 2 == 0) hold.lock();
                else if (!hold.try_lock_for(30us)) continue;
                if (++writers != 1 || readers != 0) ++broken;
                --writers;
            } else {
                std::shared_lock hold(l, std::defer_lock);
                if (i % 2 == 0) hold.lock();
                else if (!hold.try_lock_for(30us)) continue;
                const int now = ++readers;
                if (writers != 0) ++broken;
                if (now > most) most = now;
                if (i % 64 == 0) yield();
                --readers;
            }
        }
    };
    std::thread plain(work, 1);
    std::thread hub([&] {
        auto f = weft::spawn(work, 2);
        auto g = weft::spawn(work, 3);
        weft::joinall({f, g});
    });
    auto f = weft::spawn(work, 4);
    auto g = weft::spawn(work, 5);
    weft::joinall({f, g});
    plain.join();
    hub.join();
    CHECK(broken == 0);
    CHECK(l.try_lock());
    l.unlock();
}

TEST_CASE("locks_made_before_main") {
    const std::scoped_lock all(before_main, recursive_before_main, shared_before_main);
    CHECK_FALSE(before_main.try_lock());
}
