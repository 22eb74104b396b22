// SPDX-License-Identifier: Apache-2.0
// What a free lock costs beside libc's own: the target is at most one and a half times as much.
#include <weft/patch.hpp>
#include <weft/weft.hpp>

#include <benchmark/benchmark.h>

#include <pthread.h>
#include <semaphore.h>
#include <thread>

namespace {

using mutex_call = int (*)(pthread_mutex_t*);

mutex_call libc(const char* name) { return reinterpret_cast<mutex_call>(weft::original(name)); }

void lock_and_unlock(benchmark::State& state, mutex_call lock, mutex_call unlock, bool threads) {
    if (threads) std::thread([] {}).join(); // from now on the process counts as one with several
    pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
    for (auto _ : state) {
        lock(&m);
        unlock(&m);
    }
    state.SetItemsProcessed(state.iterations());
}

void fibers_take_turns(benchmark::State& state) {
    pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
    bool stop = false;
    auto other = weft::spawn([&] {
        while (!stop) {
            ::pthread_mutex_lock(&m);
            weft::this_fiber::yield();
            ::pthread_mutex_unlock(&m);
        }
    });
    for (auto _ : state) {
        ::pthread_mutex_lock(&m);
        weft::this_fiber::yield();
        ::pthread_mutex_unlock(&m);
    }
    stop = true;
    other.join();
    state.SetItemsProcessed(state.iterations());
}

} // namespace

int main(int argc, char** argv) {
    benchmark::Initialize(&argc, argv);
    for (const bool threads : {false, true}) {
        const std::string suffix = threads ? "/threads" : "/one_thread";
        benchmark::RegisterBenchmark(("mutex" + suffix).c_str(), [=](benchmark::State& s) {
            lock_and_unlock(s, ::pthread_mutex_lock, ::pthread_mutex_unlock, threads);
        });
        benchmark::RegisterBenchmark(("mutex_of_libc" + suffix).c_str(), [=](benchmark::State& s) {
            lock_and_unlock(s, libc("pthread_mutex_lock"), libc("pthread_mutex_unlock"), threads);
        });
    }
    benchmark::RegisterBenchmark("mutex/fibers_take_turns", fibers_take_turns);
    benchmark::RunSpecifiedBenchmarks();
}
