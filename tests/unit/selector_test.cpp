// SPDX-License-Identifier: Apache-2.0
#include <weft/errors.hpp>
#include <weft/fiber.hpp>
#include <weft/select.hpp>
#include <weft/timeout.hpp>

#include <catch2/catch.hpp>

#include <cstdio>
#include <string>
#include <system_error>
#include <thread>

#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace std::chrono_literals;
using weft::selector;

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

TEST_CASE("select_waits_for_the_first_that_is_ready") {
    const pair p, q;
    selector s;
    s.register_(p.a, selector::read, 1);
    s.register_(q.a, selector::read, std::string("second"));
    REQUIRE(s.size() == 2);
    REQUIRE(s.select(0s).empty());
    auto waiting = weft::spawn([&] { return s.select(10s); });
    weft::this_fiber::yield();
    REQUIRE_FALSE(waiting.ready());
    REQUIRE(::send(q.b, "x", 1, 0) == 1);
    auto ready = waiting.get(10s);
    REQUIRE(ready.size() == 1);
    REQUIRE(ready[0].fd == q.a);
    REQUIRE(ready[0].events == selector::read);
    REQUIRE(std::any_cast<std::string>(ready[0].data) == "second");
    REQUIRE(s.select(0s).size() == 1); // told until it is read
    char c = 0;
    REQUIRE(::recv(q.a, &c, 1, 0) == 1);
    REQUIRE(s.select(0s).empty());
    REQUIRE(s.select(5ms).empty());
}

TEST_CASE("events_are_those_that_are_wanted") {
    const pair p;
    selector s;
    s.register_(p.a, selector::read | selector::write);
    auto ready = s.select(1s);
    REQUIRE(ready.at(0).events == selector::write);
    REQUIRE(::send(p.b, "x", 1, 0) == 1);
    REQUIRE(s.select(1s).at(0).events == (selector::read | selector::write));
    s.modify(p.a, selector::write, 7);
    ready = s.select(1s);
    REQUIRE(ready.at(0).events == selector::write);
    REQUIRE(std::any_cast<int>(ready.at(0).data) == 7);
    REQUIRE(s.get_key(p.a)->events == selector::write);
    REQUIRE(s.get_key(p.b) == nullptr);
    s.modify(p.a, selector::read);
    ::shutdown(p.b, SHUT_RDWR);
    REQUIRE(s.select(1s).at(0).events == selector::read); // a hang-up
}

TEST_CASE("registrations_are_checked") {
    const pair p;
    selector s;
    s.register_(p.a, selector::read);
    REQUIRE(error_of([&] { s.register_(p.a, selector::read); }) == EEXIST);
    REQUIRE(error_of([&] { s.register_(-1, selector::read); }) == EBADF);
    REQUIRE(error_of([&] { s.register_(9999, selector::read); }) == EBADF);
    REQUIRE(error_of([&] { s.register_(p.b, 0); }) == EINVAL);
    REQUIRE(error_of([&] { s.modify(p.b, selector::read); }) == ENOENT);
    REQUIRE(error_of([&] { s.unregister(p.b); }) == ENOENT);
    REQUIRE(s.unregister(p.a).fd == p.a);
    REQUIRE(s.size() == 0);
    s.register_(p.a, selector::write);
    REQUIRE(s.select(1s).size() == 1);
    s.close();
    REQUIRE(s.size() == 0);
    s.register_(p.a, selector::write); // begins anew
    REQUIRE(s.select(1s).size() == 1);
}

TEST_CASE("a_closed_descriptor_leaves") {
    selector s;
    int number = -1;
    {
        const pair p;
        number = p.a;
        s.register_(p.a, selector::read);
    }
    REQUIRE(s.select(0s).empty());
    const pair again; // the same numbers
    REQUIRE(again.a == number);
    s.register_(again.a, selector::write);
    REQUIRE(s.select(1s).size() == 1);
    REQUIRE(s.unregister(number).fd == number);
}

TEST_CASE("a_regular_file_is_always_ready") {
    std::FILE* const f = std::tmpfile();
    REQUIRE(f != nullptr);
    selector s;
    s.register_(::fileno(f), selector::read | selector::write);
    REQUIRE(s.select().at(0).events == (selector::read | selector::write));
    REQUIRE(error_of([&] { s.register_(::fileno(f), selector::read); }) == EEXIST);
    s.modify(::fileno(f), selector::read);
    REQUIRE(s.select().at(0).events == selector::read);
    s.unregister(::fileno(f));
    REQUIRE(s.select(1ms).empty());
    std::fclose(f);
}

TEST_CASE("many_are_found_at_once") {
    constexpr int count = 300;
    std::vector<std::unique_ptr<pair>> all;
    selector s;
    for (int i = 0; i < count; ++i) {
        all.push_back(std::make_unique<pair>());
        s.register_(all.back()->a, selector::read, i);
        if (i % 2 == 0) REQUIRE(::send(all.back()->b, "x", 1, 0) == 1);
    }
    REQUIRE(s.select(1s).size() == count / 2);
}

TEST_CASE("a_kill_or_a_timeout_ends_select") {
    const pair p;
    selector s;
    s.register_(p.a, selector::read);
    auto f = weft::spawn([&] { return s.select().size(); });
    weft::this_fiber::yield();
    REQUIRE(f.kill(10s));
    REQUIRE_THROWS_AS(weft::with_timeout(5ms, [&] { return s.select().size(); }), weft::timeout_error);
    REQUIRE(::send(p.b, "x", 1, 0) == 1);
    REQUIRE(s.select(1s).size() == 1);
}

TEST_CASE("select_blocks_a_kernel_thread_without_a_hub") {
    const pair p;
    std::size_t found = 0;
    std::thread t([&] {
        selector s;
        s.register_(p.a, selector::read);
        found = s.select(10s).size();
    });
    weft::this_fiber::sleep_for(2ms);
    REQUIRE(::send(p.b, "x", 1, 0) == 1);
    t.join();
    REQUIRE(found == 1);
}

#if !defined(__SANITIZE_THREAD__)
TEST_CASE("a_child_of_fork_has_a_set_of_its_own") {
    const pair p;
    selector s;
    s.register_(p.a, selector::write);
    const pid_t child = ::fork();
    if (child == 0) {
        const bool same = s.select(1s).size() == 1;
        s.unregister(p.a);
        ::_exit(same ? 0 : 1);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    REQUIRE(status == 0);
    REQUIRE(s.select(1s).size() == 1);
}
#endif
