// SPDX-License-Identifier: Apache-2.0
#include "threads/cond.hpp"

#include "core/serve.hpp"
#include "threads/identity.hpp"
#include "threads/mutex.hpp"
#include "threads/table.hpp"

#include "core/made_once.hpp"
#include "work/kernel_call.hpp"
#include <weft/detail/workers.hpp>
#include <weft/export.hpp>

#include <climits>
#include <memory>
#include <optional>

namespace weft::shim::cond {

namespace {

constexpr const char* what = "a pthread condition variable";

// The bits of libc's __wrefs: what the attributes said; above them how many wait by libc's own calls.
constexpr unsigned shared_bit = 1, monotonic_bit = 2, count_shift = 3;
unsigned state_of(pthread_cond_t* c) noexcept { return __atomic_load_n(&c->__data.__wrefs, __ATOMIC_RELAXED); }
clockid_t clock_of(pthread_cond_t* c) noexcept { return (state_of(c) & monotonic_bit) != 0 ? CLOCK_MONOTONIC : CLOCK_REALTIME; }

// Whoever began to wait before, as the mutex tells it, is seen without a fence.
bool has_sleepers(pthread_cond_t* c) noexcept {
    return bucket_of(c).sleepers.load(std::memory_order_acquire) != 0 && (state_of(c) & shared_bit) == 0;
}

/// Neither here nor in libc's own waits, so that a signal is nothing to anybody.
bool nobody_waits(pthread_cond_t* c) noexcept {
    return bucket_of(c).sleepers.load(std::memory_order_acquire) == 0 && state_of(c) >> count_shift == 0 &&
           __builtin_expect(!stats::counting, 1);
}

constexpr patience spuriously{patience::kill::looks_up, patience::signal::endures};

/// The semaphore that a kernel thread sleeps on.
struct thread_bed {
    sem_t sem;
    thread_bed() noexcept { ::sem_init(&sem, 0, 0); }
};

/// Takes the mutex back however the wait ends, also when the thread is cancelled in it.
class relock {
public:
    relock(pthread_mutex_t* m, sleeper& s) noexcept : mutex_(m), sleeper_(s) {}
    relock(const relock&) = delete;
    relock& operator=(const relock&) = delete;
    ~relock() {
        if (done_) return;
        // Cancelled: a signal that it has received is for somebody else.
        if (!dequeue(sleeper_)) wake_sleepers(sleeper_.object, 1);
        mutex::lock_after_wait(mutex_);
    }
    int now() noexcept {
        done_ = true;
        return mutex::lock_after_wait(mutex_);
    }

private:
    pthread_mutex_t* const mutex_;
    sleeper& sleeper_;
    bool done_ = false;
};

/// Who times out and waits again has not been served yet: it keeps its place. (Else, where everybody's time is up before there is a signal, as while a
/// hub is held, the signal goes to the one that came last, and again; Python's threads hand their lock on so.)
struct place_in_line {
    const pthread_cond_t* of = nullptr;
    std::uint64_t since = 0;
};
constinit thread_local place_in_line unserved __attribute__((tls_model("initial-exec")));

int wait_privately(pthread_cond_t* c, pthread_mutex_t* m, const limit& until) {
    const bool fiber = may_suspend();
    std::optional<thread_bed> bed; // first, since the sleeper refers to it
    sleeper s(c);
    if (!fiber) s.thread = &bed.emplace().sem;
    s.since = unserved.of == c ? unserved.since : __builtin_ia32_rdtsc();
    bucket& b = bucket_of(c);
    {
        const holding hold(b);
        if (unserved.of == c) enqueue_by_age(b, s);
        else enqueue(b, s);
    }
    if (const int error = mutex::unlock_to_wait(m); error != 0) {
        if (!dequeue(s)) signal(c);
        return error;
    }
    relock back(m, s);
    const ended how = sleep(s, what, until, spuriously);
    unserved = how == ended::timeout ? place_in_line{c, s.since} : place_in_line{};
    const int error = back.now();
    if (error != 0) return error;
    return how == ended::timeout ? ETIMEDOUT : 0;
}

int wait_shared(pthread_cond_t* c, pthread_mutex_t* m, const limit& until);

int wait_until(pthread_cond_t* c, pthread_mutex_t* m, const limit& until) {
    return (state_of(c) & shared_bit) == 0 ? wait_privately(c, m, until) : wait_shared(c, m, until);
}

// --- Shared with other processes ---

constinit rt::made_once<rt::workers> all_helpers; // a wait may be going on when the process ends

rt::workers& helpers() { return all_helpers.get(4096U, std::chrono::seconds(10)); }

/// A helper waits by libc's own call, with a mutex of its own in place of the program's. It lets go of that when its wait is counted, and
/// only then the program's is let go of.
class helper_wait final : public rt::work_item {
public:
    helper_wait(pthread_cond_t* c, const limit& until) noexcept : cond_(c), clock_(until.clock), timed_(until.at != nullptr) {
        if (timed_) at_ = *until.at;
        ::sem_init(&begun_, 0, 0);
    }
    void run() noexcept override {
        real().pthread_mutex_lock(&counted_);
        real().sem_post(&begun_);
        result = timed_ ? real().pthread_cond_clockwait(cond_, &counted_, clock_, &at_) : real().pthread_cond_wait(cond_, &counted_);
        real().pthread_mutex_unlock(&counted_);
    }
    void deliver() noexcept override {
        bucket& b = bucket_of(this);
        const holding hold(b);
        done_ = true;
        if (sleeper* const s = first_sleeper(b, this); s != nullptr) rouse(b, *s);
    }
    void drop() noexcept override {}

