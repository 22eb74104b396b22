// SPDX-License-Identifier: Apache-2.0
// Preloaded beside the shim: a second thread, so a green one, which counts while the program's own waits. So a plain C program has its calls
// served as in a program of many threads, and can say whether the hub stood still meanwhile (see probes/probe.h).
#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>

#include <pthread.h>
#include <unistd.h>

namespace {

using clock = std::chrono::steady_clock;

std::atomic<long> ticks{0};
std::atomic<std::int64_t> last_ns{0};
std::atomic<std::int64_t> longest_ns{0};

std::int64_t now() { return clock::now().time_since_epoch().count(); }

/// The time since the last tick counts as a pause too.
void note_pause() { longest_ns = std::max<std::int64_t>(longest_ns, now() - last_ns); }

/// No kernel thread's tid is so high.
constexpr pid_t first_green_tid = 1 << 24;

void* tick(void*) {
    if (gettid() < first_green_tid) {
        static constexpr char complaint[] = "the ticker is a kernel thread\n";
        [[maybe_unused]] const auto written = write(STDERR_FILENO, complaint, sizeof complaint - 1);
        abort();
    }
    for (;;) {
        usleep(2000);
        note_pause();
        last_ns = now();
        ++ticks;
    }
}

/// No signal is its business, and no cancellation finds it.
[[gnu::constructor]] void start() {
    const char* const preloaded = getenv("LD_PRELOAD");
    if (preloaded == nullptr || strstr(preloaded, "libweft-shim") == nullptr) return; // `weft run` itself, before the program
    last_ns = now();
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_t thread;
    if (pthread_create(&thread, nullptr, tick, nullptr) == 0) pthread_detach(thread);
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

} // namespace

extern "C" [[gnu::visibility("default")]] long weft_probe_ticks(long* longest_ms) {
    note_pause();
    *longest_ms = static_cast<long>(longest_ns / 1'000'000);
    longest_ns = 0;
    last_ns = now();
    return ticks;
}
