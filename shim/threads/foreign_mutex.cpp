// SPDX-License-Identifier: Apache-2.0
#include "threads/foreign_mutex.hpp"

#include "core/real.hpp"
#include "threads/futex.hpp"
#include "threads/identity.hpp"
#include "threads/table.hpp"

#include "work/kernel_call.hpp"
#include <weft/detail/waiter.hpp>

#include <cerrno>
#include <cstddef>

#include <linux/futex.h>

namespace weft::shim::foreign_mutex {

namespace {

constexpr const char* what = "a pthread mutex";
constexpr int robust_bit = 16, inherit_bit = 32;

int kind_of(const pthread_mutex_t* m) noexcept { return __atomic_load_n(&m->__data.__kind, __ATOMIC_RELAXED); }

/// Which fiber has it, where __spins and __elision lie: these kinds neither spin nor elide.
std::uint32_t* fiber_of(pthread_mutex_t* m) noexcept {
    static_assert(offsetof(pthread_mutex_t, __data.__spins) % 4 == 0);
    return reinterpret_cast<std::uint32_t*>(&m->__data.__spins);
}

/// The number that libc's functions write as the owner's. Fibers may unlock on another kernel thread than they locked on, so theirs is that of their
/// hub's first one; but with priority inheritance the kernel has it to be the caller's.
std::uint32_t owner_tid(int kind) noexcept {
    const rt::fiber_core* const f = rt::this_thread_state.running;
    return f == nullptr || (kind & inherit_bit) != 0 ? this_tid() : static_cast<std::uint32_t>(f->owner->home_tid());
}

/// While it lives, libc takes the calling thread for the one of that number.
class as_owner {
public:
    explicit as_owner(int kind) noexcept : before_(this_tid()), now_(tid_offset == 0 ? before_ : owner_tid(kind)) {
        if (now_ != before_) write(now_);
    }
    ~as_owner() {
        if (now_ != before_) write(before_);
    }
    as_owner(const as_owner&) = delete;
    as_owner& operator=(const as_owner&) = delete;

private:
    static void write(std::uint32_t tid) noexcept { asm volatile("movl %0, %%fs:(%1)" : : "r"(tid), "r"(tid_offset) : "memory"); }
    std::uint32_t before_, now_;
};

/// Whether the calling kernel thread has it, by whichever of its fibers.
bool is_on_this_thread(pthread_mutex_t* m) noexcept {
    const int kind = kind_of(m);
    if ((kind & (robust_bit | inherit_bit)) == 0)
        return static_cast<std::uint32_t>(__atomic_load_n(&m->__data.__owner, __ATOMIC_RELAXED)) == owner_tid(kind);
    return (static_cast<std::uint32_t>(__atomic_load_n(&m->__data.__lock, __ATOMIC_RELAXED)) & FUTEX_TID_MASK) == owner_tid(kind);
}

bool is_a_siblings(pthread_mutex_t* m, std::uint32_t me) noexcept {
    return is_on_this_thread(m) && __atomic_load_n(fiber_of(m), __ATOMIC_RELAXED) != me;
}

int real_lock(pthread_mutex_t* m, const limit& until) noexcept {
    const as_owner me(kind_of(m));
    if (until.at == nullptr) return real().pthread_mutex_lock(m);
    return real().pthread_mutex_clocklock(m, until.clock, until.at);
}

int real_trylock(pthread_mutex_t* m) noexcept {
    const as_owner me(kind_of(m));
    return real().pthread_mutex_trylock(m);
}

int taken(pthread_mutex_t* m, std::uint32_t me, int result) noexcept {
    if (result == 0 || result == EOWNERDEAD) __atomic_store_n(fiber_of(m), me, __ATOMIC_RELAXED);
    return result;
}

/// Another kernel thread has it: a helper waits until it may be had. False: the time is up.
bool wait_for_thread(pthread_mutex_t* m, const limit& until, std::chrono::milliseconds& pause) noexcept {
    const int kind = kind_of(m);
    const rt::no_interruption meanwhile;
    if ((kind & (robust_bit | inherit_bit)) != robust_bit) {
        // Such a word can only be waited for by the thread that is to have it.
        rt::waiter w(what, m, rt::interruption::deferred);
        w.mark_external();
        const deadline end = until.to_deadline();
        w.suspend(std::min(end, deadline(pause)));
        pause = std::min(pause * 2, std::chrono::milliseconds(10));
        return !end.expired();
    }
    auto* const word = reinterpret_cast<std::uint32_t*>(&m->__data.__lock);
    const std::atomic_ref there(*word);
    std::uint32_t seen = there.load(std::memory_order_relaxed);
    if ((seen & FUTEX_TID_MASK) == 0 || (seen & FUTEX_OWNER_DIED) != 0) return true;
    if ((seen & FUTEX_WAITERS) == 0 && !there.compare_exchange_strong(seen, seen | FUTEX_WAITERS)) return true;
    const int saved_errno = errno;
    const int result = rt::on_kernel_thread([=]() noexcept {
        // Robust ones are waited for as if they were shared: so libc and the kernel wake.
        return static_cast<int>(-futex::wait_in_kernel(word, seen | FUTEX_WAITERS, true, until));
    });
    errno = saved_errno;
    return result != ETIMEDOUT;
}

/// Who was woken in the kernel marks a robust mutex, which this thread has by now, as one that others may wait for: the wake was the only one.
void keep_others_awake(pthread_mutex_t* m) noexcept {
    if ((kind_of(m) & (robust_bit | inherit_bit)) != robust_bit) return;
    std::atomic_ref(reinterpret_cast<std::uint32_t&>(m->__data.__lock)).fetch_or(FUTEX_WAITERS, std::memory_order_relaxed);
}

/// Gives it to the fiber that has waited longest, if that is one of this thread's; it would never have it if who unlocks locks again at once.
void hand_over(pthread_mutex_t* m) noexcept {
    bucket& b = bucket_of(m);
    if (b.sleepers.load(std::memory_order_seq_cst) == 0 || is_on_this_thread(m)) return;
    if (holding::any()) {
        wake_sleepers(m, 1);
        return;
    }
    const holding hold(b);
    sleeper* const first = first_sleeper(b, m);
    if (first == nullptr) return;
    // A green thread's own list says what it has (robust.hpp), so nobody can take it for another.
    if (first->thread_id == this_tid() && rt::this_thread_state.thread == nullptr) {
        const int result = real_trylock(m);
        first->handed = result != EBUSY; // else it will see who was faster
        if (first->handed) first->result = taken(m, first->owner, result);
    }
    rouse(b, *first);
}

} // namespace

int lock(pthread_mutex_t* m, const limit& until) noexcept {
    const std::uint32_t me = this_owner(true);
    std::chrono::milliseconds pause{1};
    bool waited = false;
    bucket& b = bucket_of(m);
    for (;;) {
        if (!is_a_siblings(m, me)) {
            // A lock that is this very fiber's or thread's own is libc's to judge.
            if (!may_suspend()) return taken(m, me, real_lock(m, until));
            const int result = is_on_this_thread(m) ? real_lock(m, until) : real_trylock(m);
            if (waited && (result == 0 || result == EOWNERDEAD)) keep_others_awake(m);
            if (result != EBUSY) return taken(m, me, result);
            if (const int error = until.refusal(); error != 0) return error;
            if (!wait_for_thread(m, until, pause)) return ETIMEDOUT;
            waited = true;
            continue;
        }
        if (const int error = until.refusal(); error != 0) return error;
        if (!may_suspend()) return real_lock(m, until); // within weft: the thread has it, and waits for itself
        if (waited) keep_others_awake(m);
        sleeper s(m);
        s.owner = me;
        s.thread_id = this_tid();
        {
            const holding hold(b);
            enqueue(b, s);
        }
        if (is_a_siblings(m, me) && sleep(s, what, until, endless) == ended::timeout) return ETIMEDOUT;
        if (!dequeue(s) && s.handed) return s.result;
    }
}

int trylock(pthread_mutex_t* m) noexcept {
    const std::uint32_t me = this_owner(true);
    return is_a_siblings(m, me) ? EBUSY : taken(m, me, real_trylock(m));
}

int unlock(pthread_mutex_t* m) noexcept {
    if (is_a_siblings(m, this_owner(true)) && (kind_of(m) & 3) != 0) return EPERM;
    int result = 0;
    {
        const as_owner me(kind_of(m));
        result = real().pthread_mutex_unlock(m);
    }
    if (result == 0) hand_over(m);
    return result;
}

} // namespace weft::shim::foreign_mutex
