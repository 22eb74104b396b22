// SPDX-License-Identifier: Apache-2.0
// Cigarette smokers (Patil, 1971): each of three has plenty of one ingredient; an agent lays the two others on the table, and only the
// one who has the third may take them. Nobody may take one and wait for the other: that is where the naive solution hangs.
#include "options/options.hpp"

#include <weft/fiber.hpp>
#include <weft/pool.hpp>
#include <weft/sync.hpp>

#include <array>
#include <iostream>
#include <mutex>
#include <random>

int main(int argc, char** argv) {
    samples::options args("Three smokers, an agent, and a table with two ingredients.", "classic-smokers");
    int rounds = 1000;
    unsigned seed = 1;
    args.number("--rounds", rounds, "Cigarettes", 0, 10'000'000);
    args.number("--seed", seed, "Of the agent's choice", 0, 4'294'967'295);
    if (const auto status = args.parse(argc, argv)) return *status;

    constexpr std::array<const char*, 3> ingredient{"tobacco", "paper", "matches"};
    weft::mutex lock;
    weft::condition_variable changed;
    int missing = -1; // the ingredient that is not on the table; -1: the table is empty
    bool done = false;
    std::array<int, 3> smoked{}, meant{};

    weft::group all;
    for (std::size_t me = 0; me < smoked.size(); ++me) {
        all.spawn([&, me] {
            std::unique_lock hold(lock);
            for (;;) {
                changed.wait(hold, [&] { return done || missing == static_cast<int>(me); });
                if (missing != static_cast<int>(me)) return;
                missing = -1;
                ++smoked[me];
                changed.notify_all();
            }
        });
    }
    all.spawn([&] {
        std::mt19937 random(seed);
        std::unique_lock hold(lock);
        for (int i = 0; i < rounds; ++i) {
            changed.wait(hold, [&] { return missing < 0; });
            missing = static_cast<int>(random() % 3);
            ++meant[static_cast<std::size_t>(missing)];
            changed.notify_all();
        }
        changed.wait(hold, [&] { return missing < 0; });
        done = true;
        changed.notify_all();
    });
    all.join();
    for (std::size_t i = 0; i < smoked.size(); ++i) std::cout << "who has " << ingredient[i] << " smoked " << smoked[i] << '\n';
    const bool right = smoked == meant && smoked[0] + smoked[1] + smoked[2] == rounds;
    std::cout << rounds << " cigarettes" << (right ? ", each by the one who could\n" : ": WRONG\n");
    return right ? 0 : 1;
}
