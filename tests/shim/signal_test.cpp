// SPDX-License-Identifier: Apache-2.0
// Signals in a program with several fibers: handlers run on fibers' stacks, and the main fiber's calls are interrupted.
#include "ticker.hpp"

#include <weft/event.hpp>
#include <weft/patch.hpp>

#include <catch2/catch.hpp>

#include <atomic>
#include <csetjmp>
#include <csignal>
#include <poll.h>
#include <pthread.h>
#include <sys/time.h>
#include <thread>

using namespace shim_test;

namespace {

volatile std::sig_atomic_t caught;
const void* volatile handler_frame;

void count(int) {
    int here = 0;
    handler_frame = &here;
    caught = caught + 1;
}

void handle(int number, int flags, void (*handler)(int) = count) {
    struct sigaction a {};
    a.sa_handler = handler;
    a.sa_flags = flags;
    REQUIRE(::sigaction(number, &a, nullptr) == 0);
    caught = 0;
}

/// Sends the signal to the main thread, from a thread that knows nothing of fibers: a little after the calling fiber has begun to wait.
class sender {
public:
    explicit sender(int number)
        : waiting_(weft::spawn([this] { begun_ = true; })),
          thread_([this, number, main = ::pthread_self()] {
              while (!begun_) std::this_thread::yield();
              std::this_thread::sleep_for(3ms); // now its hub has nothing to run
              ::pthread_kill(main, number);
          }) {}
    ~sender() { thread_.join(); }
    sender(const sender&) = delete;
    sender& operator=(const sender&) = delete;

private:
    std::atomic<bool> begun_{false};
    weft::fiber<void> waiting_;
    std::thread thread_;
};

bool is_near(const void* a, const void* b) {
    const auto distance = reinterpret_cast<const char*>(a) - reinterpret_cast<const char*>(b);
    return distance > -65536 && distance < 65536;
}

sigjmp_buf out;
void jump(int) { siglongjmp(out, 1); }

} // namespace

TEST_CASE("a handler interrupts the main fiber's call, on its own stack, and no other fiber") {
    pair p = pair::stream(), q = pair::stream();
    handle(SIGUSR1, 0);
    auto other = weft::spawn([&] {
        char c = 0;
        return ::read(q[0], &c, 1);
    });
    sender s(SIGUSR1);
    char c = 0;
    errno = 0;
    CHECK(::read(p[0], &c, 1) == -1);
    CHECK(errno == EINTR);
    CHECK(caught == 1);
    CHECK(is_near(handler_frame, &c));
    CHECK_FALSE(other.ready());
    CHECK(::write(q[1], "x", 1) == 1);
    CHECK(other.get(patience) == 1);
}

TEST_CASE("a handler that ran on another fiber interrupts the main fiber's call too") {
    pair p = pair::stream();
    handle(SIGUSR1, 0);
    auto raiser = weft::spawn([] { ::raise(SIGUSR1); });
    char c = 0;
    errno = 0;
    CHECK(::read(p[0], &c, 1) == -1);
    CHECK(errno == EINTR);
    CHECK(caught == 1);
    CHECK(raiser.ready());
    handle(SIGUSR1, SA_RESTART);
    raiser = weft::spawn([&] {
        ::raise(SIGUSR1);
        weft::this_fiber::sleep_for(5ms);
        CHECK(::write(p[1], "x", 1) == 1);
    });
    CHECK(::read(p[0], &c, 1) == 1);
    CHECK(caught == 1);
}

TEST_CASE("with SA_RESTART the call goes on") {
    ticker t;
    pair p = pair::stream();
    handle(SIGUSR1, SA_RESTART);
    sender s(SIGUSR1);
    auto writer = weft::spawn([&] {
        eventually([] { return caught == 1; });
        CHECK(::write(p[1], "x", 1) == 1);
    });
    char c = 0;
    CHECK(::read(p[0], &c, 1) == 1);
    CHECK(caught == 1);
    writer.join();
}

TEST_CASE("a handler may jump out of a wait") {
    pair p = pair::stream();
    handle(SIGUSR1, 0, jump);
    static int jumps = 0, i = 0; // neither may live in a register
    for (; i < 20; ++i) {
        sender s(SIGUSR1);
        char c = 0;
        if (sigsetjmp(out, 1) == 0) {
            static_cast<void>(::read(p[0], &c, 1));
            FAIL("read returned");
        } else {
            ++jumps;
        }
    }
    CHECK(jumps == 20);
    ticker t;
    const int before = t.ticks();
    CHECK(eventually([&] { return t.ticks() > before + 5; }));
    const auto o = in_fiber([&] { char c; return ::read(p[0], &c, 1); }, [&] { CHECK(::write(p[1], "x", 1) == 1); });
    CHECK(o.result == 1);
}

