// SPDX-License-Identifier: Apache-2.0
#include "work/kernel_call.hpp"

#include <weft/weft.hpp>

#include <catch2/catch.hpp>

#include <sys/wait.h>
#include <unistd.h>

using namespace std::chrono_literals;

namespace {

struct kernel_pipe {
    int ends[2] = {-1, -1};
    kernel_pipe() { REQUIRE(::pipe(ends) == 0); }
    ~kernel_pipe() {
        ::close(ends[0]);
        ::close(ends[1]);
    }
};

} // namespace

TEST_CASE("a call on a kernel thread suspends only its fiber and brings back result and errno") {
    kernel_pipe p;
    char c = 0;
    auto reader = weft::spawn([&] { return weft::rt::on_kernel_thread([&]() noexcept { return ::read(p.ends[0], &c, 1); }); });
    weft::this_fiber::yield();
    REQUIRE_FALSE(reader.ready());
    REQUIRE(::write(p.ends[1], "x", 1) == 1);
    REQUIRE(reader.get(5s) == 1);
    REQUIRE(c == 'x');
    auto failing = weft::spawn([] {
        const long result = weft::rt::on_kernel_thread([]() noexcept { return ::read(-1, nullptr, 0); });
        return std::pair(result, errno);
    });
    REQUIRE(failing.get(5s) == std::pair(-1L, EBADF));
}

TEST_CASE("more calls than processors block at once, each on a thread of its own") {
    kernel_pipe p;
    std::vector<weft::fiber<long>> readers;
    for (int i = 0; i < 100; ++i)
        readers.push_back(weft::spawn([&] {
            return weft::rt::on_kernel_thread([&]() noexcept {
                char c;
                return ::read(p.ends[0], &c, 1);
            });
        }));
    weft::this_fiber::sleep_for(10ms);
    REQUIRE(::write(p.ends[1], std::string(100, 'x').data(), 100) == 100);
    for (auto& r : readers) REQUIRE(r.get(10s) == 1);
}

TEST_CASE("a kill and a time-out make the blocked call fail with EINTR") {
    kernel_pipe p;
    std::pair<long, int> seen;
    auto blocked = [&] {
        char c;
        const long result = weft::rt::on_kernel_thread([&]() noexcept { return ::read(p.ends[0], &c, 1); });
        seen = {result, errno};
    };
    auto f = weft::spawn(blocked);
    weft::this_fiber::sleep_for(5ms);
    REQUIRE(f.kill(5s));
    REQUIRE(seen == std::pair(-1L, EINTR));
    seen = {};
    REQUIRE_THROWS_AS(weft::with_timeout(20ms, [&] {
        blocked();
        weft::this_fiber::yield();
    }), weft::timeout_error);
    REQUIRE(seen == std::pair(-1L, EINTR));
}

TEST_CASE("a call that goes on outlives a kill") {
    kernel_pipe p;
    long result = 0;
    auto f = weft::spawn([&] {
        char c;
        auto call = [&]() noexcept { return ::read(p.ends[0], &c, 1); };
        result = weft::rt::on_kernel_thread(call, weft::rt::unbroken);
    });
    weft::this_fiber::sleep_for(5ms);
    f.kill_async();
    weft::this_fiber::sleep_for(20ms);
    REQUIRE_FALSE(f.ready());
    REQUIRE(::write(p.ends[1], "x", 1) == 1);
    REQUIRE(f.join(5s));
    REQUIRE(result == 1);
}

TEST_CASE("a signal of the kick's number that is not ours ends the process as it would have") {
    const pid_t child = ::fork(); // before there are threads: TSan delivers no signal to the child of a process that has some
    if (child == 0) {
        int ends[2];
        if (::pipe(ends) != 0) ::_exit(1);
        auto f = weft::spawn([&] {
            char c;
            return weft::rt::on_kernel_thread([&]() noexcept { return ::read(ends[0], &c, 1); });
        });
        weft::this_fiber::sleep_for(5ms);
        f.kill(5s); // installs the handler
        ::raise(weft::rt::kick_signal);
        ::_exit(0);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    REQUIRE(WIFSIGNALED(status));
    REQUIRE(WTERMSIG(status) == weft::rt::kick_signal);
}
