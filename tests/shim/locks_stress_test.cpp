// SPDX-License-Identifier: Apache-2.0
// Locks under fibers of several hubs and plain threads at once: nothing is lost, nobody waits for ever.
#include "ticker.hpp"

#include <catch2/catch.hpp>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <future>
#include <mutex>
#include <pthread.h>
#include <random>
#include <semaphore.h>
#include <shared_mutex>
#include <thread>
#include <vector>

using namespace shim_test;

namespace {

unsigned seed() {
    static const unsigned value = [] {
        const char* given = std::getenv("WEFT_TEST_SEED");
        return given != nullptr ? static_cast<unsigned>(std::atoi(given)) : std::random_device{}();
    }();
    return value;
}

/// Runs `body(number)` in `fibers` fibers on each of two kernel threads with a hub, and on two plain threads. False: not all have ended in time.
template <class Body>
void everywhere(int fibers, Body body) {
    auto on_hub = [&](int first) {
        std::vector<weft::fiber<void>> all;
        for (int i = 0; i < fibers; ++i) all.push_back(weft::spawn([&body, n = first + i] { body(n); }));
        for (auto& f : all) CHECK(f.join(20s));
    };
    std::thread second(on_hub, 1000);
    std::thread plain([&] { body(2000); }), another([&] { body(2001); });
    on_hub(0);
    second.join();
    plain.join();
    another.join();
}

/// Now and then a fiber or thread lets others run.
class whims {
public:
    explicit whims(int number) : random_(seed() + static_cast<unsigned>(number)) {}
    void maybe_pause() {
        switch (random_() % 16) {
        case 0: ::sched_yield(); break;
        case 1: ::usleep(static_cast<useconds_t>(random_() % 100)); break;
        default: break;
        }
    }
    unsigned next(unsigned below) { return static_cast<unsigned>(random_()) % below; }

private:
    std::minstd_rand random_;
};

} // namespace

TEST_CASE("a mutex excludes") {
    INFO("WEFT_TEST_SEED=" << seed());
    for (const int type : {PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_RECURSIVE, PTHREAD_MUTEX_ERRORCHECK, PTHREAD_MUTEX_ADAPTIVE_NP})
        for (const int robust : {PTHREAD_MUTEX_STALLED, PTHREAD_MUTEX_ROBUST}) {
            INFO(type << " " << robust);
            pthread_mutexattr_t a;
            ::pthread_mutexattr_init(&a);
            ::pthread_mutexattr_settype(&a, type);
            ::pthread_mutexattr_setrobust(&a, robust);
            pthread_mutex_t m;
            REQUIRE(::pthread_mutex_init(&m, &a) == 0);
            constexpr int rounds = 100, fibers = 8;
            long count = 0;
            std::atomic<int> failures{0};
            everywhere(fibers, [&](int number) {
                whims w(number);
                for (int i = 0; i < rounds; ++i) {
                    timespec soon{};
                    ::clock_gettime(CLOCK_REALTIME, &soon);
                    soon.tv_sec += 15;
                    const unsigned way = w.next(3);
                    if (way == 0) {
                        while (::pthread_mutex_trylock(&m) != 0) ::usleep(10);
                    } else if ((way == 1 ? ::pthread_mutex_lock(&m) : ::pthread_mutex_timedlock(&m, &soon)) != 0) {
                        ++failures;
                        continue;
                    }
                    const long before = count;
                    w.maybe_pause();
                    count = before + 1;
                    if (::pthread_mutex_unlock(&m) != 0) ++failures;
                    w.maybe_pause();
                }
            });
            CHECK(failures == 0);
            CHECK(count == rounds * (2 * fibers + 2));
            CHECK(::pthread_mutex_destroy(&m) == 0);
        }
}

