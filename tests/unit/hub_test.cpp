// SPDX-License-Identifier: Apache-2.0
// One hub: its turns, timers and rest.
#include <weft/fiber.hpp>
#include <weft/hub.hpp>

#include "core/readiness.hpp"
#include "support/child_process.hpp"
#include "support/pace.hpp"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <iostream>
#include <new>
#include <string>
#include <vector>

#include <sys/epoll.h>
#include <sys/socket.h>

using namespace std::chrono_literals;
using steady = std::chrono::steady_clock;
using test_support::must;

namespace {

std::chrono::nanoseconds processor_time() {
    timespec t{};
    must(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) == 0);
    return std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec);
}

} // namespace

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OWN_OPERATOR_NEW 0 // the sanitizer has its own
#else
#define OWN_OPERATOR_NEW 1

namespace {

std::size_t allocations = 0;

} // namespace

// Counted for sleeps_allocate_nothing; the program has one kernel thread.
void* operator new(std::size_t n) {
    ++allocations;
    if (void* p = std::malloc(n)) return p;
    throw std::bad_alloc();
}
void operator delete(void* p) noexcept {
    std::free(p);
}
void operator delete(void* p, std::size_t) noexcept {
    std::free(p);
}
#endif

TEST_CASE("fibers_take_turns") {
    std::string order;
    for (char c : {'a', 'b', 'c'}) {
        weft::spawn([&order, c] {
            for (int i = 0; i < 3; ++i) {
                order += c;
                weft::this_fiber::yield();
            }
        });
    }
    weft::wait();
    CHECK(order == "abcabcabc");
}

TEST_CASE("a_fiber_that_yields_starves_no_timer") {
    bool stop = false;
    auto spinner = weft::spawn([&stop] {
        while (!stop) weft::this_fiber::yield();
    });
    // In time of the processor, which this thread uses all along as far as it gets it.
    std::vector<std::chrono::nanoseconds> spent;
    for (int i = 0; i < 50; ++i) {
        const auto at = steady::now() + 2ms;
        const auto before = processor_time();
        weft::this_fiber::sleep_until(at);
        spent.push_back(processor_time() - before);
        CHECK(steady::now() >= at);
    }
    stop = true;
    spinner.join();
    std::nth_element(spent.begin(), spent.begin() + 25, spent.end());
    CHECK(spent[25] < 2ms + 5ms);
}

