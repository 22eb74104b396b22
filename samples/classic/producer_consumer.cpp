// SPDX-License-Identifier: Apache-2.0
// Producers and consumers share a queue with few places: the fast wait for the slow.
#include "options/options.hpp"

#include <weft/fiber.hpp>
#include <weft/pool.hpp>
#include <weft/queue.hpp>

#include <cstdint>
#include <iostream>

int main(int argc, char** argv) {
    samples::options args("Producers and consumers that share a queue with few places.", "classic-producer-consumer");
    int producers = 4, consumers = 3, items = 1000, places = 10;
    args.number("--producers", producers, "", 1, 100'000);
    args.number("--consumers", consumers, "", 1, 100'000);
    args.number("--items", items, "Of each producer", 0, 10'000'000);
    args.number("--places", places, "In the queue", 1, 1'000'000);
    if (const auto status = args.parse(argc, argv)) return *status;

    weft::queue<int> queue(static_cast<std::size_t>(places));
    std::int64_t count = 0, sum = 0;
    weft::group makers, takers;
    for (int p = 0; p < producers; ++p) {
        makers.spawn([&] {
            for (int i = 1; i <= items; ++i) queue.put(i);
        });
    }
    for (int c = 0; c < consumers; ++c) {
        takers.spawn([&] {
            for (const int item : queue) { // ends with the shutdown below
                ++count;
                sum += item;
            }
        });
    }
    makers.join();
    queue.shutdown();
    takers.join();
    const std::int64_t expected = std::int64_t{producers} * items * (std::int64_t{items} + 1) / 2;
    std::cout << count << " items consumed, sum " << sum << (sum == expected ? ": all of them, once\n" : ": WRONG\n");
    return sum == expected && count == std::int64_t{producers} * items ? 0 : 1;
}
