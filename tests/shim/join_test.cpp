// SPDX-License-Identifier: Apache-2.0
// A fiber waits for the end of a kernel thread: the others run on, handlers of signals too, and nothing makes the join fail.
#include "ticker.hpp"

#include <weft/fiber.hpp>

#include <catch2/catch.hpp>

#include <csignal>
#include <future>
#include <pthread.h>
#include <semaphore.h>
#include <sys/syscall.h>
#include <thread>
#include <threads.h>

using namespace shim_test;

namespace {

/// A kernel thread that ends when it is told, with its argument as result.
struct told {
    sem_t go{};
    long result = 42;
    pthread_t thread{};

    told() {
        ::sem_init(&go, 0, 0);
        auto body = [](void* p) -> void* {
            auto& self = *static_cast<told*>(p);
            ::sem_wait(&self.go);
            return reinterpret_cast<void*>(self.result);
        };
        REQUIRE(::pthread_create(&thread, nullptr, body, this) == 0);
    }
    ~told() { ::sem_destroy(&go); }
    void end() { ::sem_post(&go); }
};

volatile std::sig_atomic_t handled = 0;

} // namespace

TEST_CASE("pthread_join and its kin suspend the fiber only") {
    for (const int way : {0, 1, 2, 3}) {
        told t;
        void* result = nullptr;
        int value = 0;
        timespec at{};
        ::clock_gettime(way == 1 ? CLOCK_REALTIME : CLOCK_MONOTONIC, &at);
        at.tv_sec += 60;
        const outcome o = in_fiber(
            [&]() -> long {
                switch (way) {
                case 0: return ::pthread_join(t.thread, &result);
                case 1: return ::pthread_timedjoin_np(t.thread, &result, &at);
                case 2: return ::pthread_clockjoin_np(t.thread, &result, CLOCK_MONOTONIC, &at);
                default: return ::thrd_join(t.thread, &value);
                }
            },
            [&] { t.end(); });
        CHECK(o.result == 0);
        CHECK(o.ticks >= 10);
        CHECK((way == 3 ? value : reinterpret_cast<long>(result)) == 42);
    }
}

TEST_CASE("a timed join ends at its time and leaves the thread") {
    told t;
    timespec at{};
    ::clock_gettime(CLOCK_REALTIME, &at);
    at.tv_nsec += 40'000'000;
    if (at.tv_nsec >= 1'000'000'000) ++at.tv_sec, at.tv_nsec -= 1'000'000'000;
    const outcome o = in_fiber([&]() -> long { return ::pthread_timedjoin_np(t.thread, nullptr, &at); });
    CHECK(o.result == ETIMEDOUT);
    t.end();
    CHECK(::pthread_join(t.thread, nullptr) == 0);
}

TEST_CASE("std::async is awaited by its fiber only") {
    const outcome o = in_fiber([]() -> long {
        return std::async(std::launch::async, [] {
            std::this_thread::sleep_for(blocking_time);
            return 7;
        }).get();
    });
    CHECK(o.result == 7);
    CHECK(o.ticks >= 5);
}

TEST_CASE("a killed fiber's join waits for its thread") {
    told t;
    int joined = -1;
    auto f = weft::spawn([&] { joined = ::pthread_join(t.thread, nullptr); });
    weft::this_fiber::sleep_for(5ms);
    f.kill_async();
    weft::this_fiber::sleep_for(20ms);
    CHECK_FALSE(f.ready());
    t.end();
    CHECK(f.join(patience));
    CHECK(joined == 0);
}

TEST_CASE("handlers run while the main fiber joins, and may be what ends the thread") {
    static told* waiting;
    told t;
    waiting = &t;
    struct sigaction a {};
    a.sa_handler = [](int) {
        handled = handled + 1;
        waiting->end();
    };
    ::sigaction(SIGUSR1, &a, nullptr);
    auto other = weft::spawn([] {
        weft::this_fiber::sleep_for(20ms);
        ::kill(::getpid(), SIGUSR1);
    });
    CHECK(::pthread_join(t.thread, nullptr) == 0);
    CHECK(handled == 1);
    other.join();
}

TEST_CASE("what cannot be joined is refused as libc does") {
    CHECK(::pthread_join(::pthread_self(), nullptr) == EDEADLK);
}