    /// Until its wait is counted; that is soon.
    void await_beginning() noexcept {
        while (real().sem_wait(&begun_) != 0) {}
        real().pthread_mutex_lock(&counted_);
        real().pthread_mutex_unlock(&counted_);
    }
    ended await_end(pthread_cond_t* c) {
        std::optional<thread_bed> bed;
        sleeper s(this);
        s.external = true;
        if (!may_suspend()) s.thread = &bed.emplace().sem;
        bucket& b = bucket_of(this);
        {
            const holding hold(b);
            if (done_) return ended::woken;
            enqueue(b, s);
        }
        const ended how = sleep(s, what, {}, spuriously);
        // Nobody would receive what the helper receives from now on: let all look for themselves.
        if (how != ended::woken) real().pthread_cond_broadcast(c);
        return how;
    }

    int result = 0;

private:
    pthread_cond_t* const cond_;
    const clockid_t clock_;
    const bool timed_;
    timespec at_{};
    sem_t begun_{};
    pthread_mutex_t counted_ = PTHREAD_MUTEX_INITIALIZER;
    bool done_ = false; // guarded by our bucket
};

int wait_shared(pthread_cond_t* c, pthread_mutex_t* m, const limit& until) {
    std::shared_ptr<helper_wait> helper;
    if (may_suspend() || !mutex::is_shared(m)) {
        const rt::inside_weft inside;
        try {
            helper = std::make_shared<helper_wait>(c, until);
            helpers().submit(helper, false);
        } catch (const std::exception&) {
            helper = nullptr;
        }
    }
    // A mutex that is shared too is waited for in the kernel only, as libc does it.
    if (helper == nullptr) {
        const taken_for me(this_owner(true)); // main may be on another kernel thread than when it took the mutex
        return until.at == nullptr ? real().pthread_cond_wait(c, m) : real().pthread_cond_clockwait(c, m, until.clock, until.at);
    }
    const int saved_errno = errno;
    helper->await_beginning();
    if (const int error = mutex::unlock_to_wait(m); error != 0) {
        real().pthread_cond_broadcast(c);
        return error;
    }
    const ended how = helper->await_end(c);
    const int error = mutex::lock_after_wait(m);
    errno = saved_errno;
    if (error != 0) return error;
    return how == ended::woken && helper->result == ETIMEDOUT ? ETIMEDOUT : 0;
}

} // namespace

int wait(pthread_cond_t* c, pthread_mutex_t* m) { return wait_until(c, m, {}); }

int clockwait(pthread_cond_t* c, pthread_mutex_t* m, clockid_t clock, const timespec* at) {
    if (at->tv_nsec < 0 || at->tv_nsec >= 1'000'000'000 || !limit::knows(clock)) return EINVAL;
    return wait_until(c, m, {clock, at});
}

int timedwait(pthread_cond_t* c, pthread_mutex_t* m, const timespec* at) { return clockwait(c, m, clock_of(c), at); }

int signal(pthread_cond_t* c) noexcept {
    if (has_sleepers(c) && wake_sleepers(c, 1) > 0) return 0;
    return state_of(c) >> count_shift != 0 ? real().pthread_cond_signal(c) : 0;
}

int broadcast(pthread_cond_t* c) noexcept {
    if (has_sleepers(c)) wake_sleepers(c, INT_MAX);
    return state_of(c) >> count_shift != 0 ? real().pthread_cond_broadcast(c) : 0;
}

/// It waits until those who wait by libc's own calls are gone.
int destroy(pthread_cond_t* c) noexcept {
    if (state_of(c) >> count_shift == 0 || !may_suspend()) return real().pthread_cond_destroy(c);
    auto call = [c]() noexcept { return real().pthread_cond_destroy(c); };
    return rt::on_kernel_thread(call, rt::unbroken) == 0 ? 0 : call();
}

} // namespace weft::shim::cond

using weft::shim::call;
using weft::shim::serve_everywhere;
namespace policy = weft::shim::cond;

namespace {

// Functions of their own, so that the short way needs no frame.
[[gnu::noinline]] int signal_slowly(pthread_cond_t* c) noexcept { return serve_everywhere<call::pthread_cond_signal>(policy::signal, c); }
[[gnu::noinline]] int broadcast_slowly(pthread_cond_t* c) noexcept {
    return serve_everywhere<call::pthread_cond_broadcast>(policy::broadcast, c);
}

} // namespace

extern "C" {

WEFT_API int pthread_cond_wait(pthread_cond_t* c, pthread_mutex_t* m) {
    return serve_everywhere<call::pthread_cond_wait>(policy::wait, c, m);
}
WEFT_API int pthread_cond_timedwait(pthread_cond_t* c, pthread_mutex_t* m, const timespec* at) {
    return serve_everywhere<call::pthread_cond_timedwait>(policy::timedwait, c, m, at);
}
WEFT_API int pthread_cond_clockwait(pthread_cond_t* c, pthread_mutex_t* m, clockid_t clock, const timespec* at) {
    return serve_everywhere<call::pthread_cond_clockwait>(policy::clockwait, c, m, clock, at);
}
WEFT_API int pthread_cond_signal(pthread_cond_t* c) noexcept { return policy::nobody_waits(c) ? 0 : signal_slowly(c); }
WEFT_API int pthread_cond_broadcast(pthread_cond_t* c) noexcept { return policy::nobody_waits(c) ? 0 : broadcast_slowly(c); }
WEFT_API int pthread_cond_destroy(pthread_cond_t* c) noexcept { return serve_everywhere<call::pthread_cond_destroy>(policy::destroy, c); }

} // extern "C"
