// SPDX-License-Identifier: Apache-2.0
// Fibers with thread-local storage of their own.
#include <weft/fiber.hpp>
#include <weft/queue.hpp>

#include "core/tls_frame.hpp"

#include <catch2/catch.hpp>

#include <cctype>
#include <cerrno>
#include <clocale>
#include <cstdlib>
#include <set>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include <pthread.h>

namespace {

thread_local int counter = 7;
thread_local std::string text = "fresh";

constexpr weft::fiber_options own{.name = {}, .stack_size = 0, .own_tls = true};

bool available() {
    if (weft::rt::tls_frame::unavailable() == nullptr) return true;
    CHECK_THROWS_AS(weft::spawn(own, [] {}), std::system_error); // and says so
    return false;
}

} // namespace

TEST_CASE("own_tls_each_fiber_has_its_own_variables") {
    if (!available()) return;
    counter = 1;
    text = "main";
    std::vector<weft::fiber<int>> fibers;
    for (int i = 0; i < 20; ++i)
        fibers.push_back(weft::spawn(own, [i] {
            const bool fresh = counter == 7 && text == "fresh";
            counter = 100 + i;
            text = std::to_string(i);
            errno = i + 1;
            for (int n = 0; n < 5; ++n) weft::this_fiber::yield();
            return fresh && counter == 100 + i && text == std::to_string(i) && errno == i + 1 ? i : -1;
        }));
    for (int i = 0; i < 20; ++i) CHECK(fibers[static_cast<std::size_t>(i)].get() == i);
    CHECK(counter == 1);
    CHECK(text == "main");
}

TEST_CASE("own_tls_a_frame_that_is_used_again_is_fresh") {
    if (!available()) return;
    for (int i = 0; i < 100; ++i) {
        auto f = weft::spawn(own, [] {
            const bool fresh = counter == 7 && text == "fresh";
            counter = 0;
            text = "a text that is long enough to be allocated";
            return fresh && std::isalpha('a') != 0;
        });
        REQUIRE(f.get());
    }
}

TEST_CASE("own_tls_pthread_self_is_the_fibers_own") {
    if (!available()) return;
    std::set<pthread_t> seen{pthread_self()};
    std::vector<weft::fiber<pthread_t>> fibers;
    for (int i = 0; i < 10; ++i) fibers.push_back(weft::spawn(own, [] { return pthread_self(); }));
    for (auto& f : fibers) CHECK(seen.insert(f.get()).second);
}

TEST_CASE("own_tls_destructors_run_at_the_end_before_it_is_joined") {
    if (!available()) return;
    static int destroyed = 0;
    static pthread_key_t key;
    struct counts {
        ~counts() { ++destroyed; }
    };
    REQUIRE(pthread_key_create(&key, [](void* value) { destroyed += *static_cast<int*>(value); }) == 0);
    static int ten = 10;
    auto f = weft::spawn(own, [] {
        static thread_local counts mine;
        (void)mine;
        pthread_setspecific(key, &ten);
    });
    REQUIRE(f.join());
    CHECK(destroyed == 11);
    pthread_key_delete(key);
}

TEST_CASE("own_tls_exceptions_in_flight_stay_apart") {
    if (!available()) return;
    auto throws = [](int n) {
        try {
            throw std::runtime_error(std::to_string(n));
        } catch (...) {
            for (int i = 0; i < 3; ++i) weft::this_fiber::yield();
            try {
                throw;
            } catch (const std::runtime_error& e) {
                return std::string(e.what());
            }
        }
    };
    auto a = weft::spawn(own, throws, 1);
    auto b = weft::spawn(own, throws, 2);
    auto c = weft::spawn(throws, 3);
    CHECK(a.get() == "1");
    CHECK(b.get() == "2");
    CHECK(c.get() == "3");
}

TEST_CASE("own_tls_memory_may_be_freed_by_another_fiber") {
    if (!available()) return;
    weft::queue<void*> q;
    auto f = weft::spawn(own, [&] {
        for (std::size_t i = 0; i < 200; ++i) q.put(std::malloc(16 + i * 7));
        q.put(nullptr);
    });
    auto g = weft::spawn(own, [&] {
        for (int n = 0;; ++n) {
            void* p = q.get();
            if (p == nullptr) return n;
            std::free(p);
        }
    });
    CHECK(g.get() == 200);
    f.join();
}
