// SPDX-License-Identifier: Apache-2.0
#include "threads/mutex.hpp"

#include "core/serve.hpp"
#include "threads/foreign_mutex.hpp"
#include "threads/futex.hpp"
#include "threads/identity.hpp"
#include "threads/table.hpp"

#include "work/kernel_call.hpp"
#include <weft/export.hpp>

#include <climits>

#include <sys/single_threaded.h>

namespace weft::shim::mutex {

namespace {

constexpr const char* what = "a pthread mutex";

// The bits of libc's __kind.
constexpr int type_bits = 3, inherit_bit = 32, shared_bit = 128;
constexpr int foreign_bits = 16 | 64; // robust, priority protection
enum type : int { normal, recursive, error_checking, adaptive };

int kind_of(const pthread_mutex_t* m) noexcept { return __atomic_load_n(&m->__data.__kind, __ATOMIC_RELAXED); }
/// One of this process with priority inheritance is ours: nothing here has a priority to inherit, and the kernel would want it released by the
/// kernel thread that took it.
bool is_foreign(int kind) noexcept { return (kind & foreign_bits) != 0 || (kind & (inherit_bit | shared_bit)) == (inherit_bit | shared_bit); }
/// Of these only their owner lets go.
bool is_checked(int kind) noexcept { return (kind & type_bits) == recursive || (kind & type_bits) == error_checking || (kind & inherit_bit) != 0; }
std::atomic_ref<std::uint32_t> word_of(pthread_mutex_t* m) noexcept {
    return std::atomic_ref(reinterpret_cast<std::uint32_t&>(m->__data.__lock));
}
std::uint32_t* address_of(pthread_mutex_t* m) noexcept { return reinterpret_cast<std::uint32_t*>(&m->__data.__lock); }
std::uint32_t owner_of(pthread_mutex_t* m) noexcept {
    return static_cast<std::uint32_t>(__atomic_load_n(&m->__data.__owner, __ATOMIC_RELAXED));
}
void set_owner(pthread_mutex_t* m, std::uint32_t who) noexcept {
    __atomic_store_n(&m->__data.__owner, static_cast<int>(who), __ATOMIC_RELAXED);
}

// --- The word: 0 free, 1 taken, 2 taken and somebody may wait ---

bool try_word(pthread_mutex_t* m, bool shared) noexcept {
    const auto word = word_of(m);
    if (__libc_single_threaded && !shared) { // as libc does it: nobody else is there
        if (word.load(std::memory_order_relaxed) != 0) return false;
        word.store(1, std::memory_order_relaxed);
        return true;
    }
    std::uint32_t expected = 0;
    return word.compare_exchange_strong(expected, 1, std::memory_order_acquire, std::memory_order_relaxed);
}

/// Waits by the kernel thread that calls.
int block_for_word(pthread_mutex_t* m, bool shared, const limit& until) noexcept {
    const auto word = word_of(m);
    while (word.exchange(2, std::memory_order_acquire) != 0) {
        if (const int error = until.refusal(); error != 0) return error;
        const long result = futex::wait_in_kernel(address_of(m), 2, shared, until);
        if (result == -ETIMEDOUT) return ETIMEDOUT;
    }
    return 0;
}

/// Suspends the fiber until the word is its own.
int sleep_for_word(pthread_mutex_t* m, const limit& until) noexcept {
    const auto word = word_of(m);
    bucket& b = bucket_of(address_of(m));
    sleeper s(address_of(m));
    for (;;) {
        {
            const holding hold(b);
            enqueue(b, s);
            if (word.exchange(2, std::memory_order_acquire) == 0) {
                withdraw(b, s);
                return 0;
            }
        }
        if (const int error = until.refusal(); error != 0) return error;
        if (sleep(s, what, until, endless) == ended::timeout) return ETIMEDOUT;
        if (s.handed) return 0;
        // Whoever unlocks and locks again at once must not do so for ever.
        s.starving = true;
    }
}

[[gnu::noinline]] int wait_for_word(pthread_mutex_t* m, bool shared, const limit& until) noexcept {
    if (!may_suspend()) {
        if ((kind_of(m) & type_bits) == adaptive && until.at == nullptr)
            for (int i = 0; i < 100; ++i) {
                __builtin_ia32_pause();
                if (word_of(m).load(std::memory_order_relaxed) == 0 && try_word(m, shared)) return 0;
            }
        return block_for_word(m, shared, until);
    }
    if (!shared) return sleep_for_word(m, until);
    // A helper takes the word, in which there is no owner, as any thread of any process would.
    const int saved_errno = errno;
    int result = rt::on_kernel_thread([=]() noexcept { return block_for_word(m, true, until); }, rt::unbroken);
    errno = saved_errno;
    return result >= 0 ? result : block_for_word(m, true, until);
}

/// Lets go of a word that somebody may wait for.
[[gnu::noinline]] void release_contended(pthread_mutex_t* m, bool shared) noexcept {
    const auto word = word_of(m);
    std::uint32_t* const address = address_of(m);
    bucket& b = bucket_of(address);
    if (shared || b.sleepers.load(std::memory_order_seq_cst) == 0 || holding::any()) {
        if (word.exchange(0, std::memory_order_seq_cst) > 1) futex::wake(address, 1, shared); // which looks at the table too
        return;
    }
    {
        const holding hold(b);
        sleeper* const first = first_sleeper(b, address);
        if (first != nullptr && first->starving) {
            first->handed = true; // the word stays as it is
            rouse(b, *first);
            return;
        }
        const bool others = b.in_kernel.load(std::memory_order_relaxed) != 0;
        if (first != nullptr && !others) {
            word.store(0, std::memory_order_seq_cst);
            rouse(b, *first);
            return;
        }
    }
    if (word.exchange(0, std::memory_order_seq_cst) > 1) futex::wake(address, 1, false);
}

void release(pthread_mutex_t* m, bool shared) noexcept {
    const auto word = word_of(m);
    if (__libc_single_threaded && !shared) {
        if (word.load(std::memory_order_relaxed) <= 1) {
            word.store(0, std::memory_order_relaxed);
            return;
        }
    } else {
        std::uint32_t expected = 1;
        if (word.compare_exchange_strong(expected, 0, std::memory_order_release, std::memory_order_relaxed)) return;
    }
    release_contended(m, shared);
}

/// Takes the word of a mutex that is not foreign.
int take(pthread_mutex_t* m, int kind, const limit& until) noexcept {
    const bool shared = (kind & shared_bit) != 0;
    const std::uint32_t me = this_owner(shared);
    const int t = kind & type_bits;
    if (t == recursive || t == error_checking) {
        if (owner_of(m) == me) {
            if (t == error_checking) return EDEADLK;
            if (m->__data.__count == UINT_MAX) return EAGAIN;
            ++m->__data.__count;
            return 0;
        }
    }
    if (__builtin_expect(!try_word(m, shared), 0))
        if (const int error = wait_for_word(m, shared, until); error != 0) return error;
    if (t == recursive) m->__data.__count = 1;
    set_owner(m, me);
    ++m->__data.__nusers;
    return 0;
}

[[gnu::noinline]] void release_from_program(pthread_mutex_t* m) noexcept {
    const trap::untrapped here;
    release_contended(m, false);
}

// --- The short way, of a mutex that is free, or that nobody waits for ---

// Here the memory changes exactly as by libc's functions, so nothing has to be asked first, but whether the owner is to be ours.

/// The owner's number, by which a short way begins; 0: it is not to be gone.
[[gnu::always_inline]] inline std::uint32_t quick_owner() noexcept {
    const std::ptrdiff_t offset = quick_tid_offset;
    if (__builtin_expect(offset == 0, 0)) return 0;
    const rt::fiber_core* f = rt::this_thread_state.running;
    if (f == nullptr) return tid_at(offset);
    return f->is_on_thread_stack() ? home_tid_of(*f) : number_of(*f);
}

template <type t>
[[gnu::always_inline]] inline bool lock_at_once(pthread_mutex_t* m) noexcept {
    const std::uint32_t me = quick_owner();
    if (__builtin_expect(me == 0, 0) || !try_word(m, false)) return false;
    if constexpr (t == recursive) m->__data.__count = 1;
    set_owner(m, me);
    ++m->__data.__nusers;
    return true;
}

template <type t>
[[gnu::always_inline]] inline bool unlock_at_once(pthread_mutex_t* m) noexcept {
    const auto word = word_of(m);
    if (word.load(std::memory_order_relaxed) != 1 || __builtin_expect(quick_tid_offset == 0, 0)) return false;
    if constexpr (t == recursive) {
        if (m->__data.__count != 1 || owner_of(m) != quick_owner()) return false;
        m->__data.__count = 0;
    }
    set_owner(m, 0);
    --m->__data.__nusers;
    if (__libc_single_threaded) {
        word.store(0, std::memory_order_relaxed);
        return true;
    }
    std::uint32_t expected = 1;
    if (!word.compare_exchange_strong(expected, 0, std::memory_order_release, std::memory_order_relaxed)) release_from_program(m);
    return true;
}

/// False: nothing was done.
[[gnu::always_inline]] inline bool lock_quickly(pthread_mutex_t* m) noexcept {
    return __builtin_expect(kind_of(m) == normal, 1) && lock_at_once<normal>(m);
}
[[gnu::always_inline]] inline bool unlock_quickly(pthread_mutex_t* m) noexcept {
    return __builtin_expect(kind_of(m) == normal, 1) && unlock_at_once<normal>(m);
}

bool is_plainly_recursive(pthread_mutex_t* m) noexcept { return kind_of(m) == recursive && gate::is_on(family::locks); }
bool lock_recursive_quickly(pthread_mutex_t* m) noexcept { return is_plainly_recursive(m) && lock_at_once<recursive>(m); }
bool unlock_recursive_quickly(pthread_mutex_t* m) noexcept { return is_plainly_recursive(m) && unlock_at_once<recursive>(m); }

int clocklock_with(pthread_mutex_t* m, clockid_t clock, const timespec* at) noexcept {
    const int kind = kind_of(m);
    if (is_foreign(kind)) return foreign_mutex::lock(m, {clock, at});
    return take(m, kind, {clock, at});
}

} // namespace

int lock(pthread_mutex_t* m) noexcept {
    const int kind = kind_of(m);
    if (__builtin_expect(is_foreign(kind), 0)) return foreign_mutex::lock(m, {});
    return take(m, kind, {});
}

int trylock(pthread_mutex_t* m) noexcept {
    const int kind = kind_of(m);
    if (is_foreign(kind)) return foreign_mutex::trylock(m);
    const bool shared = (kind & shared_bit) != 0;
    const std::uint32_t me = this_owner(shared);
    const int t = kind & type_bits;
    if (t == recursive && owner_of(m) == me) {
        if (m->__data.__count == UINT_MAX) return EAGAIN;
        ++m->__data.__count;
        return 0;
    }
    if (t == error_checking && (kind & inherit_bit) != 0 && owner_of(m) == me) return EDEADLK; // as libc has it
    if (!try_word(m, shared)) return busy();
    if (t == recursive) m->__data.__count = 1;
    set_owner(m, me);
    ++m->__data.__nusers;
    return 0;
}

int clocklock(pthread_mutex_t* m, clockid_t clock, const timespec* at) noexcept {
    return limit::knows(clock) ? clocklock_with(m, clock, at) : EINVAL;
}

int timedlock(pthread_mutex_t* m, const timespec* at) noexcept { return clocklock_with(m, CLOCK_REALTIME, at); }

int unlock(pthread_mutex_t* m) noexcept {
    const int kind = kind_of(m);
    if (__builtin_expect(is_foreign(kind), 0)) return foreign_mutex::unlock(m);
    const bool shared = (kind & shared_bit) != 0;
    const int t = kind & type_bits;
    if (is_checked(kind)) {
        if (owner_of(m) != this_owner(shared) || (t != recursive && word_of(m).load(std::memory_order_relaxed) == 0)) return EPERM;
        if (t == recursive && --m->__data.__count != 0) return 0;
    }
    set_owner(m, 0);
    --m->__data.__nusers;
    release(m, shared);
    return 0;
}

int unlock_to_wait(pthread_mutex_t* m) noexcept {
    const int kind = kind_of(m);
    if (is_foreign(kind)) return foreign_mutex::unlock(m);
    const bool shared = (kind & shared_bit) != 0;
    const int t = kind & type_bits;
    if (is_checked(kind)) {
        if (owner_of(m) != this_owner(shared) || (t != recursive && word_of(m).load(std::memory_order_relaxed) == 0)) return EPERM;
        if (t == recursive && --m->__data.__count != 0) return 0; // as libc has it: the lock stays
    }
    set_owner(m, 0);
    release(m, shared);
    return 0;
}

int lock_after_wait(pthread_mutex_t* m) noexcept {
    const int kind = kind_of(m);
    if (is_foreign(kind)) return foreign_mutex::lock(m, {});
    const int error = take(m, kind, {});
    if (error == 0 && ((kind & type_bits) != recursive || m->__data.__count == 1)) --m->__data.__nusers;
    return error;
}

bool is_shared(const pthread_mutex_t* m) noexcept { return (kind_of(m) & (shared_bit | foreign_bits | inherit_bit)) == shared_bit; }

} // namespace weft::shim::mutex

