// SPDX-License-Identifier: Apache-2.0
#include "core/sanitizer.hpp"
#include "core/stack.hpp"

#include <weft/fiber.hpp>
#include <weft/hub.hpp>

#include <cstdint>
#include <cstring>
#include <fstream>
#include <set>
#include <string>
#include <system_error>
#include <vector>

#include <sys/resource.h>
#include <unistd.h>

using namespace std::chrono_literals;
using weft::rt::acquire_stack;
using weft::rt::release_stack;
using weft::rt::stack;
using weft::rt::totals_of_stacks;

namespace {

/// Resident bytes of this process.
std::size_t resident() {
    std::ifstream in("/proc/self/statm");
    std::size_t all = 0;
    std::size_t pages = 0;
    in >> all >> pages;
    return pages * 4096;
}

} // namespace

TEST_CASE("stacks_have_at_least_the_size_asked_for") {
    for (const std::size_t size : {1UL, 16384UL, 16385UL, 65536UL, 100'000UL, 262'144UL, 8UL << 20}) {
        stack& s = acquire_stack(size);
        CHECK(s.size() >= size);
        CHECK(reinterpret_cast<std::uintptr_t>(s.base) % weft::rt::page_size == 0);
        std::memset(s.base, 1, s.size());
        release_stack(s);
    }
    CHECK_THROWS_AS(acquire_stack(weft::rt::largest_stack + 1), std::system_error);
}

TEST_CASE("stacks_do_not_overlap_and_have_a_guard_between") {
    std::set<char*> bases;
    std::vector<stack*> all;
    for (int i = 0; i < 1000; ++i) {
        all.push_back(&acquire_stack(65536));
        CHECK(bases.insert(all.back()->base).second);
    }
    char* last = nullptr;
    for (char* base : bases) {
        if (last != nullptr) CHECK(base - last >= 65536 + 4096);
        last = base;
    }
    for (stack* s : all) release_stack(*s);
}

TEST_CASE("the_last_of_the_address_space_is_used") {
    if constexpr (weft::rt::sanitizer::asan || weft::rt::sanitizer::tsan) return; // their shadow does not live with such a limit
    constexpr std::size_t size = 1 << 20, room = 60;
    std::vector<stack*> all;
    all.reserve(room);
    std::ifstream statm("/proc/self/statm");
    rlim_t pages = 0;
    statm >> pages;
    const rlimit limit{pages * 4096 + room * size, RLIM_INFINITY};
    REQUIRE(::setrlimit(RLIMIT_AS, &limit) == 0);
    CHECK_THROWS_AS(([&] { for (;;) all.push_back(&acquire_stack(size)); }()), std::system_error);
    CHECK(all.size() > room * 3 / 4);
    CHECK(all.size() <= room);
    const std::size_t most = all.size();
    for (stack* s : all) release_stack(*s);
    all.clear();
    CHECK_THROWS_AS(([&] { for (;;) all.push_back(&acquire_stack(size)); }()), std::system_error);
    CHECK(all.size() == most);
    for (stack* s : all) release_stack(*s);
}

TEST_CASE("stacks_are_recycled_last_in_first_out") {
    stack& a = acquire_stack(65536);
    stack& b = acquire_stack(65536);
    release_stack(a);
    release_stack(b);
    CHECK(&acquire_stack(65536) == &b);
    CHECK(&acquire_stack(65536) == &a);
    release_stack(a);
    release_stack(b);
    const std::size_t before = totals_of_stacks().in_use;
    for (int i = 0; i < 1000; ++i) weft::spawn([] {}).join();
    CHECK(totals_of_stacks().in_use <= before + 2); // the hub's own; fibers gave theirs back
}

TEST_CASE("memory_above_the_high_water_mark_is_returned") {
    constexpr std::size_t count = 4500;
    constexpr std::size_t size = 256 * 1024;
    std::vector<stack*> all;
    for (std::size_t i = 0; i < count; ++i) {
        all.push_back(&acquire_stack(size));
        std::memset(all.back()->base, 1, size);
    }
    const std::size_t full = resident();
    REQUIRE(full > count * size);
    for (stack* s : all) release_stack(*s);
    CHECK(totals_of_stacks().in_use_bytes < size * 10);
    CHECK(totals_of_stacks().warm + totals_of_stacks().cold >= count);
    CHECK(totals_of_stacks().cold > 0);
    CHECK(full - resident() > count * size * 3 / 4);
    stack& again = acquire_stack(size); // and what is cold works again
    std::memset(again.base, 2, size);
    release_stack(again);
}

TEST_CASE("a_finished_fiber_with_a_handle_keeps_little") {
    constexpr std::size_t count = 3000;
    std::vector<weft::fiber<int>> handles;
    const std::size_t before = resident();
    for (std::size_t i = 0; i < count; ++i) {
        handles.push_back(weft::spawn([] {
            volatile char deep[100 * 1024];
            for (std::size_t at = 0; at < sizeof deep; at += 4096) deep[at] = 1;
            return 7;
        }));
        if (i % 50 == 49) weft::wait();
    }
    weft::wait();
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) // their shadow memory counts too
    // At most 1,024 keep all of it, the others one or two pages.
    CHECK(resident() - before < 1100 * 112 * 1024 + (count - 1024) * 3 * 4096 + (16UL << 20));
#else
    (void)before;
#endif
    int sum = 0;
    for (auto& h : handles) sum += h.get();
    CHECK(sum == 7 * static_cast<int>(count));
}

TEST_CASE("fibers_get_the_stack_they_ask_for") {
    auto deep = weft::spawn({.stack_size = 4UL << 20}, [] {
        volatile char big[3UL << 20];
        for (std::size_t at = sizeof big; at > 0; at -= 4096) big[at - 1] = 1;
        weft::this_fiber::yield();
        return big[4095] + big[sizeof big - 1];
    });
    CHECK(deep.get() == 2);
    auto small = weft::spawn({.stack_size = 1}, [] { return 5; });
    CHECK(small.get() == 5);
}
