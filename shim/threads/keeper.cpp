// SPDX-License-Identifier: Apache-2.0
#include "threads/keeper.hpp"

#include "core/real.hpp"
#include "threads/futex.hpp"
#include "threads/table.hpp"

#include "core/registry.hpp"
#include "core/sys.hpp"
#include "core/thread_state.hpp"
#include <weft/detail/spinlock.hpp>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <mutex>

#include <linux/futex.h>
#include <sys/prctl.h>

namespace weft::shim::keeper {

namespace {

using rt::sys::arg;

constexpr int robust_bit = 16, inherit_bit = 32;
// What libc writes as the owner of a robust mutex between an owner's death and its being made consistent, and for good if it never was.
constexpr int inconsistent = 0x7fffffff, not_recoverable = 0x7ffffffe;

// --- The list of robust mutexes, as libc and the kernel have it: entries point at each other's `__next`, `__prev` lies before that ---

struct head_and_previous {
    void* previous;
    robust_list_head head;
};
constinit head_and_previous list{};
constinit rt::spinlock lock; // guards the list and the words of what is in it

constexpr std::uintptr_t inherits = 1; // the bit of an entry with priority inheritance
constexpr auto next_offset = static_cast<std::ptrdiff_t>(offsetof(pthread_mutex_t, __data.__list.__next));

std::uintptr_t entry_of(pthread_mutex_t* m) noexcept {
    const auto plain = reinterpret_cast<std::uintptr_t>(&m->__data.__list.__next);
    return (m->__data.__kind & inherit_bit) != 0 ? plain | inherits : plain;
}
std::uintptr_t& next_of(std::uintptr_t entry) noexcept { return *reinterpret_cast<std::uintptr_t*>(entry & ~inherits); }
std::uintptr_t& previous_of(std::uintptr_t entry) noexcept { return *(reinterpret_cast<std::uintptr_t*>(entry & ~inherits) - 1); }
std::uintptr_t end_of_list() noexcept { return reinterpret_cast<std::uintptr_t>(&list.head.list); }
pthread_mutex_t* mutex_at(std::uintptr_t entry) noexcept {
    return reinterpret_cast<pthread_mutex_t*>(reinterpret_cast<char*>(entry & ~inherits) - next_offset);
}

void clear_list() noexcept {
    list.head.list.next = &list.head.list;
    list.head.futex_offset = -next_offset;
    list.head.list_op_pending = nullptr;
    list.previous = &list.head.list;
}

// The process may be killed at any instruction: what is about to change is noted first, and the chain forwards is always whole.

void begin(std::uintptr_t entry) noexcept {
    list.head.list_op_pending = reinterpret_cast<robust_list*>(entry);
    std::atomic_signal_fence(std::memory_order_seq_cst);
}

void end() noexcept {
    std::atomic_signal_fence(std::memory_order_seq_cst);
    list.head.list_op_pending = nullptr;
}

void enlist(std::uintptr_t entry) noexcept {
    const std::uintptr_t next = next_of(end_of_list());
    previous_of(next) = entry & ~inherits;
    next_of(entry) = next;
    previous_of(entry) = end_of_list();
    std::atomic_signal_fence(std::memory_order_seq_cst);
    next_of(end_of_list()) = entry;
}

void delist(std::uintptr_t entry) noexcept {
    previous_of(next_of(entry)) = previous_of(entry);
    next_of(previous_of(entry)) = next_of(entry);
    next_of(entry) = previous_of(entry) = 0;
}

// --- The thread ---

constinit std::atomic<std::uint32_t> number{0};
constinit std::uint32_t asked = 0;   // how often; it sleeps on this
constinit std::uint32_t answered = 0;
constinit int operation = 0;
constinit std::uint32_t* subject = nullptr;

void* keep(void*) noexcept {
    const rt::helper_thread counted;
    rt::this_thread_state.inside = 1;
    rt::sys::call(SYS_prctl, PR_SET_NAME, arg("weft-keeper"));
    rt::sys::call(SYS_set_robust_list, arg(&list.head), sizeof list.head);
    const std::atomic_ref requests(asked), answers(answered);
    std::uint32_t done = answers.load(std::memory_order_relaxed);
    number.store(static_cast<std::uint32_t>(rt::sys::gettid()), std::memory_order_release);
    for (;;) {
        while (requests.load(std::memory_order_acquire) == done) rt::sys::call(SYS_futex, arg(&asked), FUTEX_WAIT_PRIVATE, done);
        rt::sys::call(SYS_futex, arg(subject), operation);
        answers.store(++done, std::memory_order_release);
        rt::sys::call(SYS_futex, arg(&answered), FUTEX_WAKE_PRIVATE, 1);
    }
}

bool make() noexcept {
    clear_list();
    const rt::inside_weft inside;
    const std::uint64_t all = ~(std::uint64_t{3} << 31); // but for libc's own two
    std::uint64_t before = 0;
    rt::sys::call(SYS_rt_sigprocmask, SIG_SETMASK, arg(&all), arg(&before), sizeof all);
    pthread_attr_t a;
    ::pthread_attr_init(&a);
    ::pthread_attr_setdetachstate(&a, PTHREAD_CREATE_DETACHED);
    ::pthread_attr_setstacksize(&a, std::size_t{128} * 1024);
    pthread_t thread{};
    const int error = real().pthread_create(&thread, &a, keep, nullptr);
    ::pthread_attr_destroy(&a);
    rt::sys::call(SYS_rt_sigprocmask, SIG_SETMASK, arg(&before), 0, sizeof before);
    while (error == 0 && number.load(std::memory_order_acquire) == 0) rt::sys::sched_yield();
    return error == 0;
}

/// A system call that the holder has to make. The lock is held.
void by_keeper(std::uint32_t* word, int what) noexcept {
    const std::atomic_ref requests(asked), answers(answered);
    subject = word;
    operation = what;
    const std::uint32_t mine = requests.load(std::memory_order_relaxed) + 1;
    requests.store(mine, std::memory_order_release);
    rt::sys::call(SYS_futex, arg(&asked), FUTEX_WAKE_PRIVATE, 1);
    for (;;) {
        const std::uint32_t seen = answers.load(std::memory_order_acquire);
        if (seen == mine) return;
        rt::sys::call(SYS_futex, arg(&answered), FUTEX_WAIT_PRIVATE, seen);
    }
}

// --- The words ---

std::uint32_t* word_of(pthread_mutex_t* m) noexcept { return reinterpret_cast<std::uint32_t*>(&m->__data.__lock); }
bool is_robust(const pthread_mutex_t* m) noexcept { return (m->__data.__kind & robust_bit) != 0; }
bool inherits_priority(const pthread_mutex_t* m) noexcept { return (m->__data.__kind & inherit_bit) != 0; }

/// 0, EOWNERDEAD or EBUSY; the word is the keeper's unless it is EBUSY.
int take_word(pthread_mutex_t* m, std::uint32_t me) noexcept {
    const std::atomic_ref there(*word_of(m));
    std::uint32_t seen = 0;
    if (there.compare_exchange_strong(seen, me)) return 0;
    if (!inherits_priority(m)) {
        while ((seen & FUTEX_OWNER_DIED) != 0)
            if (there.compare_exchange_strong(seen, me | (seen & FUTEX_WAITERS))) return EOWNERDEAD;
        return EBUSY;
    }
    if ((seen & FUTEX_TID_MASK) != 0 && (seen & FUTEX_OWNER_DIED) == 0) return EBUSY;
    by_keeper(word_of(m), FUTEX_TRYLOCK_PI);
    seen = there.load(std::memory_order_acquire);
    if ((seen & FUTEX_TID_MASK) != me) return EBUSY;
    if ((seen & FUTEX_OWNER_DIED) == 0) return 0;
    there.fetch_and(~std::uint32_t{FUTEX_OWNER_DIED});
    return EOWNERDEAD;
}

/// True: somebody may wait for it in the kernel, who is to be woken.
bool let_go_of_word(pthread_mutex_t* m, std::uint32_t me) noexcept {
    const std::atomic_ref there(*word_of(m));
    if (!inherits_priority(m)) return (there.exchange(0) & FUTEX_WAITERS) != 0;
    std::uint32_t seen = me;
    if (!there.compare_exchange_strong(seen, 0)) by_keeper(word_of(m), FUTEX_UNLOCK_PI);
    return false;
}

int lock_it(pthread_mutex_t* m, std::uint32_t fiber, bool& wake) noexcept {
    const std::uint32_t me = tid();
    const bool robust = is_robust(m);
    if (robust) begin(entry_of(m));
    int result = take_word(m, me);
    if (result == 0 && m->__data.__owner == not_recoverable) {
        m->__data.__count = 0;
        wake = let_go_of_word(m, me);
        result = ENOTRECOVERABLE;
    }
    if (result == 0 || result == EOWNERDEAD) {
        m->__data.__count = 1;
        m->__data.__owner = result == 0 ? static_cast<int>(me) : inconsistent;
        if (result == 0) ++m->__data.__nusers; // else it counts as the late owner
        __atomic_store_n(fiber_of(m), fiber, __ATOMIC_RELEASE);
        if (robust) enlist(entry_of(m));
    }
    if (robust) end();
    return result;
}

/// The word of a mutex whose fiber is no more.
void abandon(pthread_mutex_t* m) noexcept {
    begin(entry_of(m));
    delist(entry_of(m));
    const std::atomic_ref there(*word_of(m));
    std::uint32_t seen = there.load(std::memory_order_relaxed);
    if (inherits_priority(m) && (seen & FUTEX_WAITERS) != 0) {
        // The kernel hands it over; only where a kernel thread has died does it say so by itself.
        by_keeper(word_of(m), FUTEX_UNLOCK_PI);
        there.fetch_or(FUTEX_OWNER_DIED);
        end();
        return;
    }
    while (!there.compare_exchange_weak(seen, (seen & FUTEX_WAITERS) | FUTEX_OWNER_DIED)) {}
    end();
    if (!inherits_priority(m) && (seen & FUTEX_WAITERS) != 0) futex::wake_in_kernel(word_of(m), 1, true);
}

pthread_mutex_t* first_of(std::uint32_t fiber) noexcept {
    for (std::uintptr_t entry = next_of(end_of_list()); (entry & ~inherits) != end_of_list(); entry = next_of(entry))
        if (*fiber_of(mutex_at(entry)) == fiber) return mutex_at(entry);
    return nullptr;
}

} // namespace

std::uint32_t tid() noexcept { return number.load(std::memory_order_acquire); }

std::uint32_t* fiber_of(pthread_mutex_t* m) noexcept {
    static_assert(offsetof(pthread_mutex_t, __data.__spins) % 4 == 0);
    return reinterpret_cast<std::uint32_t*>(&m->__data.__spins); // these kinds neither spin nor elide
}

int try_lock(pthread_mutex_t* m, std::uint32_t fiber) noexcept {
    bool wake = false;
    int result = EAGAIN;
    {
        const std::lock_guard hold(lock);
        if (tid() != 0 || make()) result = lock_it(m, fiber, wake);
    }
    if (wake) futex::wake_in_kernel(word_of(m), 1, true);
    return result;
}

void unlock(pthread_mutex_t* m) noexcept {
    bool wake = false;
    {
        const std::lock_guard hold(lock);
        const bool robust = is_robust(m);
        const int owner = robust && m->__data.__owner == inconsistent ? not_recoverable : 0;
        if (robust) {
            begin(entry_of(m));
            delist(entry_of(m));
        }
        m->__data.__owner = owner;
        --m->__data.__nusers;
        __atomic_store_n(fiber_of(m), 0, __ATOMIC_RELAXED); // else its next fiber would be taken for this one until it has said who it is
        wake = let_go_of_word(m, tid());
        if (robust) end();
    }
    if (wake) futex::wake_in_kernel(word_of(m), 1, true);
}

void leave_behind(std::uint32_t fiber) noexcept {
    if (tid() == 0) return;
    for (;;) {
        pthread_mutex_t* m = nullptr;
        {
            const std::lock_guard hold(lock);
            m = first_of(fiber);
            if (m == nullptr) return;
            abandon(m);
        }
        wake_sleepers(m, 1);
    }
}

void after_fork() noexcept {
    lock.reset();
    clear_list();
    number.store(0, std::memory_order_relaxed);
    asked = answered = 0;
}

} // namespace weft::shim::keeper