TEST_CASE("a queue on a condition variable and one on semaphores lose nothing") {
    INFO("WEFT_TEST_SEED=" << seed());
    std::mutex m;
    std::condition_variable filled, drained;
    std::deque<int> queue;
    sem_t items, rooms;
    ::sem_init(&items, 0, 0);
    ::sem_init(&rooms, 0, 3);
    std::atomic<long> in{0}, out{0}, tokens{0};
    constexpr int rounds = 200;
    everywhere(8, [&](int number) {
        whims w(number);
        for (int i = 0; i < rounds; ++i) {
            w.maybe_pause();
            if (number % 2 == 0) {
                std::unique_lock lock(m);
                drained.wait(lock, [&] { return queue.size() < 4; });
                queue.push_back(i);
                in += i;
                lock.unlock();
                filled.notify_one();
                ::sem_wait(&rooms);
                ++tokens;
                ::sem_post(&items);
            } else {
                std::unique_lock lock(m);
                while (!filled.wait_for(lock, 15s, [&] { return !queue.empty(); })) {}
                out += queue.front();
                queue.pop_front();
                lock.unlock();
                drained.notify_one();
                while (::sem_wait(&items) != 0) {}
                --tokens;
                ::sem_post(&rooms);
            }
        }
    });
    CHECK(in == out);
    CHECK(tokens == 0);
    CHECK(queue.empty());
}

TEST_CASE("writers and readers keep out of each other's way") {
    INFO("WEFT_TEST_SEED=" << seed());
    for (const int preference : {PTHREAD_RWLOCK_PREFER_READER_NP, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP}) {
        pthread_rwlockattr_t a;
        ::pthread_rwlockattr_init(&a);
        ::pthread_rwlockattr_setkind_np(&a, preference);
        pthread_rwlock_t l;
        REQUIRE(::pthread_rwlock_init(&l, &a) == 0);
        std::atomic<int> readers{0}, writers{0}, mistakes{0};
        everywhere(8, [&](int number) {
            whims w(number);
            for (int i = 0; i < 200; ++i) {
                const bool writes = w.next(4) == 0;
                if ((writes ? ::pthread_rwlock_wrlock(&l) : ::pthread_rwlock_rdlock(&l)) != 0) ++mistakes;
                ++(writes ? writers : readers);
                if (writers > 1 || (writers == 1 && readers > 0)) ++mistakes;
                w.maybe_pause();
                --(writes ? writers : readers);
                if (::pthread_rwlock_unlock(&l) != 0) ++mistakes;
                w.maybe_pause();
            }
        });
        CHECK(mistakes == 0);
        CHECK(::pthread_rwlock_destroy(&l) == 0);
    }
}

TEST_CASE("what waits by raw futexes is woken: atomics, futures, statics that are being made") {
    INFO("WEFT_TEST_SEED=" << seed());
    std::atomic<int> word{0};
    std::atomic<int> made{0};
    std::vector<std::promise<int>> promises(20);
    std::atomic<long> sum{0};
    auto promised = weft::spawn([&] {
        for (int i = 0; i < 20; ++i) {
            ::usleep(200);
            promises[static_cast<std::size_t>(i)].set_value(i);
        }
    });
    std::vector<std::shared_future<int>> futures;
    for (auto& p : promises) futures.push_back(p.get_future().share());
    everywhere(8, [&](int number) {
        static const int slow = [&] {
            ::usleep(2000);
            return ++made;
        }();
        (void)slow;
        for (auto& f : futures) sum += std::shared_future<int>(f).get();
        // Everybody takes a turn.
        whims w(number);
        for (int i = 0; i < 50; ++i) {
            int free = 0;
            while (!word.compare_exchange_strong(free, 1)) {
                word.wait(1);
                free = 0;
            }
            w.maybe_pause();
            word.store(0);
            word.notify_one();
        }
    });
    CHECK(promised.join(patience));
    CHECK(made == 1);
    CHECK(sum == 18 * 190);
}

TEST_CASE("waiters that give up lose no wake of others") {
    INFO("WEFT_TEST_SEED=" << seed());
    std::mutex m;
    std::condition_variable c;
    int tokens = 0, taken = 0;
    constexpr int all = 2000;
    std::atomic<bool> done{false};
    everywhere(8, [&](int number) {
        whims w(number);
        if (number == 0) {
            for (int i = 0; i < all; ++i) {
                {
                    const std::lock_guard lock(m);
                    ++tokens;
                }
                c.notify_one();
                w.maybe_pause();
            }
            return;
        }
        while (!done) {
            std::unique_lock lock(m);
            c.wait_for(lock, std::chrono::microseconds(w.next(500)), [&] { return tokens > 0 || done; });
            if (tokens > 0) {
                --tokens;
                if (++taken == all) done = true;
            }
        }
    });
    CHECK(taken == all);
}
