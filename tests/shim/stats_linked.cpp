// SPDX-License-Identifier: Apache-2.0
// A linked program for stats_test.py: ten fibers sleep, one reads what the main fiber writes later, one computes.
#include <weft/weft.hpp>

#include <chrono>
#include <cstdio>
#include <ctime>
#include <vector>

#include <unistd.h>

int main() {
    int ends[2];
    if (::pipe(ends) != 0) return 1;
    std::vector<weft::fiber<void>> all;
    for (int i = 0; i < 10; ++i)
        all.push_back(weft::spawn([] {
            const timespec pause{0, 5'000'000};
            ::nanosleep(&pause, nullptr);
        }));
    bool well = false;
    all.push_back(weft::spawn([&] {
        char c = 0;
        well = ::read(ends[0], &c, 1) == 1 && c == 'x';
    }));
    all.push_back(weft::spawn({.name = "busy"}, [] {
        const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(30);
        while (std::chrono::steady_clock::now() < until) {}
    }));
    weft::this_fiber::sleep_for(std::chrono::milliseconds(1));
    if (::write(ends[1], "x", 1) != 1) return 2;
    for (auto& f : all) f.join();
    if (!well) return 3;
    std::puts("done");
}