TEST_CASE("a_fiber_that_yields_starves_no_descriptor") {
    int ends[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    bool stop = false;
    auto spinner = weft::spawn([&stop] {
        while (!stop) weft::this_fiber::yield();
    });
    int got = 0;
    auto reader = weft::spawn([&] {
        char c = 0;
        while (got < 20) {
            if (recv(ends[0], &c, 1, MSG_DONTWAIT) == 1) ++got;
            else weft::rt::readiness::wait(ends[0], EPOLLIN, {});
        }
    });
    for (int i = 0; i < 20; ++i) {
        const char c = 'x';
        REQUIRE(send(ends[1], &c, 1, 0) == 1);
        const auto until = steady::now() + 20s;
        while (got <= i && steady::now() < until) weft::this_fiber::yield();
        REQUIRE(got == i + 1);
    }
    stop = true;
    CHECK(weft::joinall({spinner, reader}, 20s).size() == 2);
    close(ends[0]);
    close(ends[1]);
}

TEST_CASE("fibers_that_compute_starve_nobody") {
    bool stop = false;
    std::vector<weft::any_fiber> fibers;
    for (int i = 0; i < 10; ++i) {
        fibers.push_back(weft::spawn([&stop] {
            while (!stop) {
                for (const auto until = steady::now() + 200us; steady::now() < until;) {
                }
                weft::this_fiber::yield();
            }
        }));
    }
    const auto before = processor_time(); // of which this thread uses all that it gets
    weft::this_fiber::sleep_for(5ms);
    const auto spent = processor_time() - before;
    stop = true;
    weft::joinall(fibers);
    CHECK(spent < 5ms + 50ms); // 10 turns of 200 us are enough
}

TEST_CASE("sleeps_under_a_millisecond_are_precise", "[serial]") {
    for (const auto d : {50us, 100us, 200us, 400us, 800us}) {
        std::vector<double> late;
        for (int i = 0; i < 101; ++i) {
            const auto at = steady::now() + d;
            weft::this_fiber::sleep_until(at);
            late.push_back(std::chrono::duration<double, std::micro>(steady::now() - at).count());
        }
        std::sort(late.begin(), late.end());
        std::cout << "sleep of " << d.count() << " us: median " << late[50] << " us late\n";
        CHECK(late[0] >= 0);
        CHECK(late[50] < 400); // libev alone: 278 for 800 us, 1,028 for 50 us
    }
}

TEST_CASE("sleepers_wake_in_the_order_of_their_deadlines") {
    CHECK(test_support::wrong_at_any_pace([](test_support::pace& p) {
        std::vector<int> order;
        steady::time_point base;
        int started = 0;
        auto gate = weft::spawn([&] { // all have started before any of the times is near
            while (started < 500) weft::this_fiber::yield();
            base = steady::now() + p.ms(100);
        });
        for (int i = 0; i < 500; ++i) {
            const int when = i * 7919 % 500;
            weft::spawn([&, when] {
                ++started;
                gate.join();
                weft::this_fiber::sleep_until(base + when * 20us);
                order.push_back(when);
            });
        }
        weft::wait();
        CHECK(order.size() == 500);
        p.check(std::is_sorted(order.begin(), order.end()));
    }) == 0);
    CHECK(weft::hub::current().stats().timers == 0);
}

#if OWN_OPERATOR_NEW
TEST_CASE("sleeps_allocate_nothing") {
    auto other = weft::spawn([] {
        for (int i = 0; i < 200; ++i) weft::this_fiber::sleep_for(20us);
    });
    weft::this_fiber::sleep_for(100us);
    const std::size_t before = allocations;
    for (int i = 0; i < 100; ++i) {
        weft::this_fiber::sleep_for(20us);
        weft::this_fiber::yield();
        other.join(10us);
    }
    CHECK(allocations == before);
    other.join();
}
#endif

// --- A process with nothing to do ---

namespace {

std::chrono::microseconds cpu_time() {
    rusage u{};
    getrusage(RUSAGE_SELF, &u);
    return std::chrono::seconds(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           std::chrono::microseconds(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

/// In a child: what CPU time goes by while main sleeps a second.
void rests_during(const std::function<void()>& prepare) {
    const auto r = test_support::run_in_child([&prepare] {
        prepare();
        weft::this_fiber::sleep_for(20ms); // everything has settled
        const auto polls = weft::hub::current().stats().polls;
        const auto before = cpu_time();
        weft::this_fiber::sleep_for(1s);
        const auto used = cpu_time() - before;
        dprintf(
            2, "%ld us, %lu polls", static_cast<long>(used.count()),
            static_cast<unsigned long>(weft::hub::current().stats().polls - polls));
        must(used < 20ms);
        must(weft::hub::current().stats().polls - polls < 20);
    });
    INFO(r.err);
    CHECK(r.exit_code() == 0);
}

} // namespace

TEST_CASE("a_parked_process_uses_no_cpu") {
    rests_during([] {
        static std::vector<weft::any_fiber> fibers;
        for (int i = 0; i < 1000; ++i) fibers.push_back(weft::spawn([] { weft::this_fiber::sleep_for(1h); }));
        for (int i = 0; i < 100; ++i) fibers.push_back(weft::spawn([f = fibers[0]] { f.join(); }));
    });
}

TEST_CASE("unread_data_nobody_waits_for_uses_no_cpu") {
    rests_during([] {
        int ends[2];
        must(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
        const int fd = ends[0];
        const int peer = ends[1];
        weft::spawn([fd] { weft::rt::readiness::wait(fd, EPOLLIN, {}); }).join(1ms);
        for (int i = 0; i < 3; ++i) {
            must(send(peer, "x", 1, 0) == 1);
            weft::this_fiber::sleep_for(2ms); // the waiter has gone, nothing was read
        }
    });
}

TEST_CASE("a_hung_up_descriptor_nobody_waits_for_uses_no_cpu") {
    rests_during([] {
        int ends[2];
        must(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
        const int fd = ends[0];
        auto f = weft::spawn([fd] { weft::rt::readiness::wait(fd, EPOLLIN | EPOLLOUT, {}); });
        f.join();
        weft::this_fiber::sleep_for(2ms);
        close(ends[1]);
    });
}

TEST_CASE("hub_counts") {
    const weft::hub& h = weft::hub::current();
    CHECK(&h == &weft::hub::current());
    const weft::hub_stats before = h.stats();
    auto parked = weft::spawn([] { weft::this_fiber::sleep_for(1h); });
    weft::this_fiber::yield();
    auto fresh = weft::spawn([] {});
    weft::hub_stats s = h.stats();
    CHECK(s.spawned == before.spawned + 2);
    CHECK(s.running == 1);
    CHECK(s.parked == 1);
    CHECK(s.ready == 1);
    CHECK(s.timers == 1);
    CHECK(s.finished == before.finished);
    CHECK(s.stack_bytes >= 2 * 256 * 1024);
    const auto fibers = h.fibers();
    REQUIRE(fibers.size() == 3);
    CHECK(fibers[0] == weft::this_fiber::self());
    CHECK(fibers[1] == parked);
    CHECK(fibers[2] == fresh);
    fresh.join();
    parked.kill();
    s = h.stats();
    CHECK(s.finished == before.finished + 2);
    CHECK(s.parked == 0);
    CHECK(s.switches >= 4);
    CHECK(h.fibers().size() == 1);
}
