// SPDX-License-Identifier: Apache-2.0
// The C++ library's own waits, which make futex calls by number, between fibers of one hub and of several.
#include "ticker.hpp"

#include <catch2/catch.hpp>

#include <atomic>
#include <barrier>
#include <csignal>
#include <future>
#include <latch>
#include <mutex>
#include <semaphore>
#include <sys/wait.h>
#include <thread>
#include <vector>

using namespace shim_test;

namespace {

void check_blocked(const outcome& o) {
    CHECK(o.time >= blocking_time - 5ms);
    CHECK(o.time < blocking_time + 2s);
    CHECK(o.ticks >= 10);
}

int made = 0;

template <int n>
int slow_static() {
    static const int value = [] {
        weft::this_fiber::sleep_for(blocking_time);
        return ++made;
    }();
    return value;
}

} // namespace

TEST_CASE("a static whose initialiser waits is made once, and the others wait for it") {
    made = 0;
    weft::fiber<int> first = weft::spawn(slow_static<1>);
    const outcome o = in_fiber([] { return long{slow_static<1>()}; });
    CHECK(o.result == 1);
    CHECK(o.ticks >= 5);
    CHECK(first.get() == 1);
    CHECK(made == 1);
}

TEST_CASE("a static whose initialiser throws is tried again by who waited for it") {
    static int tries = 0;
    const auto get = [] {
        static const int value = [] {
            weft::this_fiber::sleep_for(20ms);
            if (++tries == 1) throw std::runtime_error("not yet");
            return tries;
        }();
        return value;
    };
    auto first = weft::spawn(get);
    weft::this_fiber::yield();
    auto second = weft::spawn(get);
    CHECK_THROWS_AS(first.get(), std::runtime_error);
    CHECK(second.get() == 2);
}

TEST_CASE("a static that needs itself ends the program, as ever") {
    struct own {
        static int get(int depth) {
            static const int value = depth == 0 ? 1 : get(depth - 1);
            return value;
        }
    };
    const pid_t child = ::fork();
    if (child == 0) {
        ::alarm(10);
        ::signal(SIGABRT, SIG_DFL); // Catch's
        ::close(2);                 // the compiler takes it that this does not throw
        ::_exit(own::get(1));
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status));
    CHECK(WTERMSIG(status) == SIGABRT);
}

TEST_CASE("std::atomic::wait") {
    std::atomic<int> small{0};
    const outcome o = in_fiber([&] { small.wait(0); return long{small}; }, [&] { small = 7; small.notify_one(); });
    CHECK(o.result == 7);
    check_blocked(o);
    std::atomic<long> wide{0}; // waits for a word of the library's own
    const outcome w = in_fiber([&] { wide.wait(0); return wide.load(); }, [&] { wide = 8; wide.notify_all(); });
    CHECK(w.result == 8);
    check_blocked(w);
    std::atomic_flag flag;
    const outcome f = in_fiber([&] { flag.wait(false); return 1L; }, [&] { flag.test_and_set(); flag.notify_all(); });
    CHECK(f.result == 1);
    check_blocked(f);
}

TEST_CASE("std::latch, std::barrier and std::counting_semaphore") {
    std::latch gate(2);
    const outcome l = in_fiber([&] { gate.arrive_and_wait(); return 1L; }, [&] { gate.count_down(); });
    CHECK(l.result == 1);
    check_blocked(l);
    std::barrier<> meeting(2);
    const outcome b = in_fiber([&] { meeting.arrive_and_wait(); return 1L; }, [&] { meeting.arrive_and_wait(); });
    CHECK(b.result == 1);
    check_blocked(b);
    std::counting_semaphore<4> some(0);
    const outcome s = in_fiber([&] { some.acquire(); return 1L; }, [&] { some.release(); });
    CHECK(s.result == 1);
    check_blocked(s);
    const outcome t = in_fiber([&] { return some.try_acquire_for(blocking_time) ? 1L : 0L; });
    CHECK(t.result == 0);
    check_blocked(t);
}

TEST_CASE("std::promise, std::future and std::call_once") {
    std::promise<int> promise;
    std::future<int> value = promise.get_future();
    const outcome o = in_fiber([&] { return long{value.get()}; }, [&] { promise.set_value(42); });
    CHECK(o.result == 42);
    check_blocked(o);
    std::promise<int> late;
    const outcome t = in_fiber([&] { return late.get_future().wait_for(blocking_time) == std::future_status::timeout ? 1L : 0L; });
    CHECK(t.result == 1);
    check_blocked(t);
    std::once_flag once;
    int calls = 0;
    auto first = weft::spawn([&] { std::call_once(once, [&] { weft::this_fiber::sleep_for(blocking_time); ++calls; }); });
    const outcome c = in_fiber([&] { std::call_once(once, [&] { ++calls; }); return long{calls}; });
    CHECK(c.result == 1);
    CHECK(c.ticks >= 5);
    first.join();
}

TEST_CASE("a kernel thread wakes a fiber, and a fiber a kernel thread") {
    std::atomic<int> from_thread{0}, from_fiber{0};
    std::thread other([&] {
        std::this_thread::sleep_for(blocking_time);
        from_thread = 1;
        from_thread.notify_one();
        from_fiber.wait(0);
        from_thread = 2;
        from_thread.notify_one();
    });
    const outcome o = in_fiber([&] {
        from_thread.wait(0);
        from_fiber = 1;
        from_fiber.notify_one();
        from_thread.wait(1);
        return long{from_thread};
    });
    CHECK(o.result == 2);
    CHECK(o.ticks >= 5);
    other.join();
}

TEST_CASE("a hundred fibers of two hubs take turns at one atomic") {
    constexpr int fibers = 50, rounds = 20;
    std::atomic<int> turn{0};
    auto play = [&](int first) {
        std::vector<weft::fiber<void>> all;
        for (int i = 0; i < fibers; ++i)
            all.push_back(weft::spawn([&, mine = first + 2 * i] {
                for (int r = 0; r < rounds; ++r) {
                    const int wanted = r * 2 * fibers + mine;
                    for (int now = turn; now != wanted; now = turn) turn.wait(now);
                    turn = wanted + 1;
                    turn.notify_all();
                }
            }));
        for (auto& f : all) f.join(patience);
    };
    std::thread other([&] { play(1); });
    play(0);
    other.join();
    CHECK(turn == 2 * fibers * rounds);
}
