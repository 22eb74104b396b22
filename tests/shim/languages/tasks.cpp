// SPDX-License-Identifier: Apache-2.0
// C++20's futures, and exceptions in threads that wait while they handle them.
#include "cases.hpp"

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <future>
#include <iostream>
#include <memory>
#include <mutex>
#include <numeric>
#include <semaphore>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace std::chrono_literals;

namespace {

void async_and_get() {
    std::vector<std::future<long>> parts;
    for (long i = 0; i < 20; ++i)
        parts.push_back(std::async(std::launch::async, [i] {
            std::this_thread::sleep_for(1ms);
            return i * i;
        }));
    long sum = 0;
    for (auto& p : parts) sum += p.get();
    std::printf("%ld, valid after get: %d\n", sum, parts[0].valid());
    const auto self = std::this_thread::get_id();
    auto lazy = std::async(std::launch::deferred, [&] { return std::this_thread::get_id() == self; });
    const bool deferred = lazy.wait_for(0s) == std::future_status::deferred;
    std::printf("deferred %d, runs in the caller %d\n", deferred, lazy.get());
    std::atomic<bool> done = false;
    static_cast<void>(std::async(std::launch::async, [&] {
        std::this_thread::sleep_for(5ms);
        done = true;
    }));
    std::printf("a future of async waits in its destructor: %d\n", done.load());
}

void exceptions_travel_in_futures() {
    auto failing = std::async(std::launch::async, []() -> int { throw std::out_of_range("from a thread"); });
    try {
        failing.get();
    } catch (const std::out_of_range& e) {
        std::printf("%s\n", e.what());
    }
    std::future<void> orphan;
    {
        std::promise<void> promise;
        orphan = promise.get_future();
    }
    try {
        orphan.get();
    } catch (const std::future_error& e) {
        std::printf("%s\n", e.code().message().c_str());
    }
    try {
        std::promise<int> twice;
        twice.set_value(1);
        twice.set_value(2);
    } catch (const std::future_error& e) {
        std::printf("%s\n", e.code().message().c_str());
    }
}

void promises_and_waits() {
    std::promise<std::string> promise;
    std::shared_future<std::string> shared = promise.get_future().share();
    std::printf("timeout %d\n", shared.wait_for(5ms) == std::future_status::timeout);
    std::vector<std::future<std::size_t>> lengths;
    for (int i = 0; i < 5; ++i) lengths.push_back(std::async(std::launch::async, [shared] { return shared.get().size(); }));
    std::thread setter([&] { promise.set_value("seven b"); });
    std::size_t sum = 0;
    for (auto& l : lengths) sum += l.get();
    setter.join();
    std::printf("%zu, ready %d\n", sum, shared.wait_until(std::chrono::system_clock::now()) == std::future_status::ready);
}

void values_at_thread_exit() {
    static std::atomic<bool> gone;
    struct slow {
        int dummy = 0;
        ~slow() {
            std::this_thread::sleep_for(5ms);
            gone = true;
        }
    };
    std::promise<int> promise;
    auto future = promise.get_future();
    std::thread t([&] {
        promise.set_value_at_thread_exit(5);
        static thread_local slow local;
        local.dummy = 1;
    });
    const int value = future.get();
    std::printf("%d after the thread_locals: %d\n", value, gone.load());
    t.join();
    std::packaged_task<int(int)> task([](int n) { return n + 1; });
    auto result = task.get_future();
    std::thread([&] { task.make_ready_at_thread_exit(41); }).join();
    std::printf("%d\n", result.get());
    task.reset();
    result = task.get_future();
    std::thread(std::move(task), 1).join();
    std::printf("%d\n", result.get());
}

// Each thread waits inside its handler, in another way, and rethrows what it caught.
void exceptions_stay_with_their_thread() {
    std::mutex m;
    std::condition_variable changed;
    std::atomic<int> caught = 0, wrong = 0;
    int pipe_ends[2];
    if (pipe(pipe_ends) != 0) return;
    std::binary_semaphore go(0);
    auto wait_somehow = [&](int kind) {
        ++caught;
        caught.notify_all();
        char byte;
        if (kind == 0) std::this_thread::sleep_for(5ms);
        if (kind == 1) std::this_thread::yield();
        if (kind == 2 && read(pipe_ends[0], &byte, 1) != 1) ++wrong;
        if (kind == 3) go.acquire();
        if (kind == 4) {
            std::unique_lock lock(m);
            changed.wait(lock, [&] { return caught >= 10; });
        }
        if (kind == 5) std::async(std::launch::async, [] { std::this_thread::sleep_for(2ms); }).wait();
    };
    std::vector<std::thread> threads;
    for (int i = 0; i < 12; ++i)
        threads.emplace_back([&, i] {
            try {
                try {
                    try {
                        throw i;
                    } catch (int) {
                        wait_somehow(i % 6);
                        throw std::runtime_error(std::to_string(i) + " nested");
                    }
                } catch (const std::runtime_error& e) {
                    if (e.what() != std::to_string(i) + " nested" || std::uncaught_exceptions() != 0) ++wrong;
                    std::this_thread::sleep_for(1ms * (12 - i));
                    throw;
                }
            } catch (const std::exception& e) {
                if (e.what() != std::to_string(i) + " nested") ++wrong;
            }
        });
    for (int now = caught; now < 12; now = caught) caught.wait(now);
    {
        std::lock_guard lock(m);
        changed.notify_all();
    }
    if (write(pipe_ends[1], "ab", 2) != 2) ++wrong;
    go.release();
    std::this_thread::sleep_for(2ms);
    go.release();
    for (auto& t : threads) t.join();
    std::printf("caught %d wrong %d\n", caught.load(), wrong.load());
}

struct waits_in_destructor {
    int* seen;
    ~waits_in_destructor() {
        const int before = std::uncaught_exceptions();
        std::this_thread::sleep_for(3ms);
        *seen = before * 10 + std::uncaught_exceptions();
    }
};

void uncaught_exceptions_over_waits() {
    std::array<int, 6> seen{};
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < seen.size(); ++i)
        threads.emplace_back([&, i] {
            try {
                waits_in_destructor waits{&seen[i]};
                if (i % 2 == 0) throw 1;
            } catch (int) {
            }
        });
    for (auto& t : threads) t.join();
    for (int s : seen) std::printf("%d ", s);
    std::puts("");
}

