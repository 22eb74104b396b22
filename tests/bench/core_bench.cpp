// SPDX-License-Identifier: Apache-2.0
// What the core's steps cost, with a raw jump_fcontext in the same run as the limit.
#include <weft/detail/waiter.hpp>
#include <weft/fiber.hpp>

#include "core/readiness.hpp"

#if __has_include(<weft/sync.hpp>)
#include <weft/sync.hpp>
#define WEFT_BENCH_SYNC 1
#endif

#include <benchmark/benchmark.h>
#include <boost/context/detail/fcontext.hpp>

#include <cerrno>
#include <cstddef>
#include <memory>
#include <vector>

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

namespace fc = boost::context::detail;

/// One switch: the limit of a yield.
void raw_jump(benchmark::State& state) {
    constexpr std::size_t size = 64 * 1024;
    const auto memory = std::make_unique<char[]>(size);
    fc::transfer_t other{
        fc::make_fcontext(
            memory.get() + size, size,
            [](fc::transfer_t t) {
                for (;;) t = fc::jump_fcontext(t.fctx, nullptr);
            }),
        nullptr};
    for (auto _ : state) {
        other = fc::jump_fcontext(other.fctx, nullptr);
        other = fc::jump_fcontext(other.fctx, nullptr);
    }
    state.SetItemsProcessed(state.iterations() * 4); // there and back, twice
}
BENCHMARK(raw_jump);

/// Two fibers yield to each other.
void yield(benchmark::State& state) {
    bool stop = false;
    auto other = weft::spawn([&stop] {
        while (!stop) weft::this_fiber::yield();
    });
    weft::this_fiber::yield();
    for (auto _ : state) {
        weft::this_fiber::yield();
        weft::this_fiber::yield();
    }
    stop = true;
    other.join();
    state.SetItemsProcessed(state.iterations() * 4);
}
BENCHMARK(yield);

void spawn_join(benchmark::State& state) {
    for (auto _ : state) weft::spawn([] {}).join();
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK(spawn_join);

/// A thousand at a time.
void spawn_many_join(benchmark::State& state) {
    std::vector<weft::fiber<void>> fibers;
    fibers.reserve(1000);
    for (auto _ : state) {
        for (int i = 0; i < 1000; ++i) fibers.push_back(weft::spawn([] {}));
        for (auto& f : fibers) f.join();
        fibers.clear();
    }
    state.SetItemsProcessed(state.iterations() * 1000);
}
BENCHMARK(spawn_many_join);

/// One fiber parks, the other wakes it.
void park_wake(benchmark::State& state) {
    weft::rt::wait_list waiting;
    bool stop = false;
    auto sleeper = weft::spawn([&] {
        while (!stop) {
            weft::rt::waiter w("a benchmark");
            waiting.push(w.node);
            w.suspend();
        }
    });
    weft::this_fiber::yield();
    for (auto _ : state) {
        waiting.wake_one();
        weft::this_fiber::yield();
    }
    stop = true;
    waiting.wake_all();
    sleeper.join();
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK(park_wake);

#ifdef WEFT_BENCH_SYNC
/// A permit goes to the other fiber and comes back: two hand-offs.
void semaphore_hand_off(benchmark::State& state) {
    weft::semaphore there(0);
    weft::semaphore back(0);
    bool stop = false;
    auto other = weft::spawn([&] {
        for (;;) {
            there.acquire();
            if (stop) return;
            back.release();
        }
    });
    for (auto _ : state) {
        there.release();
        back.acquire();
    }
    stop = true;
    there.release();
    other.join();
    state.SetItemsProcessed(state.iterations() * 2);
}
BENCHMARK(semaphore_hand_off);
#endif

/// What a blocking call on a fiber is: attempt, wait, attempt.
void transfer(int fd, bool out, char& byte) {
    for (;;) {
        const ssize_t n = out ? ::send(fd, &byte, 1, MSG_DONTWAIT) : ::recv(fd, &byte, 1, MSG_DONTWAIT);
        if (n == 1 || (n < 0 && errno != EAGAIN) || n == 0) return;
        weft::rt::readiness::wait(fd, out ? EPOLLOUT : EPOLLIN, {});
    }
}

/// One byte there and back between two fibers over a socketpair.
void echo_round_trip(benchmark::State& state) {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) return state.SkipWithError("socketpair");
    for (int fd : ends) weft::rt::readiness::opened(fd);
    auto server = weft::spawn([fd = ends[1]] {
        for (char c = 0; c != 'q';) {
            transfer(fd, false, c);
            transfer(fd, true, c);
        }
    });
    char c = 'x';
    for (auto _ : state) {
        transfer(ends[0], true, c);
        transfer(ends[0], false, c);
    }
    c = 'q';
    transfer(ends[0], true, c);
    transfer(ends[0], false, c);
    server.join();
    for (int fd : ends) {
        weft::rt::readiness::closing(fd);
        ::close(fd);
    }
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK(echo_round_trip);

/// The same system calls by one thread that never waits: the limit of the echo.
void echo_system_calls_alone(benchmark::State& state) {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) return state.SkipWithError("socketpair");
    char c = 'x';
    for (auto _ : state) {
        for (int from : {0, 1}) {
            transfer(ends[from], true, c);
            transfer(ends[1 - from], false, c);
        }
    }
    for (int fd : ends) ::close(fd);
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK(echo_system_calls_alone);

} // namespace

BENCHMARK_MAIN();
