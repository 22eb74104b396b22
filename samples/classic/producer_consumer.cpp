// SPDX-License-Identifier: Apache-2.0
// Producers and consumers share a queue with few places: the fast wait for the slow.
#include <weft/fiber.hpp>
#include <weft/pool.hpp>
#include <weft/queue.hpp>

#include <CLI/CLI.hpp>

#include <cstdint>
#include <iostream>

int main(int argc, char** argv) {
    CLI::App app("Producers and consumers that share a queue with few places.", "classic-producer-consumer");
    int producers = 4, consumers = 3, items = 1000, places = 10;
    app.add_option("--producers", producers)->capture_default_str()->check(CLI::Range(1, 100'000));
    app.add_option("--consumers", consumers)->capture_default_str()->check(CLI::Range(1, 100'000));
    app.add_option("--items", items, "Of each producer")->capture_default_str()->check(CLI::Range(0, 10'000'000));
    app.add_option("--places", places, "In the queue")->capture_default_str()->check(CLI::Range(1, 1'000'000));
    CLI11_PARSE(app, argc, argv);

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
