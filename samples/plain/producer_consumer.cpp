// SPDX-License-Identifier: Apache-2.0
// Producers and consumers share a queue with few places. A plain program of POSIX threads that knows nothing of weft.
#include "threads.hpp"
#include "options/options.hpp"

#include <cstdint>
#include <deque>
#include <iostream>

namespace {

/// A queue of ints with a bound, and an end.
class bounded_queue {
public:
    explicit bounded_queue(std::size_t places) : places_(places) {}
    void put(int item) {
        const plain::holding hold(lock_);
        while (items_.size() == places_) ::pthread_cond_wait(&room_, &lock_);
        items_.push_back(item);
        ::pthread_cond_signal(&something_);
    }
    /// False: there is nothing left, and nothing more comes.
    bool get(int& item) {
        const plain::holding hold(lock_);
        while (items_.empty() && !ended_) ::pthread_cond_wait(&something_, &lock_);
        if (items_.empty()) return false;
        item = items_.front();
        items_.pop_front();
        ::pthread_cond_signal(&room_);
        return true;
    }
    void end() {
        const plain::holding hold(lock_);
        ended_ = true;
        ::pthread_cond_broadcast(&something_);
    }

private:
    pthread_mutex_t lock_ = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t room_ = PTHREAD_COND_INITIALIZER;
    pthread_cond_t something_ = PTHREAD_COND_INITIALIZER;
    std::deque<int> items_;
    std::size_t places_;
    bool ended_ = false;
};

} // namespace

int main(int argc, char** argv) {
    samples::options args("Producers and consumers that share a queue with few places, as POSIX threads.", "plain-producer-consumer");
    int producers = 4, consumers = 3, items = 1000, places = 10;
    args.number("--producers", producers, "", 1, 100'000);
    args.number("--consumers", consumers, "", 1, 100'000);
    args.number("--items", items, "Of each producer", 0, 10'000'000);
    args.number("--places", places, "In the queue", 1, 1'000'000);
    if (const auto status = args.parse(argc, argv)) return *status;

    bounded_queue queue(static_cast<std::size_t>(places));
    std::int64_t count = 0, sum = 0;
    pthread_mutex_t total = PTHREAD_MUTEX_INITIALIZER;
    {
        plain::threads takers;
        for (int c = 0; c < consumers; ++c) {
            takers.start([&] {
                std::int64_t mine = 0, my_sum = 0;
                for (int item = 0; queue.get(item); my_sum += item) ++mine;
                const plain::holding hold(total);
                count += mine;
                sum += my_sum;
            });
        }
        plain::threads makers;
        for (int p = 0; p < producers; ++p) {
            makers.start([&] {
                for (int i = 1; i <= items; ++i) queue.put(i);
            });
        }
        makers.join();
        queue.end();
    }
    const std::int64_t expected = std::int64_t{producers} * items * (std::int64_t{items} + 1) / 2;
    std::cout << count << " items consumed, sum " << sum << (sum == expected ? ": all of them, once\n" : ": WRONG\n");
    return sum == expected && count == std::int64_t{producers} * items ? 0 : 1;
}
