// SPDX-License-Identifier: Apache-2.0
// Cigarette smokers (Patil, 1971): each of three has plenty of one ingredient; an agent lays the two others on the table, and only the
// one who has the third may take them. A plain program of POSIX threads that knows nothing of weft.
#include "threads.hpp"
#include "options/options.hpp"

#include <array>
#include <iostream>
#include <random>

#include <semaphore.h>

int main(int argc, char** argv) {
    samples::options args("Three smokers, an agent, and a table with two ingredients, as POSIX threads.", "plain-smokers");
    int rounds = 1000;
    unsigned seed = 1;
    args.number("--rounds", rounds, "Cigarettes", 0, 10'000'000);
    args.number("--seed", seed, "Of the agent's choice", 0, 4'294'967'295);
    if (const auto status = args.parse(argc, argv)) return *status;

    constexpr std::array<const char*, 3> ingredient{"tobacco", "paper", "matches"};
    std::array<sem_t, 3> on_table; // whose two ingredients are there
    sem_t empty;
    for (sem_t& s : on_table) ::sem_init(&s, 0, 0);
    ::sem_init(&empty, 0, 1);
    bool done = false; // written before the posts that say so
    std::array<int, 3> smoked{}, meant{};
    {
        plain::threads all;
        for (std::size_t me = 0; me < smoked.size(); ++me) {
            all.start([&, me] {
                for (;;) {
                    while (::sem_wait(&on_table[me]) != 0) {}
                    if (done) return;
                    ++smoked[me];
                    ::sem_post(&empty);
                }
            });
        }
        all.start([&] {
            std::mt19937 random(seed);
            for (int i = 0; i < rounds; ++i) {
                while (::sem_wait(&empty) != 0) {}
                const std::size_t missing = random() % 3;
                ++meant[missing];
                ::sem_post(&on_table[missing]);
            }
            while (::sem_wait(&empty) != 0) {}
            done = true;
            for (sem_t& s : on_table) ::sem_post(&s);
        });
    }
    for (std::size_t i = 0; i < smoked.size(); ++i) std::cout << "who has " << ingredient[i] << " smoked " << smoked[i] << '\n';
    const bool right = smoked == meant && smoked[0] + smoked[1] + smoked[2] == rounds;
    std::cout << rounds << " cigarettes" << (right ? ", each by the one who could\n" : ": WRONG\n");
    return right ? 0 : 1;
}
