// SPDX-License-Identifier: Apache-2.0
// pthread_once, in libc's own format; std::call_once comes through here.
#include "threads/once.hpp"

#include "core/serve.hpp"
#include "threads/futex.hpp"

#include <weft/export.hpp>

#include <climits>
#include <mutex> // libstdc++'s std::__once_callable and std::__once_call

namespace weft::shim::once {

namespace {

// The bits of the control word; above them the generation of forks in which it is in progress: a parent's never ends in the child.
constexpr std::uint32_t in_progress = 1, done = 2, next_generation = 4;
constinit std::atomic<std::uint32_t> generation{0};

/// What std::call_once has put aside for its routine lies in thread-local variables, which the fibers of a thread share.
class call_once_state {
public:
    void put_back() const noexcept {
        std::__once_callable = callable_;
        std::__once_call = call_;
    }

private:
    void* callable_ = std::__once_callable;
    void (*call_)() = std::__once_call;
};

std::uint32_t* word_of(pthread_once_t* control) noexcept { return reinterpret_cast<std::uint32_t*>(control); }

/// The routine runs; however it ends, whoever waits goes on.
class running {
public:
    explicit running(pthread_once_t* control) noexcept : control_(control) {}
    running(const running&) = delete;
    running& operator=(const running&) = delete;
    ~running() {
        std::atomic_ref(*word_of(control_)).store(result_, std::memory_order_seq_cst);
        futex::wake(word_of(control_), INT_MAX, false);
    }
    void succeeded() noexcept { result_ = done; }

private:
    pthread_once_t* const control_;
    std::uint32_t result_ = 0;
};

} // namespace

int run(pthread_once_t* control, void (*routine)()) {
    const std::atomic_ref word(*word_of(control));
    std::uint32_t seen = word.load(std::memory_order_acquire);
    for (;;) {
        if ((seen & done) != 0) return 0;
        const std::uint32_t ours = generation.load(std::memory_order_relaxed) | in_progress;
        if (seen == ours) {
            const call_once_state kept;
            futex::wait(word_of(control), seen, false, {}, "pthread_once");
            kept.put_back();
            seen = word.load(std::memory_order_acquire);
        } else if (word.compare_exchange_strong(seen, ours, std::memory_order_acq_rel, std::memory_order_acquire)) {
            break;
        }
    }
    running guard(control);
    {
        const rt::program_runs its_own;
        routine();
    }
    guard.succeeded();
    return 0;
}

void after_fork() noexcept { generation.fetch_add(next_generation, std::memory_order_relaxed); }

} // namespace weft::shim::once

using weft::shim::call;
using weft::shim::serve_everywhere;

extern "C" {

WEFT_API int pthread_once(pthread_once_t* control, void (*routine)()) {
    return serve_everywhere<call::pthread_once>(weft::shim::once::run, control, routine);
}
WEFT_API int __pthread_once(pthread_once_t* control, void (*routine)()) {
    return serve_everywhere<call::__pthread_once>(weft::shim::once::run, control, routine);
}

} // extern "C"
