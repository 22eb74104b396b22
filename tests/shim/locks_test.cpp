// SPDX-License-Identifier: Apache-2.0
// Pthread locks between fibers of one hub, of several hubs and plain threads.
#include "ticker.hpp"

#include <weft/fiber.hpp>
#include <weft/timeout.hpp>

#include <catch2/catch.hpp>

#include <condition_variable>
#include <cstring>
#include <mutex>
#include <pthread.h>
#include <semaphore.h>
#include <shared_mutex>
#include <sys/mman.h>
#include <sys/wait.h>
#include <thread>
#include <threads.h>
#include <vector>

using namespace shim_test;

namespace {

void check_blocked(const outcome& o) {
    CHECK(o.time >= blocking_time - 5ms);
    CHECK(o.time < blocking_time + 2s);
    CHECK(o.ticks >= 10);
}

/// As an argument of the call itself, so that the time begins with it.
struct limit_of {
    timespec at;
    operator const timespec*() const { return &at; }
};
timespec from_now(clockid_t clock, std::chrono::nanoseconds d) {
    timespec t{};
    ::clock_gettime(clock, &t);
    const std::int64_t ns = t.tv_nsec + d.count();
    t.tv_sec += ns / 1'000'000'000;
    t.tv_nsec = ns % 1'000'000'000;
    return t;
}

struct mutex_kind {
    const char* name;
    int type = PTHREAD_MUTEX_NORMAL;
    int shared = PTHREAD_PROCESS_PRIVATE;
    int robust = PTHREAD_MUTEX_STALLED;
    int protocol = PTHREAD_PRIO_NONE;
};

const std::vector<mutex_kind> kinds{
    {"normal"},
    {"recursive", PTHREAD_MUTEX_RECURSIVE},
    {"error checking", PTHREAD_MUTEX_ERRORCHECK},
    {"adaptive", PTHREAD_MUTEX_ADAPTIVE_NP},
    {"shared", PTHREAD_MUTEX_NORMAL, PTHREAD_PROCESS_SHARED},
    {"shared recursive", PTHREAD_MUTEX_RECURSIVE, PTHREAD_PROCESS_SHARED},
    {"robust", PTHREAD_MUTEX_NORMAL, PTHREAD_PROCESS_PRIVATE, PTHREAD_MUTEX_ROBUST},
    {"robust recursive", PTHREAD_MUTEX_RECURSIVE, PTHREAD_PROCESS_PRIVATE, PTHREAD_MUTEX_ROBUST},
    {"robust shared error checking", PTHREAD_MUTEX_ERRORCHECK, PTHREAD_PROCESS_SHARED, PTHREAD_MUTEX_ROBUST},
    {"inheriting", PTHREAD_MUTEX_NORMAL, PTHREAD_PROCESS_PRIVATE, PTHREAD_MUTEX_STALLED, PTHREAD_PRIO_INHERIT},
    {"inheriting recursive", PTHREAD_MUTEX_RECURSIVE, PTHREAD_PROCESS_PRIVATE, PTHREAD_MUTEX_STALLED, PTHREAD_PRIO_INHERIT},
};

struct mutex_of {
    pthread_mutex_t m;
    explicit mutex_of(const mutex_kind& k) {
        pthread_mutexattr_t a;
        ::pthread_mutexattr_init(&a);
        ::pthread_mutexattr_settype(&a, k.type);
        ::pthread_mutexattr_setpshared(&a, k.shared);
        ::pthread_mutexattr_setrobust(&a, k.robust);
        ::pthread_mutexattr_setprotocol(&a, k.protocol);
        REQUIRE(::pthread_mutex_init(&m, &a) == 0);
        ::pthread_mutexattr_destroy(&a);
    }
    ~mutex_of() { CHECK(::pthread_mutex_destroy(&m) == 0); }
};

} // namespace

