// SPDX-License-Identifier: Apache-2.0
// Readers and writers: many may read at once, who writes is alone.
#include "options/options.hpp"

#include <weft/fiber.hpp>
#include <weft/pool.hpp>
#include <weft/sync.hpp>

#include <algorithm>
#include <iostream>
#include <mutex>
#include <shared_mutex>

int main(int argc, char** argv) {
    samples::options args("Readers that may be many at once, and writers that are alone.", "classic-readers-writers");
    int readers = 20, writers = 5, times = 100;
    args.number("--readers", readers, "", 0, 100'000);
    args.number("--writers", writers, "", 0, 100'000);
    args.number("--times", times, "That each reads or writes", 0, 1'000'000);
    if (const auto status = args.parse(argc, argv)) return *status;

    weft::shared_mutex lock;
    long first = 0, second = 0; // always the same, but while somebody writes
    int reading = 0, most = 0, wrong = 0;
    long reads = 0;
    weft::group all;
    for (int r = 0; r < readers; ++r) {
        all.spawn([&] {
            for (int i = 0; i < times; ++i) {
                const std::shared_lock hold(lock);
                most = std::max(most, ++reading);
                const long seen = first;
                weft::this_fiber::yield();
                if (seen != second) ++wrong;
                --reading;
                ++reads;
            }
        });
    }
    for (int w = 0; w < writers; ++w) {
        all.spawn([&] {
            for (int i = 0; i < times; ++i) {
                const std::unique_lock hold(lock);
                if (reading != 0) ++wrong;
                ++first;
                weft::this_fiber::yield();
                ++second;
            }
        });
    }
    all.join();
    std::cout << reads << " reads, " << second << " writes; " << (most > 1 ? "readers were there together" : "readers came one by one") << '\n';
    const bool right = wrong == 0 && first == second && second == static_cast<long>(writers) * times;
    std::cout << (right ? "who wrote was alone\n" : "WRONG\n");
    return right ? 0 : 1;
}