TEST_CASE("in a weft call the main fiber runs the handler and waits on") {
    ticker t;
    weft::event e;
    handle(SIGUSR1, 0);
    sender s(SIGUSR1);
    auto setter = weft::spawn([&] {
        eventually([] { return caught == 1; });
        e.set();
    });
    CHECK(e.wait(patience));
    CHECK(caught == 1);
    setter.join();
}

TEST_CASE("a fiber that runs is where the handler runs, at once") {
    handle(SIGUSR1, 0);
    auto f = weft::spawn([] {
        int here = 0;
        std::thread killer([main = ::pthread_self()] { ::pthread_kill(main, SIGUSR1); });
        const auto end = std::chrono::steady_clock::now() + patience;
        while (caught == 0 && std::chrono::steady_clock::now() < end) {}
        killer.join();
        return is_near(handler_frame, &here);
    });
    CHECK(f.get(patience));
    CHECK(caught == 1);
}

TEST_CASE("ppoll loses no signal between its mask and its wait") {
    ticker t;
    handle(SIGUSR1, 0);
    sigset_t set, before;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    ::pthread_sigmask(SIG_BLOCK, &set, &before);
    for (int i = 0; i < 300; ++i) {
        caught = 0;
        std::atomic<bool> go{false};
        std::thread killer([&, main = ::pthread_self(), i] {
            while (!go) {}
            const auto end = std::chrono::steady_clock::now() + std::chrono::microseconds(i / 10);
            while (std::chrono::steady_clock::now() < end) {}
            ::pthread_kill(main, SIGUSR1);
        });
        const timespec limit{5, 0};
        errno = 0;
        go = true;
        const int result = ::ppoll(nullptr, 0, &limit, &before);
        const int error = errno;
        killer.join();
        REQUIRE(result == -1);
        REQUIRE(error == EINTR);
        REQUIRE(caught == 1);
    }
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

TEST_CASE("a storm of signals loses neither sleeps nor data") {
    ticker t;
    pair p = pair::stream();
    handle(SIGALRM, SA_RESTART);
    const itimerval often{{0, 500}, {0, 500}}, never{};
    ::setitimer(ITIMER_REAL, &often, nullptr);
    auto writer = weft::spawn([&] {
        for (int i = 0; i < 300; ++i) {
            weft::this_fiber::sleep_for(1ms);
            CHECK(::write(p[1], "x", 1) == 1);
        }
    });
    char c = 0;
    int got = 0;
    while (got < 300 && ::read(p[0], &c, 1) == 1) ++got;
    ::setitimer(ITIMER_REAL, &never, nullptr);
    CHECK(got == 300);
    CHECK(caught > 50);
    writer.join();
}

TEST_CASE("a program sees its own handlers only") {
    struct sigaction seen {};
    ::signal(SIGSEGV, SIG_DFL); // Catch's
    std::thread([] { weft::spawn([] {}).join(); }).join(); // its hub has installed weft's
    const auto libc = reinterpret_cast<decltype(&::sigaction)>(weft::original("sigaction"));
    REQUIRE(libc(SIGSEGV, nullptr, &seen) == 0);
    CHECK(seen.sa_handler != SIG_DFL);
    REQUIRE(::sigaction(SIGSEGV, nullptr, &seen) == 0);
    CHECK(seen.sa_handler == SIG_DFL);
    CHECK(seen.sa_flags == 0);
    handle(SIGUSR1, SA_RESTART | SA_NODEFER);
    REQUIRE(::sigaction(SIGUSR1, nullptr, &seen) == 0);
    CHECK(seen.sa_handler == count);
    CHECK((seen.sa_flags & (SA_RESTART | SA_NODEFER | SA_SIGINFO)) == (SA_RESTART | SA_NODEFER));
    CHECK(::signal(SIGUSR1, SIG_IGN) == count);
    CHECK(::signal(SIGUSR1, count) == SIG_IGN);
    CHECK(::signal(SIGUSR1, SIG_DFL) == count);
    errno = 0;
    CHECK(::signal(SIGKILL, count) == SIG_ERR);
    CHECK(errno == EINVAL);
    // Once, and then no more.
    struct sigaction once {};
    once.sa_handler = count;
    once.sa_flags = static_cast<int>(SA_RESETHAND);
    REQUIRE(::sigaction(SIGUSR2, &once, nullptr) == 0);
    ::raise(SIGUSR2);
    REQUIRE(::sigaction(SIGUSR2, nullptr, &seen) == 0);
    CHECK(seen.sa_handler == SIG_DFL);
}
