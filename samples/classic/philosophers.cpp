// SPDX-License-Identifier: Apache-2.0
// Dining philosophers (Dijkstra, 1965): each needs the forks at both sides. std::scoped_lock takes two without a deadlock; --greedy takes the left
// one and waits for the right, and weft says who waits for what when nobody can go on.
#include "options/options.hpp"

#include <weft/errors.hpp>
#include <weft/fiber.hpp>
#include <weft/pool.hpp>
#include <weft/sync.hpp>

#include <algorithm>
#include <deque>
#include <iostream>
#include <mutex>
#include <vector>

int main(int argc, char** argv) {
    samples::options args("Philosophers at a round table, a fork between any two.", "classic-philosophers");
    std::size_t philosophers = 5;
    int meals = 100;
    bool greedy = false;
    args.number("--philosophers", philosophers, "", 2, 100'000);
    args.number("--meals", meals, "Of each", 0, 1'000'000);
    args.flag("--greedy", greedy, "Each takes the left fork, then waits for the right one: a deadlock");
    if (const auto status = args.parse(argc, argv)) return *status;

    std::deque<weft::mutex> forks(philosophers);
    std::vector<int> eaten(philosophers), eats(philosophers);
    bool wrong = false;
    const auto eat = [&](std::size_t me) {
        const std::size_t left = (me + philosophers - 1) % philosophers, right = (me + 1) % philosophers;
        eats[me] = 1;
        wrong |= philosophers > 2 ? (eats[left] != 0 || eats[right] != 0) : eats[left] != 0;
        weft::this_fiber::yield();
        eats[me] = 0;
        ++eaten[me];
    };
    weft::group table;
    for (std::size_t me = 0; me < philosophers; ++me) {
        table.spawn({.name = "philosopher"}, [&, me] {
            weft::mutex &one = forks[me], &other = forks[(me + 1) % philosophers];
            for (int i = 0; i < meals; ++i) {
                if (!greedy) {
                    const std::scoped_lock both(one, other);
                    eat(me);
                } else {
                    const std::unique_lock first(one);
                    weft::this_fiber::yield(); // so do the others
                    const std::unique_lock second(other);
                    eat(me);
                }
            }
        });
    }
    try {
        table.join();
    } catch (const weft::deadlock_error& e) {
        std::cout << e.what() << '\n';
        return greedy ? 0 : 1;
    }
    const bool right = !wrong && std::all_of(eaten.begin(), eaten.end(), [&](int n) { return n == meals; });
    std::cout << philosophers << " philosophers ate " << meals << " times each" << (right ? ", never two neighbours at once\n" : ": WRONG\n");
    return right ? 0 : 1;
}
