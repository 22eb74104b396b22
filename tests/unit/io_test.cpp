// SPDX-License-Identifier: Apache-2.0
#include <weft/io.hpp>

#include <weft/fiber.hpp>
#include <weft/timeout.hpp>

#include <catch2/catch.hpp>

#include <atomic>
#include <system_error>
#include <thread>

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

using namespace std::chrono_literals;

namespace {

struct pair {
    int a = -1, b = -1;
    pair() {
        int ends[2];
        REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
        a = ends[0];
        b = ends[1];
    }
    ~pair() {
        ::close(a);
        ::close(b);
    }
    void put() const { REQUIRE(::send(b, "x", 1, 0) == 1); }
};

template <class F>
int error_of(F f) {
    try {
        f();
        return 0;
    } catch (const std::system_error& e) {
        return e.code().value();
    }
}

} // namespace

TEST_CASE("wait_readable_waits_for_data") {
    const pair p;
    auto f = weft::spawn([&] { return weft::wait_readable(p.a, 10s); });
    weft::this_fiber::sleep_for(5ms);
    REQUIRE_FALSE(f.ready());
    p.put();
    REQUIRE(f.get(5s));
    REQUIRE(weft::wait_readable(p.a, -1s)); // a deadline in the past polls
}

TEST_CASE("wait_readable_past_its_deadline_is_false") {
    const pair p;
    REQUIRE_FALSE(weft::wait_readable(p.a, 10ms));
    REQUIRE_FALSE(weft::wait_readable(p.a, -1s));
    REQUIRE(weft::wait_writable(p.a, -1s));
}

TEST_CASE("wait_writable_waits_for_room") {
    const pair p;
    char block[4096] = {};
    while (::send(p.a, block, sizeof block, MSG_DONTWAIT) > 0) {}
    auto f = weft::spawn([&] { return weft::wait_writable(p.a, 10s); });
    weft::this_fiber::sleep_for(5ms);
    REQUIRE_FALSE(f.ready());
    while (::recv(p.b, block, sizeof block, MSG_DONTWAIT) > 0) {}
    REQUIRE(f.get(5s));
}

TEST_CASE("a_regular_file_is_ready_and_a_number_that_is_none_an_error") {
    const int fd = ::open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    REQUIRE(weft::wait_readable(fd, 1s));
    ::close(fd);
    REQUIRE(error_of([] { weft::wait_readable(-1, 1s); }) == EBADF);
    REQUIRE(error_of([&] { weft::wait_readable(fd, 1s); }) == EBADF);
}

TEST_CASE("cancel_wait_ends_all_waits_and_no_later_one") {
    const pair p;
    auto wait = [&] { return error_of([&] { weft::wait_readable(p.a, 10s); }); };
    auto f = weft::spawn(wait);
    auto g = weft::spawn(wait);
    weft::this_fiber::sleep_for(5ms);
    weft::cancel_wait(p.a);
    REQUIRE(f.get(5s) == ECANCELED);
    REQUIRE(g.get(5s) == ECANCELED);
    auto later = weft::spawn([&] { return weft::wait_readable(p.a, 10s); });
    weft::this_fiber::sleep_for(5ms);
    p.put();
    REQUIRE(later.get(5s));
    weft::cancel_wait(-1);
    weft::cancel_wait(1 << 20);
}

TEST_CASE("cancel_wait_from_another_kernel_thread") {
    const pair p;
    auto f = weft::spawn([&] { return error_of([&] { weft::wait_readable(p.a, 10s); }); });
    weft::this_fiber::sleep_for(5ms);
    std::thread other([&] { weft::cancel_wait(p.a); });
    REQUIRE(f.get(5s) == ECANCELED);
    other.join();
}

TEST_CASE("a_time_out_interrupts_wait_readable") {
    const pair p;
    REQUIRE_THROWS_AS(weft::with_timeout(10ms, [&] { weft::wait_readable(p.a); }), weft::timeout_error);
    auto f = weft::spawn([&] { weft::wait_readable(p.a); });
    weft::this_fiber::sleep_for(5ms);
    REQUIRE(f.kill(5s));
}

TEST_CASE("a_kernel_thread_without_a_hub_blocks") {
    const pair p;
    bool ready = false, late = true;
    std::atomic<bool> again{false};
    std::thread other([&] {
        late = weft::wait_readable(p.a, 10ms);
        again = true;
        ready = weft::wait_readable(p.a, 10s);
    });
    while (!again) weft::this_fiber::sleep_for(1ms);
    weft::this_fiber::sleep_for(5ms); // most likely it waits by now
    p.put();
    other.join();
    REQUIRE_FALSE(late);
    REQUIRE(ready);
}
