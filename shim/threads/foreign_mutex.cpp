// SPDX-License-Identifier: Apache-2.0
#include "threads/foreign_mutex.hpp"

#include "core/real.hpp"
#include "threads/futex.hpp"
#include "threads/identity.hpp"
#include "threads/keeper.hpp"
#include "threads/table.hpp"

#include "work/kernel_call.hpp"
#include <weft/detail/waiter.hpp>

#include <cerrno>
#include <climits>

#include <linux/futex.h>

namespace weft::shim::foreign_mutex {

namespace {

constexpr const char* what = "a pthread mutex";
constexpr int robust_bit = 16, inherit_bit = 32;
constexpr int inconsistent = 0x7fffffff; // libc's mark of a robust mutex whose owner has died

constexpr int type_bits = 3, shared_bit = 128;
enum type : int { normal, recursive, error_checking };

int kind_of(const pthread_mutex_t* m) noexcept { return __atomic_load_n(&m->__data.__kind, __ATOMIC_RELAXED); }
std::uint32_t word_of(pthread_mutex_t* m) noexcept { return static_cast<std::uint32_t>(__atomic_load_n(&m->__data.__lock, __ATOMIC_RELAXED)); }

/// The number that libc's functions write as the owner's. Fibers may unlock on another kernel thread than they locked on, so theirs is that of their
/// hub's first one.
std::uint32_t owner_tid() noexcept {
    const rt::fiber_core* const f = rt::this_thread_state.running;
    return f == nullptr ? this_tid() : static_cast<std::uint32_t>(f->owner->home_tid());
}

/// Whether the keeper holds it, or is to: for fibers, and what processes share. What main took while it was alone is held by main's own
/// kernel thread.
bool is_the_keepers(pthread_mutex_t* m) noexcept {
    const int kind = kind_of(m);
    return (kind & shared_bit) != 0 && (kind & (robust_bit | inherit_bit)) != 0 && rt::this_thread_state.running != nullptr &&
           (word_of(m) & FUTEX_TID_MASK) != owner_tid();
}

/// Which fiber has it; 0: one that is about to say so. Main may have taken it while it was alone, by libc, which does not say.
std::uint32_t fiber_in(pthread_mutex_t* m) noexcept {
    const std::uint32_t fiber = __atomic_load_n(keeper::fiber_of(m), __ATOMIC_ACQUIRE);
    return fiber == 0 && !is_the_keepers(m) ? owner_tid() : fiber;
}

/// Of a process's own nothing inherits a priority (mutex.cpp): a robust one is an ordinary robust one from the first use on.
void forget_inheritance(pthread_mutex_t* m) noexcept {
    if ((kind_of(m) & (inherit_bit | shared_bit)) == inherit_bit) __atomic_fetch_and(&m->__data.__kind, ~inherit_bit, __ATOMIC_RELAXED);
}

/// Whether the calling kernel thread has it, or the keeper does, by whichever fiber.
bool is_on_this_thread(pthread_mutex_t* m) noexcept {
    const std::uint32_t me = is_the_keepers(m) ? keeper::tid() : owner_tid();
    if ((kind_of(m) & (robust_bit | inherit_bit)) == 0) return static_cast<std::uint32_t>(__atomic_load_n(&m->__data.__owner, __ATOMIC_RELAXED)) == me;
    return me != 0 && (word_of(m) & FUTEX_TID_MASK) == me;
}

bool is_a_siblings(pthread_mutex_t* m, std::uint32_t me) noexcept { return is_on_this_thread(m) && fiber_in(m) != me; }

int real_lock(pthread_mutex_t* m, const limit& until) noexcept {
    const taken_for me(owner_tid());
    if (until.at == nullptr) return real().pthread_mutex_lock(m);
    return real().pthread_mutex_clocklock(m, until.clock, until.at);
}

int real_trylock(pthread_mutex_t* m) noexcept {
    const taken_for me(owner_tid());
    return real().pthread_mutex_trylock(m);
}

int taken(pthread_mutex_t* m, std::uint32_t me, int result) noexcept {
    if (result == 0 || result == EOWNERDEAD) __atomic_store_n(keeper::fiber_of(m), me, __ATOMIC_RELAXED);
    return result;
}

/// Takes one that is the keeper's; `me` may have it already. Fibers of other hubs may be faster at any moment.
int keeper_trylock(pthread_mutex_t* m, std::uint32_t me) noexcept {
    if (!is_on_this_thread(m) || fiber_in(m) != me) return keeper::try_lock(m, me);
    const int type = kind_of(m) & type_bits;
    if (type == error_checking) return EDEADLK;
    if (type != recursive) return EBUSY;
    if (m->__data.__count == UINT_MAX) return EAGAIN;
    ++m->__data.__count;
    return 0;
}

int keeper_unlock(pthread_mutex_t* m, std::uint32_t me) noexcept {
    if (!is_on_this_thread(m) || fiber_in(m) != me) return EPERM;
    if ((kind_of(m) & type_bits) == recursive && --m->__data.__count != 0)
        return (kind_of(m) & robust_bit) != 0 && m->__data.__owner == inconsistent ? ENOTRECOVERABLE : 0;
    keeper::unlock(m);
    return 0;
}

int trylock_free(pthread_mutex_t* m, std::uint32_t me) noexcept {
    return is_the_keepers(m) ? keeper_trylock(m, me) : taken(m, me, real_trylock(m));
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

/// Who was woken in the kernel marks a robust mutex, which somebody has by now, as one that others may wait for: the wake was the only one.
void keep_others_awake(pthread_mutex_t* m) noexcept {
    if ((kind_of(m) & (robust_bit | inherit_bit)) != robust_bit) return;
    const std::atomic_ref there(reinterpret_cast<std::uint32_t&>(m->__data.__lock));
    std::uint32_t seen = there.load(std::memory_order_relaxed);
    while ((seen & FUTEX_TID_MASK) != 0 && !there.compare_exchange_weak(seen, seen | FUTEX_WAITERS, std::memory_order_relaxed)) {}
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
        const int result = trylock_free(m, first->owner);
        first->handed = result != EBUSY; // else it will see who was faster
        if (first->handed) first->result = result;
    }
    rouse(b, *first);
}

} // namespace

int lock(pthread_mutex_t* m, const limit& until) noexcept {
    forget_inheritance(m);
    const std::uint32_t me = this_owner(true);
    std::chrono::milliseconds pause{1};
    bool waited = false;
    bucket& b = bucket_of(m);
    for (;;) {
        const bool keepers = is_the_keepers(m);
        const bool mine = is_on_this_thread(m) && fiber_in(m) == me;
        const int type = kind_of(m) & type_bits;
        // Who waits for itself waits suspended, so that all others go on.
        if (mine ? type == recursive || type == error_checking : !is_on_this_thread(m)) {
            if (!may_suspend() && !keepers) return taken(m, me, real_lock(m, until));
            // A lock that is this very fiber's or thread's own is libc's to judge.
            const int result = mine && !keepers ? taken(m, me, real_lock(m, until)) : trylock_free(m, me);
            if (waited && (result == 0 || result == EOWNERDEAD)) keep_others_awake(m);
            if (result != EBUSY) return result;
            if (const int error = until.refusal(); error != 0) return error;
            if (!wait_for_thread(m, until, pause)) return ETIMEDOUT;
            waited = true;
            continue;
        }
        if (const int error = until.refusal(); error != 0) return error;
        if (!may_suspend() && !keepers) return real_lock(m, until); // within weft: the thread has it, and waits for itself
        if (waited) keep_others_awake(m);
        sleeper s(m);
        s.owner = me;
        s.thread_id = this_tid();
        {
            const holding hold(b);
            enqueue(b, s);
        }
        if ((mine || is_a_siblings(m, me)) && sleep(s, what, until, endless) == ended::timeout) return ETIMEDOUT;
        if (!dequeue(s) && s.handed) return s.result;
    }
}

int trylock(pthread_mutex_t* m) noexcept {
    forget_inheritance(m);
    const std::uint32_t me = this_owner(true);
    const int result = is_a_siblings(m, me) ? EBUSY : trylock_free(m, me);
    return result == EBUSY ? busy() : result;
}

int unlock(pthread_mutex_t* m) noexcept {
    const std::uint32_t me = this_owner(true);
    int result = 0;
    if (is_the_keepers(m)) {
        result = keeper_unlock(m, me);
    } else {
        if (is_a_siblings(m, me) && (kind_of(m) & (type_bits | robust_bit)) != 0) return EPERM;
        // Before another fiber may have it: until that one has said so, nobody is to take it for the caller's.
        if (is_on_this_thread(m) && fiber_in(m) == me) __atomic_store_n(keeper::fiber_of(m), 0, __ATOMIC_RELAXED);
        const taken_for libcs(owner_tid());
        result = real().pthread_mutex_unlock(m);
    }
    if (result == 0) hand_over(m);
    return result;
}

} // namespace weft::shim::foreign_mutex
