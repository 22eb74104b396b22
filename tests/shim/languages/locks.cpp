// SPDX-License-Identifier: Apache-2.0
// What C++20's threads wait for each other with.
#include "cases.hpp"

#include <atomic>
#include <barrier>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <ctime>
#include <deque>
#include <latch>
#include <mutex>
#include <pthread.h>
#include <semaphore>
#include <shared_mutex>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <vector>

using namespace std::chrono_literals;

namespace {

void latches() {
    std::latch ready(5), go(1);
    std::atomic<int> before = 0, after = 0;
    std::vector<std::jthread> threads;
    for (int i = 0; i < 5; ++i)
        threads.emplace_back([&] {
            ++before;
            ready.count_down();
            go.wait();
            ++after;
        });
    ready.wait();
    std::printf("before %d after %d try %d\n", before.load(), after.load(), go.try_wait());
    go.count_down();
    threads.clear();
    std::printf("after %d try %d\n", after.load(), go.try_wait());
}

void barriers_with_completion() {
    int phase = 0, sums[4] = {};
    std::atomic<int> sum = 0;
    auto complete = [&]() noexcept { sums[phase++] = sum.exchange(0); };
    std::barrier sync(6, complete);
    {
        std::vector<std::jthread> threads;
        for (int i = 0; i < 6; ++i)
            threads.emplace_back([&, i] {
                for (int p = 0; p < 4; ++p) {
                    if (i == 5 && p == 2) return sync.arrive_and_drop();
                    sum += (i + 1) * (p + 1);
                    sync.arrive_and_wait();
                }
            });
    }
    std::printf("%d %d %d %d\n", sums[0], sums[1], sums[2], sums[3]);
}

void semaphores() {
    std::counting_semaphore<10> slots(3);
    std::atomic<int> inside = 0, most = 0;
    {
        std::vector<std::jthread> threads;
        for (int i = 0; i < 12; ++i)
            threads.emplace_back([&] {
                slots.acquire();
                const int now = ++inside;
                for (int seen = most; now > seen && !most.compare_exchange_weak(seen, now);) {}
                std::this_thread::sleep_for(2ms);
                --inside;
                slots.release();
            });
    }
    std::printf("at most three: %d\n", most <= 3);
    std::binary_semaphore closed(0);
    std::printf("try %d for %d\n", closed.try_acquire(), closed.try_acquire_for(5ms));
    std::jthread opener([&] { closed.release(); });
    closed.acquire();
    std::puts("acquired");
}

void atomics_wait() {
    std::atomic<int> turn = 0; // a futex of its own
    std::atomic<long> wide = 0; // libstdc++ waits for a proxy
    std::atomic_flag flag;
    std::string said;
    std::thread ping([&] {
        for (int i = 0; i < 200; i += 2) {
            turn.wait(i + 1); // wakes at once where it is not that
            while (turn != i) turn.wait(turn.load());
            turn = i + 1;
            turn.notify_one();
        }
    });
    for (int i = 1; i <= 200; i += 2) {
        for (int now = turn; now != i; now = turn) turn.wait(now);
        turn = i + 1;
        turn.notify_one();
        if (i == 199) break;
    }
    ping.join();
    std::printf("turn %d\n", turn.load());
    std::vector<std::jthread> threads;
    std::atomic<int> woken = 0;
    for (int i = 0; i < 4; ++i)
        threads.emplace_back([&] {
            wide.wait(0);
            flag.wait(false);
            ++woken;
        });
    wide = 1;
    wide.notify_all();
    flag.test_and_set();
    flag.notify_all();
    threads.clear();
    std::printf("woken %d\n", woken.load());
}

void shared_mutexes() {
    std::shared_mutex m;
    std::latch in(3), out(1);
    std::vector<std::jthread> readers;
    for (int i = 0; i < 3; ++i)
        readers.emplace_back([&] {
            std::shared_lock lock(m);
            in.count_down();
            out.wait();
        });
    in.wait();
    std::printf("readers inside: write %d read %d\n", m.try_lock(), m.try_lock_shared());
    m.unlock_shared();
    std::atomic<bool> written = false;
    std::jthread writer([&] {
        std::unique_lock lock(m);
        written = true;
    });
    std::this_thread::sleep_for(5ms);
    std::printf("written %d\n", written.load());
    out.count_down();
    readers.clear();
    writer.join();
    std::printf("written %d\n", written.load());
    std::shared_timed_mutex timed;
    std::unique_lock held(timed);
    std::jthread([&] {
        std::printf("timed: %d %d\n", timed.try_lock_for(5ms), timed.try_lock_shared_until(std::chrono::steady_clock::now() + 5ms));
    }).join();
}

// The kind that lets no reader pass a writer that waits, until it gives up.
void a_writer_that_gives_up_lets_readers_in() {
    static pthread_rwlock_t lock = PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;
    pthread_rwlock_rdlock(&lock);
    int wrote = 0;
    std::jthread writer([&] {
        timespec at{};
        clock_gettime(CLOCK_REALTIME, &at);
        at.tv_sec += 1;
        wrote = pthread_rwlock_timedwrlock(&lock, &at);
    });
    while (pthread_rwlock_tryrdlock(&lock) == 0) {
        pthread_rwlock_unlock(&lock);
        std::this_thread::sleep_for(1ms);
    }
    std::jthread([] {
        std::printf("read %d\n", pthread_rwlock_rdlock(&lock));
        pthread_rwlock_unlock(&lock);
    }).join();
    writer.join();
    std::printf("write: %d, then %d\n", wrote == ETIMEDOUT, pthread_rwlock_tryrdlock(&lock));
}

void other_mutexes() {
    std::recursive_mutex again;
    std::scoped_lock once(again), twice(again);
    std::timed_mutex timed;
    std::recursive_timed_mutex timed_again;
    timed.lock();
    timed_again.lock();
    timed_again.lock();
    std::jthread([&] {
        const bool recursive = again.try_lock(), soon = timed.try_lock_for(3ms);
        const bool until = timed_again.try_lock_until(std::chrono::system_clock::now() + 3ms);
        std::printf("%d %d %d %d\n", recursive, soon, until, timed.try_lock());
    }).join();
    timed.unlock();
    timed_again.unlock();
    timed_again.unlock();
    std::jthread([&] {
        const bool soon = timed.try_lock_for(3ms), now = timed_again.try_lock();
        std::printf("%d %d\n", soon, now);
        timed.unlock();
        timed_again.unlock();
    }).join();
    std::unique_lock<std::mutex> none;
    try {
        none.lock();
    } catch (const std::system_error& e) {
        std::printf("no mutex: %s\n", e.code().message().c_str());
    }
}

void several_locks_without_deadlock() {
    std::mutex a, b, c;
    long sum = 0;
    {
        std::vector<std::jthread> threads;
        for (int i = 0; i < 6; ++i)
            threads.emplace_back([&, i] {
                for (int n = 0; n < 200; ++n) {
                    if (i % 3 == 0) {
                        std::scoped_lock all(a, b, c);
                        ++sum;
                    } else if (i % 3 == 1) {
                        std::scoped_lock all(c, b, a);
                        ++sum;
                    } else {
                        std::lock(b, c, a);
                        ++sum;
                        if (n % 50 == 0) std::this_thread::sleep_for(100us);
                        a.unlock(), b.unlock(), c.unlock();
                    }
                }
            });
    }
    std::printf("%ld\n", sum);
}

void call_once_and_exceptions() {
    std::once_flag flag;
    std::atomic<int> tries = 0, failures = 0;
    {
        std::vector<std::jthread> threads;
        for (int i = 0; i < 8; ++i)
            threads.emplace_back([&] {
                try {
                    std::call_once(flag, [&] {
                        const int n = ++tries;
                        std::this_thread::sleep_for(2ms);
                        if (n < 3) throw std::runtime_error("not yet");
                    });
                } catch (const std::runtime_error&) {
                    ++failures;
                }
            });
    }
    std::printf("tries %d failures %d\n", tries.load(), failures.load());
}

void producers_and_consumers() {
    std::mutex m;
    std::condition_variable filled, emptied;
    std::deque<int> queue;
    std::atomic<long> sum = 0;
    {
        std::vector<std::jthread> threads;
        for (int p = 0; p < 4; ++p)
            threads.emplace_back([&, p] {
                for (int i = 0; i < 250; ++i) {
                    std::unique_lock lock(m);
                    emptied.wait(lock, [&] { return queue.size() < 5; });
                    queue.push_back(p * 250 + i);
                    filled.notify_one();
                }
            });
        for (int c = 0; c < 5; ++c)
            threads.emplace_back([&] {
                for (int i = 0; i < 200; ++i) {
                    std::unique_lock lock(m);
                    filled.wait(lock, [&] { return !queue.empty(); });
                    sum += queue.front();
                    queue.pop_front();
                    emptied.notify_one();
                }
            });
    }
    std::printf("%ld left %zu\n", sum.load(), queue.size());
}

constexpr named_case cases[] = {
    {"latches", latches},
    {"barriers_with_completion", barriers_with_completion},
    {"semaphores", semaphores},
    {"atomics_wait", atomics_wait},
    {"shared_mutexes", shared_mutexes},
    {"a_writer_that_gives_up_lets_readers_in", a_writer_that_gives_up_lets_readers_in},
    {"other_mutexes", other_mutexes},
    {"several_locks_without_deadlock", several_locks_without_deadlock},
    {"call_once_and_exceptions", call_once_and_exceptions},
    {"producers_and_consumers", producers_and_consumers},
};

} // namespace

int main(int argc, char** argv) { return run_case(argc, argv, cases); }
