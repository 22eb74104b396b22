// SPDX-License-Identifier: Apache-2.0
// What a system call costs while the trap is off, on but not for the code that makes it, and on for it. WEFT_TRAP=1 switches it on.
#include <weft/fiber.hpp>

#include "../shim/by_instruction.h"

#include <benchmark/benchmark.h>

#include <chrono>

#include <sys/syscall.h>
#include <unistd.h>

namespace {

long address(void* p) { return reinterpret_cast<long>(p); }

/// Another fiber lives, or a call by name would be libc's own.
struct company {
    weft::fiber<void> other = weft::spawn([] { weft::this_fiber::sleep_for(std::chrono::hours(1)); });
    ~company() { other.kill(); }
};

/// A call that never waits.
void inline_getppid(benchmark::State& state) {
    const company c;
    for (auto _ : state) benchmark::DoNotOptimize(by_instruction(SYS_getppid));
}
BENCHMARK(inline_getppid);

/// The same through libc, whose function is intercepted: not trapped, but the kernel looks at the selector.
void named_close(benchmark::State& state) {
    const company c;
    for (auto _ : state) benchmark::DoNotOptimize(::close(-1));
}
BENCHMARK(named_close);

/// Data is there: one byte written, one read.
template <bool by_name>
void pipe_byte(benchmark::State& state) {
    const company c;
    int p[2];
    if (::pipe(p) != 0) return;
    char byte = 'x';
    for (auto _ : state) {
        if (by_name) {
            benchmark::DoNotOptimize(::write(p[1], &byte, 1));
            benchmark::DoNotOptimize(::read(p[0], &byte, 1));
        } else {
            by_instruction(SYS_write, p[1], address(&byte), 1);
            by_instruction(SYS_read, p[0], address(&byte), 1);
        }
    }
    ::close(p[0]);
    ::close(p[1]);
    state.SetItemsProcessed(state.iterations() * 2);
}
BENCHMARK(pipe_byte<true>);
BENCHMARK(pipe_byte<false>);

void yield(benchmark::State& state) {
    bool stop = false;
    auto other = weft::spawn([&stop] {
        while (!stop) weft::this_fiber::yield();
    });
    for (auto _ : state) weft::this_fiber::yield();
    state.SetItemsProcessed(state.iterations() * 2);
    stop = true;
    other.join();
}
BENCHMARK(yield);

} // namespace

BENCHMARK_MAIN();
