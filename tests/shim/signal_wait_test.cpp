// SPDX-License-Identifier: Apache-2.0
// Fibers that wait for signals: the others run on, kill and time-outs reach in.
#include "ticker.hpp"

#include <catch2/catch.hpp>

#include <csignal>
#include <ctime>
#include <pthread.h>
#include <thread>
#include <vector>

using namespace shim_test;

extern "C" int __sigsuspend(const sigset_t*);
#pragma GCC diagnostic ignored "-Wdeprecated-declarations" // sigpause

namespace {

volatile std::sig_atomic_t caught;
void count(int) { caught = caught + 1; }

void handle(int number, int flags = 0) {
    struct sigaction a {};
    a.sa_handler = count;
    a.sa_flags = flags;
    REQUIRE(::sigaction(number, &a, nullptr) == 0);
    caught = 0;
}

sigset_t only(std::initializer_list<int> numbers) {
    sigset_t set;
    sigemptyset(&set);
    for (const int n : numbers) sigaddset(&set, n);
    return set;
}

/// Blocks signals while it lives.
class blocked {
public:
    blocked(std::initializer_list<int> numbers) {
        const sigset_t set = only(numbers);
        ::pthread_sigmask(SIG_BLOCK, &set, &before_);
    }
    ~blocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
    blocked(const blocked&) = delete;
    blocked& operator=(const blocked&) = delete;
    [[nodiscard]] const sigset_t& before() const { return before_; }

private:
    sigset_t before_;
};

bool is_blocked(int number) {
    sigset_t now;
    ::pthread_sigmask(SIG_BLOCK, nullptr, &now);
    return sigismember(&now, number) == 1;
}

struct named_call {
    const char* name;
    std::function<long()> call;
};

const timespec long_time{20, 0};

/// Each waits for SIGUSR1 to be accepted.
const std::vector<named_call>& accepting() {
    static const sigset_t set = only({SIGUSR1});
    static const std::vector<named_call> all{
        {"sigwait", [] { int n = 0; const int error = ::sigwait(&set, &n); return long{error != 0 ? -error : n}; }},
        {"sigwaitinfo", [] { siginfo_t i; return long{::sigwaitinfo(&set, &i)}; }},
        {"sigtimedwait", [] { siginfo_t i; return long{::sigtimedwait(&set, &i, &long_time)}; }},
        {"sigtimedwait for ever", [] { return long{::sigtimedwait(&set, nullptr, nullptr)}; }},
    };
    return all;
}

/// Each waits for a handler.
const std::vector<named_call>& pausing() {
    static const sigset_t none = only({});
    static const std::vector<named_call> all{
        {"pause", [] { return long{::pause()}; }},
        {"sigsuspend", [] { return long{::sigsuspend(&none)}; }},
        {"__sigsuspend", [] { return long{__sigsuspend(&none)}; }},
        {"sigpause", [] { return long{sigpause(SIGUSR1)}; }},
    };
    return all;
}

void check_blocked(const outcome& o) {
    CHECK(o.time >= blocking_time - 5ms);
    CHECK(o.time < blocking_time + 2s);
    CHECK(o.ticks >= 10);
}

} // namespace

TEST_CASE("calls that accept signals let other fibers run") {
    const blocked hold{SIGUSR1};
    for (const auto& [name, call] : accepting()) {
        INFO(name);
        const outcome o = in_fiber(call, [] { ::kill(::getpid(), SIGUSR1); });
        CHECK(o.result == SIGUSR1);
        CHECK(o.error == 0);
        check_blocked(o);
        const outcome to_thread = in_fiber(call, [] { ::pthread_kill(::pthread_self(), SIGUSR1); });
        CHECK(to_thread.result == SIGUSR1);
    }
}

TEST_CASE("calls that wait for a handler let other fibers run") {
    handle(SIGUSR1, SA_RESTART);
    for (const auto& [name, call] : pausing()) {
        INFO(name);
        caught = 0;
        const outcome o = in_fiber(call, [] { ::kill(::getpid(), SIGUSR1); });
        CHECK(o.result == -1);
        CHECK(o.error == EINTR);
        CHECK(caught == 1);
        check_blocked(o);
    }
}

TEST_CASE("the main fiber waits for signals while the others run") {
    ticker t;
    handle(SIGUSR1);
    for (const auto& [name, call] : pausing()) {
        INFO(name);
        const int before = t.ticks();
        auto sender = weft::spawn_later(blocking_time, [&] {
            eventually([&] { return t.ticks() - before >= 10; });
            ::kill(::getpid(), SIGUSR1);
        });
        errno = 0;
        CHECK(call() == -1);
        CHECK(errno == EINTR);
        CHECK(t.ticks() - before >= 10);
        sender.join();
    }
    const blocked hold{SIGUSR1};
    for (const auto& [name, call] : accepting()) {
        INFO(name);
        const int before = t.ticks();
        auto sender = weft::spawn_later(blocking_time, [&] {
            eventually([&] { return t.ticks() - before >= 10; });
            ::kill(::getpid(), SIGUSR1);
        });
        CHECK(call() == SIGUSR1);
        CHECK(t.ticks() - before >= 10);
        sender.join();
    }
}