TEST_CASE("a mutex that another fiber holds over a blocking call lets the others run") {
    for (const mutex_kind& k : kinds) {
        INFO(k.name);
        mutex_of guard(k);
        pair p = pair::stream();
        auto holder = weft::spawn([&] {
            CHECK(::pthread_mutex_lock(&guard.m) == 0);
            char c = 0;
            CHECK(::read(p[0], &c, 1) == 1);
            CHECK(::pthread_mutex_unlock(&guard.m) == 0);
        });
        weft::this_fiber::yield();
        const outcome o = in_fiber(
            [&] {
                CHECK(::pthread_mutex_trylock(&guard.m) == EBUSY);
                const long result = ::pthread_mutex_lock(&guard.m);
                CHECK(::pthread_mutex_unlock(&guard.m) == 0);
                return result;
            },
            [&] { CHECK(::write(p[1], "x", 1) == 1); });
        CHECK(o.result == 0);
        CHECK(o.error == 0);
        check_blocked(o);
        CHECK(holder.join(patience));
    }
}

TEST_CASE("a mutex that a plain thread holds lets the other fibers run") {
    for (const mutex_kind& k : kinds) {
        INFO(k.name);
        mutex_of guard(k);
        std::atomic<bool> held{false}, stop{false};
        std::thread holder([&] {
            ::pthread_mutex_lock(&guard.m);
            held = true;
            while (!stop) std::this_thread::sleep_for(1ms);
            ::pthread_mutex_unlock(&guard.m);
        });
        CHECK(eventually([&] { return held.load(); }));
        const outcome o = in_fiber([&] { return ::pthread_mutex_lock(&guard.m); }, [&] { stop = true; });
        CHECK(o.result == 0);
        check_blocked(o);
        // It is the fiber's that has ended by now, so nobody may unlock it properly; for the test's sake a normal one is.
        holder.join();
        const bool knows_its_owner = k.protocol != PTHREAD_PRIO_NONE || (k.type != PTHREAD_MUTEX_NORMAL && k.type != PTHREAD_MUTEX_ADAPTIVE_NP);
        if (!knows_its_owner) ::pthread_mutex_unlock(&guard.m);
        else std::memset(&guard.m, 0, sizeof guard.m);
    }
}

TEST_CASE("timed locks of a mutex end in time, on both clocks") {
    for (const mutex_kind& k : kinds) {
        INFO(k.name);
        mutex_of guard(k);
        bool stop = false;
        auto holder = weft::spawn([&] {
            ::pthread_mutex_lock(&guard.m);
            while (!stop) ::usleep(1000);
            ::pthread_mutex_unlock(&guard.m);
        });
        weft::this_fiber::yield();
        const outcome o = in_fiber([&] { return ::pthread_mutex_timedlock(&guard.m, limit_of{from_now(CLOCK_REALTIME, 60ms)}); });
        CHECK(o.result == ETIMEDOUT);
        check_blocked(o);
        if (k.protocol == PTHREAD_PRIO_NONE) {
            const outcome p = in_fiber([&] { return ::pthread_mutex_clocklock(&guard.m, CLOCK_MONOTONIC, limit_of{from_now(CLOCK_MONOTONIC, 60ms)}); });
            CHECK(p.result == ETIMEDOUT);
            check_blocked(p);
        }
        stop = true;
        CHECK(holder.join(patience));
    }
}

TEST_CASE("who unlocks and locks again at once does not keep the others out") {
    for (const mutex_kind& k : kinds) {
        INFO(k.name);
        mutex_of guard(k);
        bool stop = false;
        std::vector<int> turns(4);
        std::vector<weft::fiber<void>> all;
        for (int& mine : turns)
            all.push_back(weft::spawn([&] {
                while (!stop) {
                    CHECK(::pthread_mutex_lock(&guard.m) == 0);
                    ::usleep(200);
                    ++mine;
                    CHECK(::pthread_mutex_unlock(&guard.m) == 0);
                }
            }));
        CHECK(eventually([&] { return turns[0] > 3 && turns[1] > 3 && turns[2] > 3 && turns[3] > 3; }));
        stop = true;
        for (auto& f : all) CHECK(f.join(patience));
    }
}

