// SPDX-License-Identifier: Apache-2.0
#include "calls/stdio_lock.hpp"

#include "core/signals.hpp"

#include "core/hub.hpp"
#include "core/interruption.hpp"
#include "core/thread_state.hpp"
#include <weft/detail/hand_off.hpp>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <mutex>
#include <new>

#include <pthread.h>
#include <sys/mman.h>

namespace weft::shim {

namespace {

using rt::this_thread_state;

/// A held FILE. It exists while somebody holds it.
struct record {
    FILE* file = nullptr;
    const void* owner = nullptr;
    unsigned count = 0;
    rt::wait_list waiters; // each node's data is who waits
    record* next = nullptr;
};

struct bucket {
    rt::spinlock lock;
    std::atomic<record*> first{nullptr};
};

constexpr unsigned bucket_bits = 8;
constinit bucket buckets[1U << bucket_bits];
constinit rt::spinlock spare_lock;
constinit record* spare = nullptr;

bucket& bucket_of(const FILE* f) noexcept {
    return buckets[reinterpret_cast<std::uintptr_t>(f) * 0x9e3779b97f4a7c15U >> (64 - bucket_bits)];
}

/// Fibers by their address. A kernel thread and its main fiber are the same holder, as the thread may become the fiber meanwhile.
const void* self() noexcept {
    const rt::thread_state& here = this_thread_state;
    if (here.running == nullptr || here.running == &here.current_hub->main_fiber()) return &here;
    return here.running;
}

/// Records are never given back: there are as many as FILEs were held at once. They are no business of the program's malloc.
record* new_record() noexcept {
    const std::lock_guard hold(spare_lock);
    if (spare == nullptr) {
        constexpr std::size_t bytes = 16384;
        void* p = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        WEFT_CHECK(p != MAP_FAILED);
        auto* made = static_cast<record*>(p);
        for (std::size_t i = 0; i < bytes / sizeof(record); ++i) {
            new (made + i) record();
            made[i].next = spare;
            spare = made + i;
        }
    }
    record* r = spare;
    spare = r->next;
    return r;
}

// What follows runs under the bucket's lock.

record* find(const bucket& b, const FILE* f) noexcept {
    record* r = b.first.load(std::memory_order_relaxed);
    while (r != nullptr && r->file != f) r = r->next;
    return r;
}

record* add(bucket& b, FILE* f, const void* owner) noexcept {
    record* r = new_record();
    r->file = f;
    r->owner = owner;
    r->count = 1;
    r->next = b.first.load(std::memory_order_relaxed);
    b.first.store(r, std::memory_order_release);
    return r;
}

void drop(bucket& b, record* r) noexcept {
    record* first = b.first.load(std::memory_order_relaxed);
    if (first == r) {
        b.first.store(r->next, std::memory_order_release);
    } else {
        while (first->next != r) first = first->next;
        first->next = r->next;
    }
    const std::lock_guard hold(spare_lock);
    r->next = spare;
    spare = r;
}

/// Takes it if it is free or the caller's. `r` is what there is of it afterwards.
bool take_now(bucket& b, FILE* f, const void* me, record*& r) noexcept {
    r = find(b, f);
    if (r == nullptr) {
        r = add(b, f, me);
        return true;
    }
    if (r->owner != me) return false;
    ++r->count;
    return true;
}

void wait_for(bucket& b, FILE* f, const void* me) noexcept {
    signals::wait signals;
    bool deferred = false; // a kill or a time-out is pending: kept for the next wait
    for (;;) {
        rt::waiter w("a FILE that is in use", f, deferred ? rt::interruption::deferred : rt::interruption::allowed);
        w.mark_external(); // as libc has it: who locks himself out waits for ever
        w.node.data = const_cast<void*>(me);
        b.lock.lock();
        record* r = nullptr;
        if (take_now(b, f, me, r)) {
            b.lock.unlock();
            w.abandon();
            return;
        }
        r->waiters.push(w.node);
        b.lock.unlock();
        if (rt::suspend_in(b.lock, w, {}) == rt::wake_reason::woken) return;
        if (!signals.interrupted(true)) deferred = rt::interruption_errno(false) != 0;
    }
}

} // namespace

bool stdio_lock::is_free(const FILE* f) noexcept { return bucket_of(f).first.load(std::memory_order_acquire) == nullptr; }

void stdio_lock::take(FILE* f) noexcept {
    bucket& b = bucket_of(f);
    const void* const me = self();
    record* r = nullptr;
    {
        const std::lock_guard hold(b.lock);
        if (take_now(b, f, me, r)) return;
    }
    const int saved_errno = errno;
    wait_for(b, f, me);
    errno = saved_errno;
}

bool stdio_lock::try_take(FILE* f) noexcept {
    bucket& b = bucket_of(f);
    const std::lock_guard hold(b.lock);
    record* r = nullptr;
    return take_now(b, f, self(), r);
}

void stdio_lock::give(FILE* f) noexcept {
    bucket& b = bucket_of(f);
    const std::lock_guard hold(b.lock);
    record* r = find(b, f);
    if (r == nullptr || r->owner != self() || --r->count > 0) return;
    if (const rt::wait_node* next = r->waiters.wake_one(); next != nullptr) {
        r->owner = next->data;
        r->count = 1;
    } else {
        drop(b, r);
    }
}

void stdio_lock::initialise() noexcept {
    // In the child libc frees its locks of all FILEs too, the forking thread's own as well.
    ::pthread_atfork(nullptr, nullptr, [] {
        spare_lock.reset();
        for (bucket& b : buckets) {
            b.lock.reset();
            if (b.first.load(std::memory_order_relaxed) != nullptr) b.first.store(nullptr, std::memory_order_relaxed);
        }
    });
}

} // namespace weft::shim
