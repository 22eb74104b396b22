// SPDX-License-Identifier: Apache-2.0
#include "threads/rwlock.hpp"

#include "core/serve.hpp"
#include "threads/identity.hpp"
#include "threads/table.hpp"

#include "work/kernel_call.hpp"
#include <weft/export.hpp>

namespace weft::shim::rwlock {

namespace {

bool is_shared(const pthread_rwlock_t* l) noexcept { return l->__data.__shared != 0; }
bool prefers_writers(const pthread_rwlock_t* l) noexcept {
    return l->__data.__flags == PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP;
}

std::uint32_t writer_of(pthread_rwlock_t* l) noexcept {
    return static_cast<std::uint32_t>(__atomic_load_n(&l->__data.__cur_writer, __ATOMIC_RELAXED));
}
void set_writer(pthread_rwlock_t* l, std::uint32_t who) noexcept {
    __atomic_store_n(&l->__data.__cur_writer, static_cast<int>(who), __ATOMIC_RELAXED);
}

/// Without waiting, for `who`.
int try_for(pthread_rwlock_t* l, bool writes, std::uint32_t who) noexcept {
    if (!writes) return real().pthread_rwlock_tryrdlock(l);
    const taken_for writer(who);
    const int result = real().pthread_rwlock_trywrlock(l);
    if (result == 0) set_writer(l, who); // as it is, where libc could not be told
    return result;
}

/// Whether a fiber waits to write. The bucket is held.
bool has_waiting_writer(bucket& b, pthread_rwlock_t* l) noexcept {
    for (sleeper* s = first_sleeper(b, l); s != nullptr; s = next_sleeper(b, *s))
        if (s->writes) return true;
    return false;
}

/// libc's own call, which blocks the kernel thread.
int block(pthread_rwlock_t* l, bool writes, const limit& until) noexcept {
    if (until.at == nullptr) return writes ? real().pthread_rwlock_wrlock(l) : real().pthread_rwlock_rdlock(l);
    return writes ? real().pthread_rwlock_clockwrlock(l, until.clock, until.at) : real().pthread_rwlock_clockrdlock(l, until.clock, until.at);
}

void hand_over(pthread_rwlock_t* l) noexcept;

/// Suspends the fiber until it has the lock.
int sleep_for(pthread_rwlock_t* l, bool writes, const limit& until, std::uint32_t me) noexcept {
    bucket& b = bucket_of(l);
    sleeper s(l);
    s.writes = writes;
    s.owner = me;
    for (;;) {
        {
            const holding hold(b);
            const bool must_queue = !writes && prefers_writers(l) && has_waiting_writer(b, l);
            enqueue(b, s); // before the last look, so that no unlock is missed
            const int result = must_queue ? EBUSY : try_for(l, writes, me);
            if (result != EBUSY) {
                withdraw(b, s);
                return result;
            }
        }
        if (const int error = until.refusal(); error != 0) return error;
        if (sleep(s, writes ? "a pthread rwlock, to write" : "a pthread rwlock, to read", until, endless) == ended::timeout) {
            if (writes) hand_over(l); // to readers that this writer kept out
            return ETIMEDOUT;
        }
        if (s.handed) return 0;
    }
}

int take(pthread_rwlock_t* l, bool writes, const limit& until) noexcept {
    const bool shared = is_shared(l);
    const std::uint32_t me = this_owner(shared);
    // libc, which knows the kernel thread only, looks at the time limit first.
    if (until.at != nullptr && (until.at->tv_nsec < 0 || until.at->tv_nsec >= 1'000'000'000)) return EINVAL;
    if (writer_of(l) == me) return EDEADLK;
    if (!may_suspend()) {
        const int result = block(l, writes, until);
        if (writes && result == 0) set_writer(l, me);
        return result;
    }
    const bool must_queue = !writes && prefers_writers(l) && !shared && bucket_of(l).sleepers.load(std::memory_order_relaxed) != 0;
    if (!must_queue)
        if (const int result = try_for(l, writes, me); result != EBUSY) return result;
    if (!shared) return sleep_for(l, writes, until, me);
    const int saved_errno = errno;
    int result = rt::on_kernel_thread(
        [=]() noexcept {
            const int error = block(l, writes, until);
            if (writes && error == 0) set_writer(l, me); // before that thread waits for somebody else
            return error;
        },
        rt::unbroken);
    errno = saved_errno;
    if (result < 0) result = block(l, writes, until);
    if (writes && result == 0) set_writer(l, me);
    return result;
}

/// Takes the lock for those that may have it now, first come first served. Where a reader was faster than the first of them, which is a writer, other
/// readers join that one: it may wait for them.
[[gnu::noinline]] void hand_over(pthread_rwlock_t* l) noexcept {
    bucket& b = bucket_of(l);
    if (holding::any()) {
        wake_sleepers(l, 1 << 30);
        return;
    }
    const holding hold(b);
    for (sleeper* s = first_sleeper(b, l); s != nullptr;) {
        sleeper* const next = next_sleeper(b, *s);
        const bool wrote = s->writes;
        if (try_for(l, wrote, s->owner) == 0) {
            s->handed = true;
            rouse(b, *s);
            if (wrote) return;
        } else if (!wrote || prefers_writers(l)) {
            return;
        }
        s = next;
    }
}

} // namespace

int rdlock(pthread_rwlock_t* l) noexcept { return take(l, false, {}); }
int wrlock(pthread_rwlock_t* l) noexcept { return take(l, true, {}); }
int timedrdlock(pthread_rwlock_t* l, const timespec* at) noexcept { return take(l, false, {CLOCK_REALTIME, at}); }
int timedwrlock(pthread_rwlock_t* l, const timespec* at) noexcept { return take(l, true, {CLOCK_REALTIME, at}); }
int clockrdlock(pthread_rwlock_t* l, clockid_t clock, const timespec* at) noexcept {
    return limit::knows(clock) ? take(l, false, {clock, at}) : EINVAL;
}
int clockwrlock(pthread_rwlock_t* l, clockid_t clock, const timespec* at) noexcept {
    return limit::knows(clock) ? take(l, true, {clock, at}) : EINVAL;
}

int tryrdlock(pthread_rwlock_t* l) noexcept {
    bucket& b = bucket_of(l);
    if (prefers_writers(l) && b.sleepers.load(std::memory_order_relaxed) != 0 && !holding::any()) {
        const holding hold(b);
        if (has_waiting_writer(b, l)) return EBUSY;
    }
    return real().pthread_rwlock_tryrdlock(l);
}

int trywrlock(pthread_rwlock_t* l) noexcept { return try_for(l, true, this_owner(is_shared(l))); }

int unlock(pthread_rwlock_t* l) noexcept {
    // libc tells a writer's unlock by its kernel thread.
    const std::uint32_t me = this_owner(is_shared(l));
    int result = 0;
    {
        const taken_for who(me);
        if (writer_of(l) == me) set_writer(l, this_tid());
        result = real().pthread_rwlock_unlock(l);
    }
    std::atomic_signal_fence(std::memory_order_seq_cst); // the processor's was in the locked instruction that let go
    // The address is only looked up, unless somebody waits, who keeps the lock alive.
    if (bucket_of(l).sleepers.load(std::memory_order_seq_cst) != 0) hand_over(l);
    return result;
}

} // namespace weft::shim::rwlock

using weft::shim::call;
using weft::shim::serve_everywhere;
namespace policy = weft::shim::rwlock;

extern "C" {

WEFT_API int pthread_rwlock_rdlock(pthread_rwlock_t* l) noexcept {
    return serve_everywhere<call::pthread_rwlock_rdlock>(policy::rdlock, l);
}
WEFT_API int __pthread_rwlock_rdlock(pthread_rwlock_t* l) noexcept {
    return serve_everywhere<call::__pthread_rwlock_rdlock>(policy::rdlock, l);
}
WEFT_API int pthread_rwlock_wrlock(pthread_rwlock_t* l) noexcept {
    return serve_everywhere<call::pthread_rwlock_wrlock>(policy::wrlock, l);
}
WEFT_API int __pthread_rwlock_wrlock(pthread_rwlock_t* l) noexcept {
    return serve_everywhere<call::__pthread_rwlock_wrlock>(policy::wrlock, l);
}
WEFT_API int pthread_rwlock_timedrdlock(pthread_rwlock_t* l, const timespec* at) noexcept {
    return serve_everywhere<call::pthread_rwlock_timedrdlock>(policy::timedrdlock, l, at);
}
WEFT_API int pthread_rwlock_timedwrlock(pthread_rwlock_t* l, const timespec* at) noexcept {
    return serve_everywhere<call::pthread_rwlock_timedwrlock>(policy::timedwrlock, l, at);
}
WEFT_API int pthread_rwlock_clockrdlock(pthread_rwlock_t* l, clockid_t clock, const timespec* at) noexcept {
    return serve_everywhere<call::pthread_rwlock_clockrdlock>(policy::clockrdlock, l, clock, at);
}
WEFT_API int pthread_rwlock_clockwrlock(pthread_rwlock_t* l, clockid_t clock, const timespec* at) noexcept {
    return serve_everywhere<call::pthread_rwlock_clockwrlock>(policy::clockwrlock, l, clock, at);
}
WEFT_API int pthread_rwlock_tryrdlock(pthread_rwlock_t* l) noexcept {
    return serve_everywhere<call::pthread_rwlock_tryrdlock>(policy::tryrdlock, l);
}
WEFT_API int __pthread_rwlock_tryrdlock(pthread_rwlock_t* l) noexcept {
    return serve_everywhere<call::__pthread_rwlock_tryrdlock>(policy::tryrdlock, l);
}
WEFT_API int pthread_rwlock_trywrlock(pthread_rwlock_t* l) noexcept {
    return serve_everywhere<call::pthread_rwlock_trywrlock>(policy::trywrlock, l);
}
WEFT_API int __pthread_rwlock_trywrlock(pthread_rwlock_t* l) noexcept {
    return serve_everywhere<call::__pthread_rwlock_trywrlock>(policy::trywrlock, l);
}
WEFT_API int pthread_rwlock_unlock(pthread_rwlock_t* l) noexcept {
    return serve_everywhere<call::pthread_rwlock_unlock>(policy::unlock, l);
}
WEFT_API int __pthread_rwlock_unlock(pthread_rwlock_t* l) noexcept {
    return serve_everywhere<call::__pthread_rwlock_unlock>(policy::unlock, l);
}

} // extern "C"