TEST_CASE("a recursive mutex belongs to the fiber") {
    mutex_of guard(kinds[1]);
    std::string order;
    auto first = weft::spawn([&] {
        for (int i = 0; i < 3; ++i) CHECK(::pthread_mutex_lock(&guard.m) == 0);
        order += "a";
        ::usleep(2000);
        order += "b";
        for (int i = 0; i < 3; ++i) CHECK(::pthread_mutex_unlock(&guard.m) == 0);
        CHECK(::pthread_mutex_unlock(&guard.m) == EPERM);
    });
    auto second = weft::spawn([&] {
        CHECK(::pthread_mutex_trylock(&guard.m) == EBUSY);
        CHECK(::pthread_mutex_unlock(&guard.m) == EPERM);
        CHECK(::pthread_mutex_lock(&guard.m) == 0);
        order += "c";
        CHECK(::pthread_mutex_unlock(&guard.m) == 0);
    });
    CHECK(first.join(patience));
    CHECK(second.join(patience));
    CHECK(order == "abc");
}

TEST_CASE("an error-checking mutex knows its fiber") {
    mutex_of guard(kinds[2]);
    CHECK(::pthread_mutex_lock(&guard.m) == 0);
    CHECK(::pthread_mutex_lock(&guard.m) == EDEADLK);
    auto other = weft::spawn([&] { return ::pthread_mutex_unlock(&guard.m); });
    CHECK(other.get(patience) == EPERM);
    CHECK(::pthread_mutex_unlock(&guard.m) == 0);
    CHECK(::pthread_mutex_unlock(&guard.m) == EPERM);
}

TEST_CASE("condition variables let the other fibers run, and waits are served in turn") {
    for (const bool shared : {false, true}) {
        INFO(shared);
        pthread_mutexattr_t ma;
        pthread_condattr_t ca;
        ::pthread_mutexattr_init(&ma);
        ::pthread_condattr_init(&ca);
        ::pthread_mutexattr_setpshared(&ma, shared ? 1 : 0);
        ::pthread_condattr_setpshared(&ca, shared ? 1 : 0);
        pthread_mutex_t m;
        pthread_cond_t c;
        ::pthread_mutex_init(&m, &ma);
        ::pthread_cond_init(&c, &ca);
        bool go = false;
        const outcome o = in_fiber(
            [&] {
                ::pthread_mutex_lock(&m);
                int result = 0;
                while (!go) result |= ::pthread_cond_wait(&c, &m);
                ::pthread_mutex_unlock(&m);
                return result;
            },
            [&] {
                ::pthread_mutex_lock(&m);
                go = true;
                ::pthread_cond_signal(&c);
                ::pthread_mutex_unlock(&m);
            });
        CHECK(o.result == 0);
        check_blocked(o);
        const outcome late = in_fiber([&] {
            ::pthread_mutex_lock(&m);
            const int result = ::pthread_cond_timedwait(&c, &m, limit_of{from_now(CLOCK_REALTIME, 60ms)});
            ::pthread_mutex_unlock(&m);
            return result;
        });
        CHECK(late.result == ETIMEDOUT);
        check_blocked(late);
        // Everybody is woken by a broadcast.
        int awake = 0, waiting = 0;
        std::vector<weft::fiber<void>> all;
        go = false;
        for (int i = 0; i < 20; ++i)
            all.push_back(weft::spawn([&] {
                ::pthread_mutex_lock(&m);
                ++waiting;
                while (!go) ::pthread_cond_wait(&c, &m);
                ++awake;
                ::pthread_mutex_unlock(&m);
            }));
        CHECK(eventually([&] { return waiting == 20; }));
        ::pthread_mutex_lock(&m);
        go = true;
        ::pthread_cond_broadcast(&c);
        ::pthread_mutex_unlock(&m);
        for (auto& f : all) CHECK(f.join(patience));
        CHECK(awake == 20);
        CHECK(::pthread_cond_destroy(&c) == 0);
        CHECK(::pthread_mutex_destroy(&m) == 0);
    }
}

