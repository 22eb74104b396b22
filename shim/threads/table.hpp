// SPDX-License-Identifier: Apache-2.0
#pragma once

// Where fibers wait for locks: a fixed hash table of buckets, keyed by the address of the object. Any thread wakes whoever waits there.
// Kernel threads without a fiber that have to wait for a word wait in the kernel, as ever, so a wake may have to look at both.
//
// Whoever takes a waiter out of its bucket makes it the receiver of the wake: it will say `woken`, whatever else happens to it meanwhile.

#include "threads/limit.hpp"

#include "core/thread_state.hpp"
#include <weft/detail/spinlock.hpp>
#include <weft/detail/waiter.hpp>

#include <atomic>
#include <cstdint>

#include <semaphore.h>

namespace weft::shim {

/// How a wait in the table ended.
enum class ended : std::uint8_t {
    woken,
    timeout,
    signal,      // a handler has run that ends the call
    interrupted, // the fiber is killed or timed out
};

/// What a wait lets itself be disturbed by. Whatever it is, the handlers of signals run meanwhile.
struct patience {
    enum class kill : std::uint8_t {
        endures,
        looks_up, // a kill or an expired scope ends it for once, as if it had been woken
        fails,
    } on_kill = kill::endures;
    enum class signal : std::uint8_t {
        endures,
        restarts, // ends it, unless the handlers have SA_RESTART
        ends,
    } on_signal = signal::endures;
};
inline constexpr patience endless{};

struct bucket;

/// One wait in the table; it lies on the waiting stack.
struct sleeper {
    explicit sleeper(const void* what_for, std::uint32_t bits = ~std::uint32_t{0}) noexcept
        : object(what_for), bitset(bits), key(what_for) {
        node.data = this;
    }
    sleeper(const sleeper&) = delete;
    sleeper& operator=(const sleeper&) = delete;
    ~sleeper();

    rt::wait_node node;
    const void* const object;
    const std::uint32_t bitset;
    std::atomic<bucket*> where{nullptr}; // null: in none
    // Guarded by the lock of its bucket:
    const void* key;
    bool woken = false;
    bool handed = false;         // and what it waits for is its own already
    bool starving = false;       // it was woken before, and somebody else was faster
    bool writes = false;         // waits to write (rwlock)
    bool external = false;       // who wakes it is out of weft's sight
    std::uint32_t owner = 0;     // who it is, for a hand-off
    std::uint32_t thread_id = 0; // and on which kernel thread, where that matters
    int result = 0;              // what the hand-off says to its caller
    std::uint64_t since = 0;     // when it began to wait, where that counts
    rt::waiter* fiber = nullptr;
    sem_t* thread = nullptr;
};

struct alignas(64) bucket {
    rt::spinlock lock;
    std::atomic<bool> kernel_next{false};    // whose turn it is where fibers and threads wait for the same word
    std::atomic<std::uint32_t> sleepers{0};  // in its list, or about to be: a wake that finds none costs no lock
    std::atomic<std::uint32_t> in_kernel{0}; // threads that wait in the kernel, by our own calls
    rt::wait_list list;
};

inline constexpr unsigned bucket_bits = 10;
extern constinit bucket buckets[1U << bucket_bits];

/// The bucket of an address.
inline bucket& bucket_of(const void* key) noexcept {
    const auto address = reinterpret_cast<std::uintptr_t>(key) >> 2;
    return buckets[address * 0x9e3779b97f4a7c15U >> (64 - bucket_bits)];
}

/// Holds one bucket. A signal handler may post a semaphore at any moment, also in here: what it wakes is woken when we are done.
class holding {
public:
    explicit holding(bucket& b) noexcept;
    holding(const holding&) = delete;
    holding& operator=(const holding&) = delete;
    ~holding();
    /// Whether the calling thread holds a bucket already: it is in such a handler.
    static bool any() noexcept;

private:
    bucket& bucket_;
};

/// The first that waits for `key`, or null. The bucket is held.
sleeper* first_sleeper(bucket& b, const void* key) noexcept;
/// The next one behind it for the same key.
sleeper* next_sleeper(bucket& b, sleeper& s) noexcept;
/// Puts it at the end of its bucket, which is held.
void enqueue(bucket& b, sleeper& s) noexcept;
/// Puts it before those that wait for the same key since later, as far as that is soon found.
void enqueue_by_age(bucket& b, sleeper& s) noexcept;
/// Takes it out. True: it had not been woken.
bool dequeue(sleeper& s) noexcept;
/// Takes it out of its bucket, which is held.
void withdraw(bucket& b, sleeper& s) noexcept;
/// The same, and wakes it.
void rouse(bucket& b, sleeper& s) noexcept;

/// Waits until the sleeper, which is in the table, is woken; afterwards it is out of it. On a fiber that the gate serves, suspended; else the
/// kernel thread blocks, and may be cancelled (pthread_cancel) where `what` is a cancellation point of a thread.
ended sleep(sleeper& s, const char* what, const limit& until, patience p);

/// Wakes up to `count` that wait for the key. How many.
int wake_sleepers(const void* key, int count, std::uint32_t bitset = ~std::uint32_t{0}) noexcept;

/// Whether the calling thread of execution is a fiber that is to be suspended; else the kernel thread blocks.
bool may_suspend() noexcept;
/// EBUSY, for who tries: if it does nothing but try, the others run when its slice is over, since one of them has the lock.
int busy() noexcept;

/// In the child of fork: nobody else waits.
void table_after_fork() noexcept;

} // namespace weft::shim
