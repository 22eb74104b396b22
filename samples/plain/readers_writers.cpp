// SPDX-License-Identifier: Apache-2.0
// Readers and writers: many may read at once, who writes is alone. A plain program of POSIX threads that knows nothing of weft.
#include "threads.hpp"
#include "options/options.hpp"

#include <atomic>
#include <iostream>

#include <sched.h>

int main(int argc, char** argv) {
    samples::options args("Readers that may be many at once, and writers that are alone, as POSIX threads.", "plain-readers-writers");
    int readers = 20, writers = 5, times = 100;
    args.number("--readers", readers, "", 0, 100'000);
    args.number("--writers", writers, "", 0, 100'000);
    args.number("--times", times, "That each reads or writes", 0, 1'000'000);
    if (const auto status = args.parse(argc, argv)) return *status;

    pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
    long first = 0, second = 0; // always the same, but while somebody writes
    std::atomic<int> reading{0}, most{0}, wrong{0};
    std::atomic<long> reads{0};
    {
        plain::threads all;
        for (int r = 0; r < readers; ++r) {
            all.start([&] {
                for (int i = 0; i < times; ++i) {
                    ::pthread_rwlock_rdlock(&lock);
                    const int now = ++reading;
                    for (int seen = most; seen < now && !most.compare_exchange_weak(seen, now);) {}
                    const long before = first;
                    ::sched_yield();
                    if (before != second) ++wrong;
                    --reading;
                    ++reads;
                    ::pthread_rwlock_unlock(&lock);
                }
            });
        }
        for (int w = 0; w < writers; ++w) {
            all.start([&] {
                for (int i = 0; i < times; ++i) {
                    ::pthread_rwlock_wrlock(&lock);
                    if (reading != 0) ++wrong;
                    ++first;
                    ::sched_yield();
                    ++second;
                    ::pthread_rwlock_unlock(&lock);
                }
            });
        }
    }
    std::cout << reads << " reads, " << second << " writes; " << (most > 1 ? "readers were there together" : "readers came one by one") << '\n';
    const bool right = wrong == 0 && first == second && second == static_cast<long>(writers) * times;
    std::cout << (right ? "who wrote was alone\n" : "WRONG\n");
    return right ? 0 : 1;
}
