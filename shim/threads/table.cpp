// SPDX-License-Identifier: Apache-2.0
#include "threads/table.hpp"

#include "core/cancel.hpp"
#include "core/gate.hpp"
#include "core/interruption.hpp"
#include "core/real.hpp"
#include "core/signals.hpp"

#include <algorithm>
#include <cerrno>
#include <climits>

namespace weft::shim {

constinit bucket buckets[1U << bucket_bits];

namespace {

/// Wakes that a signal handler asked for while its thread held a bucket.
struct deferred_wakes {
    static constexpr int most = 16;
    int held = 0;
    int count = 0;
    bool lost = false; // more than fit: wake everybody, who will look for themselves
    struct {
        const void* key;
        int count;
        std::uint32_t bitset;
    } at[most] = {};
};
constinit thread_local deferred_wakes deferred __attribute__((tls_model("initial-exec")));

void defer(const void* key, int count, std::uint32_t bitset) noexcept {
    deferred_wakes& d = deferred;
    if (d.count == deferred_wakes::most) {
        d.lost = true;
        return;
    }
    d.at[d.count] = {key, count, bitset};
    std::atomic_signal_fence(std::memory_order_seq_cst);
    ++d.count;
}

sleeper& of(rt::wait_node& n) noexcept { return *static_cast<sleeper*>(n.data); }

void wake_everybody() noexcept {
    for (bucket& b : buckets) {
        const holding hold(b);
        while (rt::wait_node* n = b.list.front()) rouse(b, of(*n));
    }
}

/// The bucket that the sleeper is in, held; or null.
class holding_place {
public:
    explicit holding_place(sleeper& s) noexcept {
        while (bucket* b = s.where.load(std::memory_order_acquire)) {
            new (room_) holding(*b);
            if (s.where.load(std::memory_order_relaxed) == b) {
                at_ = b;
                return;
            }
            reinterpret_cast<holding*>(room_)->~holding(); // it was moved meanwhile
        }
    }
    ~holding_place() {
        if (at_ != nullptr) reinterpret_cast<holding*>(room_)->~holding();
    }
    holding_place(const holding_place&) = delete;
    holding_place& operator=(const holding_place&) = delete;
    [[nodiscard]] bucket* at() const noexcept { return at_; }

private:
    bucket* at_ = nullptr;
    alignas(holding) char room_[sizeof(holding)];
};

/// How often a killed fiber, which cannot be failed here, looks again.
constexpr std::chrono::milliseconds look_again{10};

/// For whoever looks up: `interrupted`, unless somebody was faster.
ended broken_off(sleeper& s) noexcept {
    if (!dequeue(s)) return ended::woken;
    cancel::breaks_off(); // a thread's end is not for the caller to see
    return ended::interrupted;
}

ended sleep_fiber(sleeper& s, const char* what, const limit& until, patience p) noexcept {
    signals::wait signals;
    const deadline end = until.to_deadline();
    const bool fails = p.on_kill == patience::kill::fails, looks_up = p.on_kill == patience::kill::looks_up;
    bool hopeless = false;
    for (;;) {
        const int pending = rt::interruption_errno(false); // whoever fails says so, unless it has been woken
        if (pending != 0 && fails) return dequeue(s) ? ended::interrupted : ended::woken;
        const bool looks_again = pending != 0 && (looks_up || signals.takes_signals());
        const deadline soon = looks_again ? std::min(end, deadline(look_again)) : end;
        rt::waiter w(what, s.object, pending != 0 ? rt::interruption::deferred : rt::interruption::allowed);
        if (hopeless || s.external) w.mark_external();
        bool there = false;
        {
            const holding_place place(s);
            there = place.at() != nullptr;
            if (there) s.fiber = &w;
        }
        if (!there) {
            w.abandon();
            return ended::woken;
        }
        const rt::wake_reason reason = w.suspend(soon);
        {
            const holding_place place(s);
            if (place.at() == nullptr) return ended::woken;
            s.fiber = nullptr;
        }
        switch (reason) {
        case rt::wake_reason::woken: break;
        case rt::wake_reason::deadlock: hopeless = true; break; // as bare, it waits on
        case rt::wake_reason::deadline:
            if (end.expired()) return dequeue(s) ? ended::timeout : ended::woken;
            if (looks_up) return broken_off(s);
            signals.interrupted(true);
            break;
        case rt::wake_reason::interrupted:
            if (signals.interrupted(p.on_signal != patience::signal::ends) && p.on_signal != patience::signal::endures)
                return dequeue(s) ? ended::signal : ended::woken;
            if (looks_up && rt::interruption_errno(false) != 0) return broken_off(s);
            break;
        }
    }
}

/// A kernel thread waits on a semaphore of its own, by libc's own call, so it can be cancelled there.
ended sleep_thread(sleeper& s, const limit& until) {
    const int saved_errno = errno;
    ended how = ended::woken;
    while (s.where.load(std::memory_order_acquire) != nullptr) {
        const int result = until.at == nullptr ? real().sem_wait(s.thread) : real().sem_clockwait(s.thread, until.clock, until.at);
        const int error = errno;
        if (result == 0) continue;
        if (error == EINTR) continue; // what fails so is libc's own where there is no fiber
        how = ended::timeout;
        break;
    }
    errno = saved_errno;
    return dequeue(s) ? how : ended::woken;
}

} // namespace

holding::holding(bucket& b) noexcept : bucket_(b) {
    ++deferred.held;
    std::atomic_signal_fence(std::memory_order_seq_cst);
    b.lock.lock();
}

holding::~holding() {
    bucket_.lock.unlock();
    std::atomic_signal_fence(std::memory_order_seq_cst);
    deferred_wakes& d = deferred;
    if (--d.held != 0) return;
    std::atomic_signal_fence(std::memory_order_seq_cst);
    while (__builtin_expect(d.count != 0, 0)) {
        const auto wanted = d.at[--d.count];
        wake_sleepers(wanted.key, wanted.count, wanted.bitset);
    }
    if (__builtin_expect(d.lost, 0)) {
        d.lost = false;
        wake_everybody();
    }
}

bool holding::any() noexcept { return deferred.held != 0; }

sleeper::~sleeper() {
    if (where.load(std::memory_order_acquire) != nullptr) dequeue(*this);
    else if (thread != nullptr) const holding settled(bucket_of(key)); // whoever woke it is done with the semaphore
}

sleeper* first_sleeper(bucket& b, const void* key) noexcept {
    for (rt::wait_node* n = b.list.front(); n != nullptr; n = b.list.after(*n))
        if (of(*n).key == key) return &of(*n);
    return nullptr;
}

sleeper* next_sleeper(bucket& b, sleeper& s) noexcept {
    for (rt::wait_node* n = b.list.after(s.node); n != nullptr; n = b.list.after(*n))
        if (of(*n).key == s.key) return &of(*n);
    return nullptr;
}

void enqueue(bucket& b, sleeper& s) noexcept {
    s.woken = s.handed = false;
    b.sleepers.fetch_add(1, std::memory_order_seq_cst);
    b.list.push(s.node);
    s.where.store(&b, std::memory_order_release);
}

void enqueue_by_age(bucket& b, sleeper& s) noexcept {
    enqueue(b, s);
    constexpr int most_steps = 32;
    rt::wait_node* place = nullptr; // the earliest that began later
    rt::wait_node* at = s.node.prev;
    for (int i = 0; i < most_steps && at->data != nullptr; ++i, at = at->prev) { // the list itself has none
        if (of(*at).key != s.key) continue;
        if (of(*at).since <= s.since) break;
        place = at;
    }
    if (place == nullptr) return;
    rt::wait_list::remove(s.node);
    s.node.prev = place->prev;
    s.node.next = place;
    place->prev->next = &s.node;
    place->prev = &s.node;
}

bool dequeue(sleeper& s) noexcept {
    const holding_place place(s);
    if (place.at() == nullptr) return !s.woken;
    withdraw(*place.at(), s);
    return true;
}

void withdraw(bucket& b, sleeper& s) noexcept {
    rt::wait_list::remove(s.node);
    b.sleepers.fetch_sub(1, std::memory_order_relaxed);
    s.where.store(nullptr, std::memory_order_release);
}

void rouse(bucket& b, sleeper& s) noexcept {
    s.woken = true;
    rt::wait_list::remove(s.node);
    b.sleepers.fetch_sub(1, std::memory_order_relaxed);
    rt::waiter* const fiber = s.fiber;
    sem_t* const thread = s.thread;
    // A fiber that is about to wait, or runs a handler in between, finds out by itself.
    if (fiber != nullptr) {
        if (rt::this_thread_state.inside > 0) fiber->wake_later();
        else fiber->wake();
    }
    s.where.store(nullptr, std::memory_order_release);
    if (thread != nullptr) real().sem_post(thread);
}

ended sleep(sleeper& s, const char* what, const limit& until, patience p) {
    return s.thread == nullptr ? sleep_fiber(s, what, until, p) : sleep_thread(s, until);
}

int wake_sleepers(const void* key, int count, std::uint32_t bitset) noexcept {
    bucket& b = bucket_of(key);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (b.sleepers.load(std::memory_order_seq_cst) == 0) return 0;
    if (holding::any()) {
        defer(key, count, bitset);
        return 0;
    }
    const holding hold(b);
    int woken = 0;
    for (sleeper* s = first_sleeper(b, key); s != nullptr && woken < count;) {
        sleeper* const next = next_sleeper(b, *s);
        if ((s->bitset & bitset) != 0) {
            rouse(b, *s);
            ++woken;
        }
        s = next;
    }
    return woken;
}

bool may_suspend() noexcept { return gate::open(family::locks); }

int busy() noexcept {
    if (may_suspend()) rt::went_through();
    return EBUSY;
}

void table_after_fork() noexcept {
    deferred = {};
    for (bucket& b : buckets) {
        b.lock.reset();
        b.list.forget();
        if (b.sleepers.load(std::memory_order_relaxed) != 0) b.sleepers.store(0, std::memory_order_relaxed);
        if (b.in_kernel.load(std::memory_order_relaxed) != 0) b.in_kernel.store(0, std::memory_order_relaxed);
    }
}

} // namespace weft::shim