void exception_pointers_between_threads() {
    std::exception_ptr pointer;
    std::thread([&] {
        try {
            throw std::invalid_argument("kept");
        } catch (...) {
            pointer = std::current_exception();
        }
    }).join();
    std::vector<std::thread> threads;
    std::atomic<int> right = 0;
    for (int i = 0; i < 5; ++i)
        threads.emplace_back([&] {
            try {
                std::rethrow_exception(pointer);
            } catch (const std::invalid_argument& e) {
                std::this_thread::sleep_for(1ms);
                right += e.what() == std::string("kept") && std::current_exception() == pointer;
            }
        });
    for (auto& t : threads) t.join();
    std::printf("%d\n", right.load());
    try {
        try {
            throw std::runtime_error("inner");
        } catch (...) {
            std::throw_with_nested(std::logic_error("outer"));
        }
    } catch (const std::logic_error& e) {
        try {
            std::rethrow_if_nested(e);
        } catch (const std::runtime_error& inner) {
            std::printf("%s %s\n", e.what(), inner.what());
        }
    }
}

void an_uncaught_exception_aborts() {
    std::puts("before");
    std::fflush(stdout);
    std::thread([] { throw std::runtime_error("nobody catches me"); }).join();
    std::puts("never");
}

void a_joinable_thread_aborts() {
    std::set_terminate([] {
        std::puts("terminate");
        std::fflush(stdout);
        std::abort();
    });
    std::thread forgotten([] { std::this_thread::sleep_for(10s); });
}

void exit_in_a_thread() {
    static struct says {
        ~says() { std::puts("statics are destroyed"); }
    } said;
    std::atexit([] { std::puts("atexit"); });
    std::thread others([] { std::this_thread::sleep_for(10s); });
    std::thread([] { std::exit(7); }).join();
    others.join();
}

void streams_of_all_threads() {
    std::ostringstream whole;
    std::mutex m;
    std::vector<std::thread> threads;
    std::atomic<int> bad = 0;
    for (int i = 0; i < 8; ++i)
        threads.emplace_back([&, i] {
            for (int n = 0; n < 50; ++n) {
                std::stringstream own;
                own << i << ' ' << n << ' ' << 0.5 * n << std::hex << ' ' << 255 << std::dec;
                int a = -1, b = -1;
                own >> a >> b;
                if (a != i || b != n) ++bad;
                if (n % 10 == 0) std::this_thread::yield();
            }
            std::lock_guard lock(m);
            whole << 'x';
        });
    for (auto& t : threads) t.join();
    std::cout << whole.str() << ' ' << bad << std::endl;
    std::cerr << "said to cerr\n";
}

constexpr named_case cases[] = {
    {"async_and_get", async_and_get},
    {"exceptions_travel_in_futures", exceptions_travel_in_futures},
    {"promises_and_waits", promises_and_waits},
    {"values_at_thread_exit", values_at_thread_exit},
    {"exceptions_stay_with_their_thread", exceptions_stay_with_their_thread},
    {"uncaught_exceptions_over_waits", uncaught_exceptions_over_waits},
    {"exception_pointers_between_threads", exception_pointers_between_threads},
    {"an_uncaught_exception_aborts", an_uncaught_exception_aborts},
    {"a_joinable_thread_aborts", a_joinable_thread_aborts},
    {"exit_in_a_thread", exit_in_a_thread},
    {"streams_of_all_threads", streams_of_all_threads},
};

} // namespace

int main(int argc, char** argv) { return run_case(argc, argv, cases); }