TEST_CASE("a fiber and a plain thread signal each other") {
    std::mutex m;
    std::condition_variable c;
    int ball = 0;
    constexpr int rounds = 2000;
    std::thread other([&] {
        std::unique_lock lock(m);
        for (int i = 0; i < rounds; ++i) {
            c.wait(lock, [&] { return ball % 2 == 1; });
            ++ball;
            c.notify_one();
        }
    });
    auto mine = weft::spawn([&] {
        std::unique_lock lock(m);
        for (int i = 0; i < rounds; ++i) {
            ++ball;
            c.notify_one();
            c.wait(lock, [&] { return ball % 2 == 0; });
        }
    });
    CHECK(mine.join(patience));
    other.join();
    CHECK(ball == 2 * rounds);
}

TEST_CASE("semaphores let the other fibers run") {
    for (const int shared : {0, 1}) {
        INFO(shared);
        sem_t s;
        REQUIRE(::sem_init(&s, shared, 0) == 0);
        const outcome o = in_fiber([&] { return ::sem_wait(&s); }, [&] { CHECK(::sem_post(&s) == 0); });
        CHECK(o.result == 0);
        CHECK(o.error == 0);
        check_blocked(o);
        const outcome late = in_fiber([&] { return ::sem_timedwait(&s, limit_of{from_now(CLOCK_REALTIME, 60ms)}); });
        CHECK(late.result == -1);
        CHECK(late.error == ETIMEDOUT);
        check_blocked(late);
        const outcome steady = in_fiber([&] { return ::sem_clockwait(&s, CLOCK_MONOTONIC, limit_of{from_now(CLOCK_MONOTONIC, 60ms)}); });
        CHECK(steady.error == ETIMEDOUT);
        check_blocked(steady);
        // A plain thread posts.
        std::thread poster;
        const outcome t = in_fiber([&] { return ::sem_wait(&s); }, [&] { poster = std::thread([&] { ::sem_post(&s); }); });
        CHECK(t.result == 0);
        poster.join();
        // One that keeps taking it leaves some for the other.
        ::sem_post(&s);
        bool stop = false;
        int turns[2] = {};
        std::vector<weft::fiber<void>> both;
        for (int& mine : turns)
            both.push_back(weft::spawn([&] {
                while (!stop) {
                    ::sem_wait(&s);
                    ::usleep(200);
                    ++mine;
                    ::sem_post(&s);
                }
            }));
        CHECK(eventually([&] { return turns[0] > 3 && turns[1] > 3; }));
        stop = true;
        for (auto& f : both) CHECK(f.join(patience));
        int value = 0;
        ::sem_getvalue(&s, &value);
        CHECK(value == 1);
        ::sem_destroy(&s);
    }
}

TEST_CASE("a kill makes sem_wait fail, and ends cond_wait for once") {
    sem_t s;
    ::sem_init(&s, 0, 0);
    int result = 0, error = 0;
    auto waits = weft::spawn([&] {
        result = ::sem_wait(&s);
        error = errno;
    });
    weft::this_fiber::yield();
    waits.kill();
    CHECK(result == -1);
    CHECK(error == ECANCELED);
    CHECK(::sem_post(&s) == 0);
    CHECK(::sem_trywait(&s) == 0);

    pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t c = PTHREAD_COND_INITIALIZER;
    int woken = -1, held = -1;
    auto sleeper = weft::spawn([&] {
        ::pthread_mutex_lock(&m);
        woken = ::pthread_cond_wait(&c, &m);
        held = ::pthread_mutex_trylock(&m);
        ::pthread_mutex_unlock(&m);
    });
    weft::this_fiber::yield();
    sleeper.kill();
    CHECK(woken == 0);
    CHECK(held == EBUSY);

    // A lock is waited for to the end.
    ::pthread_mutex_lock(&m);
    int got = -1;
    auto locks = weft::spawn([&] {
        got = ::pthread_mutex_lock(&m);
        ::pthread_mutex_unlock(&m);
    });
    weft::this_fiber::yield();
    auto killer = weft::spawn([&] { locks.kill(); });
    weft::this_fiber::sleep_for(5ms);
    CHECK(got == -1);
    ::pthread_mutex_unlock(&m);
    CHECK(killer.join(patience));
    CHECK(got == 0);
}

