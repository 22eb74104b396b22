// SPDX-License-Identifier: Apache-2.0
// As many fibers as a machine can hold, all alive at once on guarded stacks, and what each costs.
#include <weft/detail/waiter.hpp>
#include <weft/fiber.hpp>
#include <weft/hub.hpp>

#include "core/stack.hpp"

#include <algorithm>
#include <chrono>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

using weft::rt::wait_list;
using weft::rt::waiter;

namespace {

constexpr std::size_t stack_size = 64 * 1024;
constexpr std::size_t most_bytes_each = 5000; // resident memory and page tables: 5 GB for a million

/// The line `key:  n kB` of a file in /proc, in bytes.
std::size_t kilobytes(const char* file, const std::string& key) {
    std::ifstream in(file);
    for (std::string word; in >> word;) {
        std::size_t n = 0;
        if (word == key && in >> n) return n * 1024;
    }
    return 0;
}

std::size_t footprint() {
    return kilobytes("/proc/self/status", "VmRSS:") + kilobytes("/proc/self/status", "VmPTE:");
}

std::size_t affordable(std::size_t wanted) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    std::cout << "4,000 fibers: gcc's TSan dies above 8,128 live ones, and ASan keeps a list of all stacks\n";
    return std::min<std::size_t>(wanted, 4000);
#else
    const std::size_t free_memory = kilobytes("/proc/meminfo", "MemAvailable:");
    const std::size_t can = free_memory / 10 * 9 / most_bytes_each;
    if (can < wanted) std::cout << "only " << can << " fibers: " << (free_memory >> 20) << " MiB are available\n";
    return std::min(wanted, can);
#endif
}

void live_at_once(std::size_t wanted) {
    const std::size_t count = affordable(wanted);
    REQUIRE(count >= 1000);
    wait_list parked;
    std::size_t started = 0;
    std::size_t ended = 0;
    weft::spawn({.stack_size = stack_size}, [] {}).join();
    const std::size_t before = footprint();
    const auto begin = std::chrono::steady_clock::now();
    for (std::size_t i = 0; i < count; ++i) {
        weft::spawn({.stack_size = stack_size}, [&] {
            waiter w("the end of the test");
            parked.push(w.node);
            ++started;
            w.suspend();
            ++ended;
        });
        if (i % 1000 == 999) weft::this_fiber::yield();
    }
    while (started < count) weft::this_fiber::yield();
    const auto all = std::chrono::steady_clock::now();
    const std::size_t used = footprint() - before;
    CHECK(weft::hub::current().stats().parked == count);
    CHECK(weft::rt::totals_of_stacks().in_use >= count);
    std::cout << count << " live fibers: " << (used >> 20) << " MiB, " << used / count << " bytes each; "
              << std::chrono::duration<double>(all - begin).count() << " s to start them, ";

    parked.wake_all();
    CHECK(weft::wait(std::chrono::minutes(5)));
    std::cout << std::chrono::duration<double>(std::chrono::steady_clock::now() - all).count() << " s to end them, ";
    const std::size_t kept = footprint() - std::min(before, footprint());
    std::cout << (kept >> 20) << " MiB kept\n";
    CHECK(ended == count);
    CHECK(weft::hub::current().fibers().size() == 1);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    CHECK(used / count <= most_bytes_each);
    // Free stacks stay warm up to 64 MiB of stacks; page tables of the reservation and the records stay too.
    CHECK(kept <= (96UL << 20) + count * 200);
#endif
    // What was given back serves again.
    CHECK(weft::spawn({.stack_size = stack_size}, [] { return 1; }).get() == 1);
}

} // namespace

TEST_CASE("a_hundred_thousand_fibers", "[timeout:120]") {
    live_at_once(100'000);
}
TEST_CASE("a_million_fibers", "[long][serial][timeout:600]") {
    live_at_once(1'000'000);
}
