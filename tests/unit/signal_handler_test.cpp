// SPDX-License-Identifier: Apache-2.0
#include <weft/errors.hpp>
#include <weft/event.hpp>
#include <weft/fiber.hpp>
#include <weft/hub.hpp>
#include <weft/signal.hpp>

#include "support/child_process.hpp"

#include <catch2/catch.hpp>

#include <csignal>
#include <optional>
#include <string>
#include <system_error>
#include <thread>

#include <sys/wait.h>
#include <unistd.h>

using namespace std::chrono_literals;

namespace {

template <class F>
bool comes(F condition) {
    for (const weft::deadline end = 10s; !condition();) {
        if (end.expired()) return false;
        weft::this_fiber::sleep_for(1ms);
    }
    return true;
}

/// What the kernel knows.
void (*action_of(int signal))(int) {
    struct sigaction now {};
    ::sigaction(signal, nullptr, &now);
    return now.sa_handler;
}

int error_of(int signal) {
    try {
        weft::signal_handler h(signal, [] {});
        return 0;
    } catch (const std::system_error& e) {
        return e.code().value();
    }
}

} // namespace

TEST_CASE("the_handler_runs_in_a_fiber") {
    std::uint64_t in = 0;
    int number = 0;
    weft::event done;
    weft::signal_handler h(SIGUSR1, [&](int n) {
        in = weft::this_fiber::id();
        number = n;
        weft::this_fiber::sleep_for(2ms); // as any fiber may
        done.set();
    });
    REQUIRE(h.active());
    REQUIRE(h.signal() == SIGUSR1);
    ::raise(SIGUSR1);
    REQUIRE(in == 0); // not at once
    REQUIRE(done.wait(10s));
    REQUIRE(in != weft::this_fiber::id());
    REQUIRE(number == SIGUSR1);
}

TEST_CASE("a_signal_wakes_a_hub_that_sleeps") {
    weft::event done;
    weft::signal_handler h(SIGUSR1, [&] { done.set(); });
    std::thread sender([] {
        ::usleep(5000);
        ::kill(::getpid(), SIGUSR1);
    });
    REQUIRE(done.wait(10s));
    sender.join();
}

TEST_CASE("several_handlers_of_a_signal_run_in_order_and_the_action_before_comes_back") {
    ::signal(SIGUSR2, SIG_IGN);
    std::string order;
    {
        weft::signal_handler first(SIGUSR2, [&] { order += 'a'; });
        std::optional<weft::signal_handler> second;
        second.emplace(SIGUSR2, [&] { order += 'b'; });
        ::raise(SIGUSR2);
        REQUIRE(comes([&] { return order == "ab"; }));
        first.cancel();
        first.cancel();
        REQUIRE_FALSE(first.active());
        ::raise(SIGUSR2);
        REQUIRE(comes([&] { return order == "abb"; }));
        REQUIRE(action_of(SIGUSR2) != SIG_IGN);
        second.reset();
        REQUIRE(action_of(SIGUSR2) == SIG_IGN);
        ::raise(SIGUSR2);
        weft::signal_handler third(SIGUSR2, [&] { order += 'c'; });
        ::raise(SIGUSR2);
        REQUIRE(comes([&] { return order == "abbc"; }));
    }
    REQUIRE(action_of(SIGUSR2) == SIG_IGN);
    ::signal(SIGUSR2, SIG_DFL);
}

TEST_CASE("each_arrival_counts_and_none_after_cancel") {
    int count = 0;
    weft::signal_handler h(SIGRTMIN, [&] { ++count; });
    for (int i = 0; i < 5; ++i) ::raise(SIGRTMIN);
    REQUIRE(comes([&] { return count == 5; }));
    ::raise(SIGRTMIN);
    h.cancel(); // before its fiber had a turn
    weft::this_fiber::sleep_for(5ms);
    REQUIRE(count == 5);
}

TEST_CASE("handlers_keep_nobody_waiting_and_prevent_a_deadlock_error") {
    weft::event done;
    {
        weft::signal_handler h(SIGUSR1, [&] { done.set(); });
        weft::this_fiber::yield();
        REQUIRE(weft::hub::join(10s));
        auto other = weft::spawn([] { weft::this_fiber::sleep_for(5ms); });
        REQUIRE(weft::hub::join(10s));
        REQUIRE(other.ready());
        std::thread sender([] {
            ::usleep(50'000);
            ::kill(::getpid(), SIGUSR1);
        });
        done.wait(); // no deadlock
        sender.join();
    }
    weft::event never;
    REQUIRE_THROWS_AS(never.wait(), weft::deadlock_error);
}

TEST_CASE("what_cannot_be_handled_is_refused") {
    for (const int s : {0, -1, 65, 1000, SIGKILL, SIGSTOP, SIGSEGV, 32}) {
        INFO(s);
        REQUIRE(error_of(s) == EINVAL);
    }
    REQUIRE(error_of(SIGRTMAX) == 0);
}

TEST_CASE("each_hub_runs_its_own_handlers") {
    std::atomic<bool> ready{false}, ran{false};
    std::thread other([&] {
        weft::spawn([] {}).join();
        const auto id = std::this_thread::get_id();
        weft::event done;
        weft::signal_handler h(SIGUSR1, [&] {
            ran = std::this_thread::get_id() == id;
            done.set();
        });
        ready = true;
        done.wait(10s);
    });
    REQUIRE(comes([&] { return ready.load(); }));
    bool here = false;
    {
        weft::signal_handler h(SIGUSR1, [&] { here = true; });
        ::kill(::getpid(), SIGUSR1);
        REQUIRE(comes([&] { return here && ran; }));
    }
    other.join();
    REQUIRE(action_of(SIGUSR1) == SIG_DFL);
}

#if !defined(__SANITIZE_THREAD__) // in a child of fork it does not follow what it must know
TEST_CASE("handlers_go_on_in_a_child_of_fork") {
    int count = 0;
    weft::signal_handler h(SIGUSR1, [&] { ++count; });
    weft::this_fiber::yield();
    const pid_t child = ::fork();
    if (child == 0) {
        ::raise(SIGUSR1);
        ::_exit(comes([&] { return count == 1; }) ? 0 : 1);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    REQUIRE(status == 0);
    weft::this_fiber::sleep_for(5ms);
    REQUIRE(count == 0); // the child's was not the parent's
    ::raise(SIGUSR1);
    REQUIRE(comes([&] { return count == 1; }));
}
#endif

TEST_CASE("an_exception_of_a_handler_is_reported_and_the_next_one_runs") {
    int count = 0;
    weft::signal_handler h(SIGUSR1, [&] {
        if (++count == 1) throw std::runtime_error("this is expected in the test's output");
    });
    ::raise(SIGUSR1);
    REQUIRE(comes([&] { return count == 1; }));
    ::raise(SIGUSR1);
    REQUIRE(comes([&] { return count == 2; }));
}