TEST_CASE("a time-out makes sem_wait fail") {
    sem_t s;
    ::sem_init(&s, 0, 0);
    auto f = weft::spawn([&] {
        const weft::timeout soon(20ms);
        const int result = ::sem_wait(&s);
        return result == -1 ? errno : 0;
    });
    CHECK(f.get(patience) == ETIMEDOUT);
}

TEST_CASE("read-write locks let the other fibers run") {
    for (const bool shared : {false, true})
        for (const int preference : {PTHREAD_RWLOCK_PREFER_READER_NP, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP}) {
            INFO(shared << " " << preference);
            pthread_rwlockattr_t a;
            ::pthread_rwlockattr_init(&a);
            ::pthread_rwlockattr_setkind_np(&a, preference);
            ::pthread_rwlockattr_setpshared(&a, shared ? 1 : 0);
            pthread_rwlock_t l;
            REQUIRE(::pthread_rwlock_init(&l, &a) == 0);
            bool stop = false;
            auto writer = weft::spawn([&] {
                CHECK(::pthread_rwlock_wrlock(&l) == 0);
                CHECK(::pthread_rwlock_wrlock(&l) == EDEADLK);
                CHECK(::pthread_rwlock_rdlock(&l) == EDEADLK);
                while (!stop) ::usleep(1000);
                CHECK(::pthread_rwlock_unlock(&l) == 0);
            });
            weft::this_fiber::yield();
            CHECK(::pthread_rwlock_tryrdlock(&l) == EBUSY);
            CHECK(::pthread_rwlock_trywrlock(&l) == EBUSY);
            outcome o = in_fiber([&] { return ::pthread_rwlock_timedrdlock(&l, limit_of{from_now(CLOCK_REALTIME, 60ms)}); });
            CHECK(o.result == ETIMEDOUT);
            check_blocked(o);
            o = in_fiber([&] { return ::pthread_rwlock_clockwrlock(&l, CLOCK_MONOTONIC, limit_of{from_now(CLOCK_MONOTONIC, 60ms)}); });
            CHECK(o.result == ETIMEDOUT);
            check_blocked(o);
            std::vector<weft::fiber<void>> readers;
            int reading = 0, most = 0;
            for (int i = 0; i < 5; ++i)
                readers.push_back(weft::spawn([&] {
                    CHECK(::pthread_rwlock_rdlock(&l) == 0);
                    most = std::max(most, ++reading);
                    ::usleep(2000);
                    --reading;
                    CHECK(::pthread_rwlock_unlock(&l) == 0);
                }));
            o = in_fiber([&] { return ::pthread_rwlock_rdlock(&l); }, [&] { stop = true; });
            CHECK(o.result == 0);
            check_blocked(o);
            CHECK(::pthread_rwlock_unlock(&l) == 0); // reading is nobody's in particular
            for (auto& r : readers) CHECK(r.join(patience));
            CHECK(most > 1);
            CHECK(writer.join(patience));
            CHECK(::pthread_rwlock_trywrlock(&l) == 0);
            CHECK(::pthread_rwlock_unlock(&l) == 0);
            CHECK(::pthread_rwlock_destroy(&l) == 0);
        }
}

