// SPDX-License-Identifier: Apache-2.0
#include <weft/event.hpp>
#include <weft/fiber.hpp>
#include <weft/local.hpp>

#include <catch2/catch.hpp>

#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using weft::this_fiber::yield;

TEST_CASE("fiber_local_each_fiber_has_its_own") {
    weft::fiber_local<int> number;
    weft::fiber_local<std::string> text;
    CHECK(*number == 0);
    *number = 7;
    text->append("main");
    std::vector<weft::fiber<int>> all;
    for (int i = 0; i < 5; ++i)
        all.push_back(weft::spawn([&, i] {
            CHECK(*number == 0);
            CHECK(text->empty());
            for (int n = 0; n < i; ++n) {
                ++*number;
                text->append("x");
                yield();
            }
            CHECK(text->size() == static_cast<std::size_t>(i));
            return *number;
        }));
    for (int i = 0; i < 5; ++i) CHECK(all[static_cast<std::size_t>(i)].get() == i);
    CHECK(*number == 7);
    CHECK(*text == "main");
    std::thread plain([&] {
        CHECK(*number == 0);
        *number = 3;
        weft::spawn([&] { CHECK(*number == 0); }).join();
        CHECK(*number == 3); // the thread has a hub now, and is its main fiber
    });
    plain.join();
}

namespace {
struct noted {
    std::vector<std::string>* log = nullptr;
    std::string name;
    noted() = default;
    noted(const noted&) = delete;
    noted& operator=(const noted&) = delete;
    ~noted() {
        if (log == nullptr) return;
        yield(); // it may wait
        log->push_back(name);
    }
};
} // namespace

TEST_CASE("fiber_local_is_destroyed_with_the_fiber") {
    std::vector<std::string> log;
    weft::fiber_local<noted> a;
    weft::fiber_local<noted> b;
    const auto use = [&](weft::fiber_local<noted>& l, const char* name) {
        l->log = &log;
        l->name = name;
    };
    auto returns = weft::spawn([&] {
        use(a, "a");
        use(b, "b");
    });
    returns.join();
    CHECK(log == std::vector<std::string>{"b", "a"}); // before the joiner goes on
    log.clear();
    auto throws = weft::spawn([&] {
        use(a, "thrown");
        throw std::runtime_error("x");
    });
    CHECK_THROWS_AS(throws.get(), std::runtime_error);
    CHECK(log == std::vector<std::string>{"thrown"});
    log.clear();
    weft::event never;
    auto killed = weft::spawn([&] {
        use(a, "killed");
        never.wait();
    });
    yield();
    killed.kill();
    CHECK(log == std::vector<std::string>{"killed"});
    log.clear();
    std::thread([&] { use(a, "thread"); }).join();
    CHECK(log == std::vector<std::string>{"thread"});
}

TEST_CASE("fiber_local_that_is_destroyed_first") {
    std::vector<std::string> log;
    auto early = std::make_unique<weft::fiber_local<noted>>();
    (*early)->log = &log;
    (*early)->name = "mine";
    weft::event go_on;
    auto f = weft::spawn([&] {
        (*early)->log = &log;
        (*early)->name = "other";
        go_on.wait();
        weft::fiber_local<int> later; // never the place of the old one
        CHECK(*later == 0);
    });
    yield();
    early.reset();
    CHECK(log == std::vector<std::string>{"mine"});
    go_on.set();
    f.join();
    CHECK(log == std::vector<std::string>{"mine", "other"});
}

TEST_CASE("fiber_local_made_by_a_destructor") {
    static weft::fiber_local<std::unique_ptr<int>> last;
    static int made = 0;
    struct maker {
        bool armed = false;
        ~maker() {
            if (armed) *last = std::make_unique<int>(++made);
        }
    };
    weft::fiber_local<maker> m;
    weft::spawn([&] { m->armed = true; }).join();
    CHECK(made == 1);
    m.reset();
}

TEST_CASE("fiber_local_with_own_tls") {
    weft::fiber_local<int> n;
    *n = 1;
    weft::any_fiber f;
    try {
        f = weft::spawn({.own_tls = true}, [&] {
            CHECK(*n == 0);
            *n = 5;
            yield();
            CHECK(*n == 5);
        });
    } catch (const std::system_error&) {
        return; // libc is not known well enough
    }
    f.join();
    CHECK(*n == 1);
}
