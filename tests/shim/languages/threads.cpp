// SPDX-License-Identifier: Apache-2.0
// C++20's threads: std::thread, std::jthread and stop tokens.
#include "cases.hpp"

#include <atomic>
#include <barrier>
#include <chrono>
#include <condition_variable>
#include <latch>
#include <mutex>
#include <semaphore>
#include <set>
#include <stop_token>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

using namespace std::chrono_literals;

namespace {

void threads_have_ids_of_their_own() {
    std::set<std::thread::id> ids{std::this_thread::get_id()};
    std::mutex guard;
    std::barrier all(20);
    std::vector<std::thread> threads;
    for (int i = 0; i < 20; ++i)
        threads.emplace_back([&] {
            all.arrive_and_wait();
            std::lock_guard lock(guard);
            ids.insert(std::this_thread::get_id());
        });
    bool same = true;
    for (auto& t : threads) same &= ids.size() >= 1 && t.joinable();
    for (auto& t : threads) t.join();
    std::printf("%zu ids, joinable before %d, after %d\n", ids.size(), same, threads[0].joinable());
    std::printf("hardware_concurrency is known: %d\n", std::thread::hardware_concurrency() > 0);
}

void arguments_and_moves() {
    std::string text = "a string that is longer than what fits inside itself";
    std::string seen;
    std::thread t([](std::string by_value, std::string& by_reference) { by_reference = by_value + "!"; }, text, std::ref(seen));
    std::thread moved = std::move(t);
    std::printf("%d %d\n", t.joinable(), moved.joinable());
    moved.join();
    std::puts(seen.c_str());
    try {
        moved.join();
    } catch (const std::system_error& e) {
        std::printf("join again: %s\n", e.code().message().c_str());
    }
    try {
        std::thread self;
        std::binary_semaphore ready(0), tried(0);
        std::string said;
        self = std::thread([&] {
            ready.acquire();
            try {
                self.join();
            } catch (const std::system_error& e) {
                said = e.code().message();
            }
            tried.release();
        });
        ready.release();
        tried.acquire();
        self.join();
        std::printf("join of oneself: %s\n", said.c_str());
    } catch (...) {
        std::puts("?");
    }
}

void detached_threads_run_on() {
    std::latch done(10);
    std::atomic<int> sum = 0;
    for (int i = 0; i < 10; ++i)
        std::thread([&, i] {
            std::this_thread::sleep_for(1ms * i);
            sum += i;
            done.count_down();
        }).detach();
    done.wait();
    std::printf("%d\n", sum.load());
}

void a_thousand_threads_in_turn() {
    long sum = 0;
    for (int i = 0; i < 1000; ++i) std::thread([&] { sum += i; }).join();
    std::printf("%ld\n", sum);
}

void three_hundred_at_once() {
    std::latch all(300);
    std::atomic<long> sum = 0;
    {
        std::vector<std::jthread> threads;
        for (int i = 0; i < 300; ++i)
            threads.emplace_back([&, i] {
                all.arrive_and_wait();
                sum += i;
            });
    }
    std::printf("%ld\n", sum.load());
}

void jthread_asks_to_stop_and_joins() {
    std::atomic<int> turns = 0;
    std::atomic<bool> ended = false;
    {
        std::jthread worker([&](std::stop_token stop) {
            while (!stop.stop_requested()) {
                ++turns;
                turns.notify_all();
                std::this_thread::sleep_for(1ms);
            }
            ended = true;
        });
        turns.wait(0);
    }
    std::printf("worked %d ended %d\n", turns > 0, ended.load());
}

void stop_callbacks_run_in_who_asks() {
    bool found = true, stopped = false;
    std::jthread waits([&](std::stop_token stop) {
        std::mutex m;
        std::condition_variable_any changed;
        std::unique_lock lock(m);
        found = changed.wait(lock, stop, [] { return false; });
        stopped = stop.stop_requested();
    });
    const auto asker = std::this_thread::get_id();
    std::thread::id called_in;
    std::stop_callback callback(waits.get_stop_token(), [&] { called_in = std::this_thread::get_id(); });
    std::this_thread::sleep_for(10ms);
    std::printf("asked: %d\n", waits.request_stop());
    std::printf("again: %d, called in the asker: %d\n", waits.request_stop(), called_in == asker);
    waits.join();
    std::printf("woken by the stop: found %d stop %d\n", found, stopped);
}

void condition_variable_any_with_time() {
    std::mutex m;
    std::condition_variable_any changed;
    std::unique_lock lock(m);
    std::printf("for: %d\n", changed.wait_for(lock, 5ms) == std::cv_status::timeout);
    std::printf("until: %d\n", changed.wait_until(lock, std::chrono::system_clock::now() + 5ms, [] { return false; }));
    std::stop_source source;
    std::printf("stop_token for: %d\n", changed.wait_for(lock, source.get_token(), 5ms, [] { return false; }));
    bool ready = false;
    std::jthread other([&] {
        std::lock_guard inner(m);
        ready = true;
        changed.notify_one();
    });
    changed.wait(lock, [&] { return ready; });
    std::printf("ready %d owns %d\n", ready, lock.owns_lock());
}

void notify_all_at_thread_exit() {
    std::mutex m;
    std::condition_variable changed;
    bool ready = false;
    static thread_local struct slow {
        bool* told = nullptr;
        ~slow() {
            std::this_thread::sleep_for(5ms);
            if (told != nullptr) *told = true;
        }
    } local;
    bool destroyed = false;
    std::thread([&] {
        std::unique_lock lock(m);
        ready = true;
        std::notify_all_at_thread_exit(changed, std::move(lock));
        local.told = &destroyed; // made later, so it goes earlier
    }).detach();
    std::unique_lock lock(m);
    changed.wait(lock, [&] { return ready; });
    std::printf("after its thread_locals: %d\n", destroyed);
}

void sleeps_take_their_time() {
    const auto start = std::chrono::steady_clock::now();
    std::vector<std::jthread> threads;
    for (int i = 0; i < 50; ++i) threads.emplace_back([] { std::this_thread::sleep_for(30ms); });
    threads.clear();
    const auto took = std::chrono::steady_clock::now() - start;
    std::printf("at least 30 ms: %d, side by side: %d\n", took >= 30ms, took < 50 * 30ms);
    std::this_thread::sleep_until(std::chrono::system_clock::now() - 1s);
    std::puts("the past is over");
}

constexpr named_case cases[] = {
    {"threads_have_ids_of_their_own", threads_have_ids_of_their_own},
    {"arguments_and_moves", arguments_and_moves},
    {"detached_threads_run_on", detached_threads_run_on},
    {"a_thousand_threads_in_turn", a_thousand_threads_in_turn},
    {"three_hundred_at_once", three_hundred_at_once},
    {"jthread_asks_to_stop_and_joins", jthread_asks_to_stop_and_joins},
    {"stop_callbacks_run_in_who_asks", stop_callbacks_run_in_who_asks},
    {"condition_variable_any_with_time", condition_variable_any_with_time},
    {"notify_all_at_thread_exit", notify_all_at_thread_exit},
    {"sleeps_take_their_time", sleeps_take_their_time},
};

} // namespace

int main(int argc, char** argv) { return run_case(argc, argv, cases); }