TEST_CASE("barriers let the other fibers run") {
    for (const int shared : {0, 1}) {
        pthread_barrierattr_t a;
        ::pthread_barrierattr_init(&a);
        ::pthread_barrierattr_setpshared(&a, shared);
        pthread_barrier_t b;
        REQUIRE(::pthread_barrier_init(&b, &a, 4) == 0);
        constexpr int rounds = 50;
        std::atomic<int> serial{0}, in{0};
        std::atomic<bool> together{true};
        auto body = [&] {
            for (int i = 0; i < rounds; ++i) {
                ++in;
                if (::pthread_barrier_wait(&b) == PTHREAD_BARRIER_SERIAL_THREAD) ++serial;
                if (in < 4 * (i + 1)) together = false;
            }
        };
        std::thread thread(body);
        std::vector<weft::fiber<void>> fibers;
        for (int i = 0; i < 3; ++i) fibers.push_back(weft::spawn(body));
        for (auto& f : fibers) CHECK(f.join(patience));
        thread.join();
        CHECK(serial == rounds);
        CHECK(together);
        CHECK(::pthread_barrier_destroy(&b) == 0);
    }
}

TEST_CASE("once: the others wait for the one, and try again when it fails") {
    std::once_flag flag;
    int tries = 0, done = 0;
    std::vector<weft::fiber<void>> all;
    for (int i = 0; i < 5; ++i)
        all.push_back(weft::spawn([&] {
            try {
                std::call_once(flag, [&] {
                    ::usleep(2000);
                    if (++tries < 3) throw std::runtime_error("not yet");
                });
                ++done;
                CHECK(tries == 3);
            } catch (const std::runtime_error&) {
            }
        }));
    for (auto& f : all) CHECK(f.join(patience));
    CHECK(tries == 3);
    CHECK(done == 3);
}

TEST_CASE("a spin lock that is held over a wait lets the other fibers run") {
    pthread_spinlock_t l;
    ::pthread_spin_init(&l, 0);
    ::pthread_spin_lock(&l);
    const outcome o = in_fiber([&] { return ::pthread_spin_lock(&l); }, [&] { ::pthread_spin_unlock(&l); });
    CHECK(o.result == 0);
    check_blocked(o);
}

TEST_CASE("C11 locks let the other fibers run") {
    mtx_t m;
    cnd_t c;
    REQUIRE(::mtx_init(&m, mtx_timed) == thrd_success);
    REQUIRE(::cnd_init(&c) == thrd_success);
    bool go = false;
    const outcome o = in_fiber(
        [&] {
            int result = ::mtx_lock(&m);
            while (!go) result |= ::cnd_wait(&c, &m);
            return result | ::mtx_unlock(&m);
        },
        [&] {
            ::mtx_lock(&m);
            go = true;
            ::cnd_signal(&c);
            ::mtx_unlock(&m);
        });
    CHECK(o.result == thrd_success);
    check_blocked(o);
    ::mtx_lock(&m);
    const outcome late = in_fiber([&] { return ::mtx_timedlock(&m, limit_of{from_now(CLOCK_REALTIME, 60ms)}); });
    CHECK(late.result == thrd_timedout);
    check_blocked(late);
    auto busy = weft::spawn([&] { return ::mtx_trylock(&m); });
    CHECK(busy.get(patience) == thrd_busy);
    ::mtx_unlock(&m);
}

TEST_CASE("fork: what the fiber held it holds in the child, where nobody waits") {
    mutex_of guard(kinds[2]);
    auto f = weft::spawn([&] {
        CHECK(::pthread_mutex_lock(&guard.m) == 0);
        auto waits = weft::spawn([&] {
            ::pthread_mutex_lock(&guard.m);
            ::pthread_mutex_unlock(&guard.m);
        });
        weft::this_fiber::yield();
        const pid_t child = ::fork();
        if (child == 0) {
            const bool held = ::pthread_mutex_lock(&guard.m) == EDEADLK;
            const bool released = ::pthread_mutex_unlock(&guard.m) == 0;
            auto again = weft::spawn([&] { return ::pthread_mutex_lock(&guard.m); });
            ::_exit(held && released && again.get(patience) == 0 ? 0 : 1);
        }
        int status = -1;
        CHECK(::waitpid(child, &status, 0) == child);
        CHECK(status == 0);
        ::pthread_mutex_unlock(&guard.m);
        CHECK(waits.join(patience));
    });
    CHECK(f.join(patience));
}