TEST_CASE("each fiber gets the signal of its set") {
    const blocked hold{SIGUSR1, SIGUSR2, SIGHUP};
    std::vector<weft::fiber<int>> waiting;
    std::vector<int> got;
    for (const int number : {SIGUSR1, SIGUSR2, SIGHUP})
        waiting.push_back(weft::spawn([number, &got] {
            const sigset_t set = only({number});
            int n = 0;
            ::sigwait(&set, &n);
            got.push_back(n);
            return n;
        }));
    for (const int number : {SIGHUP, SIGUSR1, SIGUSR2}) {
        const std::size_t before = got.size();
        ::kill(::getpid(), number);
        CHECK(eventually([&] { return got.size() == before + 1; }));
        CHECK(got.back() == number);
    }
}

TEST_CASE("of several that wait for the same signal each instance reaches one") {
    const blocked hold{SIGUSR1, SIGRTMIN + 3};
    const sigset_t set = only({SIGUSR1, SIGRTMIN + 3});
    int got = 0;
    std::vector<weft::fiber<void>> waiting;
    for (int i = 0; i < 5; ++i)
        waiting.push_back(weft::spawn([&] {
            CHECK(::sigwaitinfo(&set, nullptr) > 0);
            ++got;
        }));
    ::kill(::getpid(), SIGUSR1);
    CHECK(eventually([&] { return got == 1; }));
    weft::this_fiber::sleep_for(10ms);
    CHECK(got == 1);
    for (int i = 0; i < 4; ++i) ::sigqueue(::getpid(), SIGRTMIN + 3, {});
    for (auto& f : waiting) CHECK(f.join(patience));
    CHECK(got == 5);
}

TEST_CASE("sigtimedwait keeps its time") {
    const blocked hold{SIGUSR1};
    const sigset_t set = only({SIGUSR1});
    const timespec some{0, 60000000};
    const outcome o = in_fiber([&] { return long{::sigtimedwait(&set, nullptr, &some)}; });
    CHECK(o.result == -1);
    CHECK(o.error == EAGAIN);
    check_blocked(o);
}

TEST_CASE("kill and time-outs reach in") {
    const blocked hold{SIGUSR1};
    std::vector<named_call> all = accepting();
    handle(SIGUSR1);
    for (const auto& c : pausing()) all.push_back(c);
    for (const auto& [name, call] : all) {
        INFO(name);
        int error = 0;
        auto f = weft::spawn([&] {
            errno = 0;
            const long result = call();
            error = result < -1 ? static_cast<int>(-result) : errno;
        });
        weft::this_fiber::sleep_for(5ms);
        f.kill();
        CHECK(f.join(patience));
        CHECK(error == ECANCELED);
        auto late = weft::spawn([&] {
            try {
                const weft::timeout limit(20ms);
                errno = 0;
                const long result = call();
                error = result < -1 ? static_cast<int>(-result) : errno;
                weft::this_fiber::yield();
                return false;
            } catch (const weft::timeout_error&) {
                return true;
            }
        });
        CHECK(late.get(patience));
        CHECK(error == ETIMEDOUT);
        CHECK(is_blocked(SIGUSR1));
    }
}

TEST_CASE("masks of waiting fibers do not last longer than their waits") {
    handle(SIGUSR1);
    {
        // sigsuspend lets in what the thread blocks, for two fibers at once.
        const blocked hold{SIGUSR1, SIGUSR2};
        const sigset_t mask = only({SIGUSR2});
        int ended = 0;
        auto wait = [&] {
            CHECK(::sigsuspend(&mask) == -1);
            ++ended;
        };
        auto first = weft::spawn(wait), second = weft::spawn(wait);
        weft::this_fiber::sleep_for(5ms);
        first.kill();
        CHECK(first.join(patience));
        CHECK_FALSE(is_blocked(SIGUSR1)); // the second still needs it
        CHECK(is_blocked(SIGUSR2));
        ::kill(::getpid(), SIGUSR1);
        CHECK(second.join(patience));
        CHECK(ended == 2);
        CHECK(caught == 1);
        CHECK(is_blocked(SIGUSR1));
    }
    const sigset_t set = only({SIGUSR1});
    auto f = weft::spawn([&] { return ::sigwaitinfo(&set, nullptr); });
    weft::this_fiber::sleep_for(5ms);
    ::kill(::getpid(), SIGUSR1);
    CHECK(f.get(patience) == SIGUSR1);
    CHECK(caught == 1); // as before: it was accepted
    CHECK_FALSE(is_blocked(SIGUSR1));
}

TEST_CASE("a hub of another thread waits for its own signals") {
    const blocked hold{SIGUSR1};
    std::thread other([] {
        const sigset_t set = only({SIGUSR1});
        ticker t;
        auto f = weft::spawn([&] { return ::sigwaitinfo(&set, nullptr); });
        const auto self = ::pthread_self();
        weft::this_fiber::sleep_for(20ms);
        CHECK_FALSE(f.ready());
        ::pthread_kill(self, SIGUSR1);
        CHECK(f.get(patience) == SIGUSR1);
    });
    other.join();
}
