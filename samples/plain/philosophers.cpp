// SPDX-License-Identifier: Apache-2.0
// Dining philosophers (Dijkstra, 1965): each needs the forks at both sides, and takes the one with the lower number first. A plain program of
// POSIX threads that knows nothing of weft.
#include "threads.hpp"
#include "options/options.hpp"

#include <algorithm>
#include <atomic>
#include <deque>
#include <iostream>
#include <vector>

#include <sched.h>

int main(int argc, char** argv) {
    samples::options args("Philosophers at a round table, a fork between any two, as POSIX threads.", "plain-philosophers");
    std::size_t philosophers = 5;
    int meals = 100;
    args.number("--philosophers", philosophers, "", 2, 100'000);
    args.number("--meals", meals, "Of each", 0, 1'000'000);
    if (const auto status = args.parse(argc, argv)) return *status;

    std::vector<pthread_mutex_t> forks(philosophers);
    for (pthread_mutex_t& f : forks) ::pthread_mutex_init(&f, nullptr);
    std::vector<int> eaten(philosophers);
    std::deque<std::atomic<int>> eats(philosophers);
    std::atomic<bool> wrong{false};
    {
        plain::threads table;
        for (std::size_t me = 0; me < philosophers; ++me) {
            table.start([&, me] {
                const std::size_t right = (me + 1) % philosophers, left = (me + philosophers - 1) % philosophers;
                for (int i = 0; i < meals; ++i) {
                    const plain::holding lower(forks[std::min(me, right)]);
                    const plain::holding higher(forks[std::max(me, right)]);
                    eats[me] = 1;
                    if (eats[left] != 0 || eats[right] != 0) wrong = true;
                    ::sched_yield();
                    eats[me] = 0;
                    ++eaten[me];
                }
            });
        }
    }
    const bool right = !wrong && std::all_of(eaten.begin(), eaten.end(), [&](int n) { return n == meals; });
    std::cout << philosophers << " philosophers ate " << meals << " times each" << (right ? ", never two neighbours at once\n" : ": WRONG\n");
    return right ? 0 : 1;
}