using weft::shim::call;
using weft::shim::serve_everywhere;
namespace policy = weft::shim::mutex;

namespace {

// Functions of their own, so that the short way needs no frame.
template <call c>
[[gnu::noinline]] int lock_slowly(pthread_mutex_t* m) noexcept {
    return policy::lock_recursive_quickly(m) ? 0 : serve_everywhere<c>(policy::lock, m);
}
template <call c>
[[gnu::noinline]] int unlock_slowly(pthread_mutex_t* m) noexcept {
    return policy::unlock_recursive_quickly(m) ? 0 : serve_everywhere<c>(policy::unlock, m);
}

} // namespace

extern "C" {

WEFT_API int pthread_mutex_lock(pthread_mutex_t* m) noexcept {
    return policy::lock_quickly(m) ? 0 : lock_slowly<call::pthread_mutex_lock>(m);
}
WEFT_API int __pthread_mutex_lock(pthread_mutex_t* m) noexcept {
    return policy::lock_quickly(m) ? 0 : lock_slowly<call::__pthread_mutex_lock>(m);
}
WEFT_API int pthread_mutex_trylock(pthread_mutex_t* m) noexcept {
    return serve_everywhere<call::pthread_mutex_trylock>(policy::trylock, m);
}
WEFT_API int __pthread_mutex_trylock(pthread_mutex_t* m) noexcept {
    return serve_everywhere<call::__pthread_mutex_trylock>(policy::trylock, m);
}
WEFT_API int pthread_mutex_timedlock(pthread_mutex_t* m, const timespec* at) noexcept {
    return serve_everywhere<call::pthread_mutex_timedlock>(policy::timedlock, m, at);
}
WEFT_API int pthread_mutex_clocklock(pthread_mutex_t* m, clockid_t clock, const timespec* at) noexcept {
    return serve_everywhere<call::pthread_mutex_clocklock>(policy::clocklock, m, clock, at);
}
WEFT_API int pthread_mutex_unlock(pthread_mutex_t* m) noexcept {
    return policy::unlock_quickly(m) ? 0 : unlock_slowly<call::pthread_mutex_unlock>(m);
}
WEFT_API int __pthread_mutex_unlock(pthread_mutex_t* m) noexcept {
    return policy::unlock_quickly(m) ? 0 : unlock_slowly<call::__pthread_mutex_unlock>(m);
}

} // extern "C"
