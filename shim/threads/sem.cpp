// SPDX-License-Identifier: Apache-2.0
#include "threads/sem.hpp"

#include "calls/blocking.hpp"
#include "core/serve.hpp"
#include "threads/futex.hpp"
#include "threads/table.hpp"

#include <weft/export.hpp>

namespace weft::shim::sem {

namespace {

/// What lies in a sem_t on 64-bit machines.
struct layout {
    std::uint64_t data; // the value in the low half, the number of waiters in the high half
    int shared;         // not 0: processes share it
};
static_assert(sizeof(layout) <= sizeof(sem_t));
constexpr std::uint64_t one_waiter = std::uint64_t{1} << 32;

std::atomic_ref<std::uint64_t> data_of(sem_t* s) noexcept { return std::atomic_ref(reinterpret_cast<layout*>(s)->data); }
std::uint32_t value_of(std::uint64_t data) noexcept { return static_cast<std::uint32_t>(data); }
bool is_shared(sem_t* s) noexcept { return reinterpret_cast<layout*>(s)->shared != 0; }
std::uint32_t* word_of(sem_t* s) noexcept { return reinterpret_cast<std::uint32_t*>(s); } // little-endian

/// Takes a token if there is one, and `less` too.
bool try_take(sem_t* s, std::uint64_t less) noexcept {
    const auto data = data_of(s);
    std::uint64_t seen = data.load(std::memory_order_relaxed);
    while (value_of(seen) != 0)
        if (data.compare_exchange_weak(seen, seen - 1 - less, std::memory_order_acquire, std::memory_order_relaxed)) return true;
    return false;
}

/// A thread that waits by libc's call is counted, so that it has its turn among the fibers.
class in_kernel {
public:
    explicit in_kernel(bucket& b) noexcept : bucket_(b) { b.in_kernel.fetch_add(1, std::memory_order_relaxed); }
    in_kernel(const in_kernel&) = delete;
    in_kernel& operator=(const in_kernel&) = delete;
    ~in_kernel() { bucket_.in_kernel.fetch_sub(1, std::memory_order_relaxed); }

private:
    bucket& bucket_;
};

int block(sem_t* s, const limit& until) {
    const in_kernel counted(bucket_of(word_of(s)));
    return until.at == nullptr ? real().sem_wait(s) : real().sem_clockwait(s, until.clock, until.at);
}

/// How a fiber's wait fails that has no token.
int error_of(ended how) noexcept {
    switch (how) {
    case ended::timeout: return ETIMEDOUT;
    case ended::signal: return EINTR;
    case ended::interrupted:
        if (const int error = rt::interruption_errno(true); error != 0) return error;
        return EINTR;
    case ended::woken: break;
    }
    return 0;
}

int sleep_for(sem_t* sem, const limit& until) noexcept {
    const patience p{patience::kill::fails, until.at == nullptr ? patience::signal::restarts : patience::signal::ends};
    bucket& b = bucket_of(word_of(sem));
    sleeper s(word_of(sem));
    data_of(sem).fetch_add(one_waiter, std::memory_order_relaxed);
    for (;;) {
        {
            const holding hold(b);
            enqueue(b, s);
            if (try_take(sem, one_waiter)) {
                withdraw(b, s);
                return 0;
            }
        }
        const ended how = sleep(s, "a semaphore", until, p);
        if (s.handed) {
            data_of(sem).fetch_sub(one_waiter, std::memory_order_relaxed);
            return 0;
        }
        if (how != ended::woken) {
            if (try_take(sem, one_waiter)) return 0;
            data_of(sem).fetch_sub(one_waiter, std::memory_order_relaxed);
            return error_of(how); // not before it is sure to fail: a thread that is cancelled ends with the call it says so in
        }
        s.starving = true;
    }
}

int take(sem_t* s, const limit& until) {
    if (!may_suspend()) return block(s, until);
    if (try_take(s, 0)) return 0;
    if (const int error = until.refusal(); error != 0) return fail(error);
    if (const int error = refused_wait(); error != 0) return fail(error);
    if (is_shared(s)) return blocking_call(until.at == nullptr, [=]() noexcept { return block(s, until); });
    const errno_of_success success;
    const int error = sleep_for(s, until);
    return error == 0 ? success(0) : fail(error);
}

/// Gives the token to a fiber that others have forestalled before.
bool hand_over(sem_t* s) noexcept {
    bucket& b = bucket_of(word_of(s));
    if (b.sleepers.load(std::memory_order_seq_cst) == 0 || holding::any()) return false;
    const holding hold(b);
    sleeper* const first = first_sleeper(b, word_of(s));
    if (first == nullptr || !first->starving || value_of(data_of(s).load(std::memory_order_relaxed)) != 0) return false;
    first->handed = true;
    rouse(b, *first);
    return true;
}

} // namespace

int wait(sem_t* s) { return take(s, {}); }

int clockwait(sem_t* s, clockid_t clock, const timespec* at) {
    if (!limit::knows(clock)) return fail(EINVAL);
    if (at->tv_nsec < 0 || at->tv_nsec >= 1'000'000'000) return fail(EINVAL); // even where it need not wait
    return take(s, {clock, at});
}

int timedwait(sem_t* s, const timespec* at) { return clockwait(s, CLOCK_REALTIME, at); }

int post(sem_t* s) noexcept {
    const bool shared = is_shared(s);
    if (!shared && hand_over(s)) return 0;
    const auto data = data_of(s);
    std::uint64_t seen = data.load(std::memory_order_relaxed);
    do {
        if (value_of(seen) == SEM_VALUE_MAX) return fail(EOVERFLOW);
    } while (!data.compare_exchange_weak(seen, seen + 1, std::memory_order_seq_cst, std::memory_order_relaxed));
    if (seen >= one_waiter) futex::wake(word_of(s), 1, shared);
    return 0;
}

} // namespace weft::shim::sem

using weft::shim::call;
using weft::shim::serve_everywhere;
namespace policy = weft::shim::sem;

extern "C" {

WEFT_API int sem_wait(sem_t* s) { return serve_everywhere<call::sem_wait>(policy::wait, s); }
WEFT_API int sem_timedwait(sem_t* s, const timespec* at) { return serve_everywhere<call::sem_timedwait>(policy::timedwait, s, at); }
WEFT_API int sem_clockwait(sem_t* s, clockid_t clock, const timespec* at) {
    return serve_everywhere<call::sem_clockwait>(policy::clockwait, s, clock, at);
}
WEFT_API int sem_post(sem_t* s) noexcept { return serve_everywhere<call::sem_post>(policy::post, s); }

} // extern "C"
