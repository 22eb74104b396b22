// SPDX-License-Identifier: Apache-2.0
#pragma once

// A hundred fibers that each make one call of a hundred milliseconds, and what that may take.

#include <weft/weft.hpp>

#include <chrono>
#include <cstdio>
#include <functional>
#include <vector>

#include <sys/resource.h>

namespace clients_test {

using namespace std::chrono_literals;
using std::chrono::milliseconds;

inline constexpr int fibers = 100;
inline constexpr auto query_time = 100ms;
inline constexpr auto limit_for_all = 300ms;
inline constexpr auto patience = 20s;

template <class F>
milliseconds time_of(F&& f) {
    const auto start = std::chrono::steady_clock::now();
    f();
    return std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() - start);
}

/// The time of `query(0)` to `query(99)`, each in a fiber of its own, on one kernel thread. Whether a query succeeded is for it to check.
inline milliseconds all_at_once(const std::function<void(int)>& query) {
    std::vector<weft::fiber<void>> all;
    return time_of([&] {
        for (int i = 0; i < fibers; ++i) all.push_back(weft::spawn([&query, i] { query(i); }));
        for (auto& f : all) f.get(patience);
    });
}

/// Runs all, prints what they took beside what a loop would, and returns it. A hiccup of the machine is measured again.
inline milliseconds measure(const char* what, const std::function<void(int)>& query) {
    const milliseconds one = time_of([&] { query(0); });
    milliseconds best = milliseconds::max();
    for (int attempt = 0; attempt < 3 && best >= limit_for_all; ++attempt) best = std::min(best, all_at_once(query));
    std::printf(
        "%s: one query %lld ms; %d fibers with a query each %lld ms; one after the other %lld ms\n", what,
        static_cast<long long>(one.count()), fibers, static_cast<long long>(best.count()), static_cast<long long>(one.count()) * fibers);
    std::fflush(stdout);
    return best;
}

} // namespace clients_test
