// SPDX-License-Identifier: Apache-2.0
#include "core/readiness.hpp"

#include "core/hub.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <mutex>

#include <sys/epoll.h>
#include <sys/mman.h>

namespace weft::rt {

namespace {

constexpr std::uint32_t always = EPOLLERR | EPOLLHUP;

struct alignas(64) slot { // a cache line: with many descriptors it is a cold one each time
    spinlock lock; // guards the rest
    bool registered = false;
    std::uint16_t armed = 0;      // the events registered at home; 0: disarmed
    std::uint16_t latched = 0;    // events that came while nobody waited
    std::uint32_t generation = 0; // counts the lives of the number; stale events carry an older one
    std::atomic<fd_history> history{0};
    hub* home = nullptr;
    wait_list waiters;            // node.data: the events, as an integer
};
static_assert(sizeof(slot) == 64);

/// The events of a wait: the low ones only; the rest are flags of epoll's.
constexpr std::uint16_t events_only(std::uint32_t events) noexcept { return static_cast<std::uint16_t>(events); }

void count(slot& s, bool special) noexcept {
    s.history.store((s.history.load(std::memory_order_relaxed) + 2) | (special ? 1 : 0), std::memory_order_release);
}

// Two levels; chunks are made when a number in them is first waited for, and never go.
constexpr int chunk_slots = 1024;
constexpr int chunk_count = 1 << 14;
constinit std::atomic<slot*> chunks[chunk_count];
constinit std::atomic<int> chunks_end{0}; // there is none from here on

slot* find(int fd) noexcept {
    if (fd < 0 || fd >= chunk_slots * chunk_count) return nullptr;
    slot* chunk = chunks[fd / chunk_slots].load(std::memory_order_acquire);
    return chunk == nullptr ? nullptr : chunk + fd % chunk_slots;
}

slot* find_or_make(int fd) noexcept {
    if (slot* s = find(fd)) return s;
    if (fd < 0 || fd >= chunk_slots * chunk_count) return nullptr;
    void* p = ::mmap(nullptr, sizeof(slot) * chunk_slots, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return nullptr;
    auto* made = static_cast<slot*>(p); // zero is what every member starts with
    slot* expected = nullptr;
    if (!chunks[fd / chunk_slots].compare_exchange_strong(expected, made, std::memory_order_acq_rel)) {
        ::munmap(p, sizeof(slot) * chunk_slots);
        made = expected;
    }
    const int end = fd / chunk_slots + 1;
    for (int known = chunks_end.load(std::memory_order_relaxed); known < end && !chunks_end.compare_exchange_weak(known, end);) {}
    return made + fd % chunk_slots;
}

std::uint32_t events_of(const wait_node& n) noexcept {
    return static_cast<std::uint32_t>(reinterpret_cast<std::uintptr_t>(n.data));
}

/// What of `happened` ends a wait for `wanted`.
constexpr std::uint32_t relevant(std::uint32_t happened, std::uint32_t wanted) noexcept {
    if ((wanted & EPOLLIN) != 0) wanted |= EPOLLRDHUP;
    return happened & (wanted | always);
}

int control(slot& s, int operation, int fd, std::uint32_t events) noexcept {
    epoll_event e{};
    e.events = events | EPOLLET;
    e.data.u64 = static_cast<std::uint64_t>(s.generation) << 32 | static_cast<std::uint32_t>(fd);
    return ::epoll_ctl(s.home->descriptor_set(), operation, fd, &e);
}

/// Sees to it that the slot's home hears of the events. 0 or the errno.
int arm(slot& s, int fd, std::uint32_t events, hub& mine, bool fresh) noexcept {
    if (s.registered && s.home != &mine && s.waiters.empty()) {
        control(s, EPOLL_CTL_DEL, fd, 0);
        s.registered = false;
    }
    if ((events & EPOLLIN) != 0) events |= EPOLLRDHUP | EPOLLPRI; // the latter only for the history
    if (s.registered && !fresh && (s.armed & events) == events) return 0;
    if (!s.registered) {
        s.home = &mine;
        s.armed = 0;
    }
    const std::uint32_t wanted = s.armed | events;
    int operation = s.registered ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    int result = control(s, operation, fd, wanted);
    if (result != 0 && (errno == ENOENT || errno == EEXIST)) {
        operation = errno == ENOENT ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
        result = control(s, operation, fd, wanted);
    }
    s.registered = result == 0;
    s.armed = s.registered ? events_only(wanted) : std::uint16_t{0};
    return result == 0 ? 0 : errno;
}

/// Takes what was latched for `events`.
bool take_latched(slot& s, std::uint32_t events) noexcept {
    const std::uint32_t hit = relevant(s.latched, events);
    s.latched &= events_only(~hit);
    return hit != 0;
}

fd_interest& interest_of(wait_node& n) noexcept {
    return *reinterpret_cast<fd_interest*>(reinterpret_cast<char*>(&n) - offsetof(fd_interest, node));
}

hub* hub_of(wait_node& n) noexcept { return interest_of(n).waiting_on; }

/// A waiter of the home leaves. Where only other hubs' waiters are left one of those hubs becomes the home, lest they depend
/// on one that has no reason to look.
void move_home(slot& s, int fd) noexcept {
    std::uint32_t wanted = 0;
    for (wait_node* n = s.waiters.front(); n != nullptr; n = s.waiters.after(*n)) {
        if (hub_of(*n) == s.home) return;
        wanted |= events_of(*n);
    }
    control(s, EPOLL_CTL_DEL, fd, 0);
    s.registered = false;
    if (arm(s, fd, wanted, *hub_of(*s.waiters.front()), true) != 0) s.waiters.wake_all(); // they find out themselves
}

void forget(slot& s, int fd, bool unregister) noexcept {
    if (s.registered && unregister) control(s, EPOLL_CTL_DEL, fd, 0);
    s.registered = false;
    s.armed = s.latched = 0;
    if (++s.generation == readiness::no_generation) s.generation = 0;
    s.history.store((s.history.load(std::memory_order_relaxed) + 2) & ~fd_history{1}, std::memory_order_release);
    s.waiters.wake_all();
}

} // namespace

fd_history readiness::history(int fd) noexcept {
    const slot* s = find(fd);
    return s == nullptr ? 0 : s->history.load(std::memory_order_acquire);
}

fd_wake readiness::wait(int fd, std::uint32_t events, deadline d, bool fresh, fd_history since) noexcept {
    fd_interest one;
    one.fd = fd;
    one.events = events;
    return wait_any({&one, 1}, d, fresh, since);
}

fd_wake readiness::wait_any(std::span<fd_interest> interests, deadline d, bool fresh, fd_history since) noexcept {
    const inside_weft inside;
    const int saved_errno = errno;
    waiter w("a descriptor", interests.size() == 1 ? reinterpret_cast<void*>(static_cast<std::uintptr_t>(interests[0].fd))
                                                   : nullptr);
    w.mark_external();
    if (interests.size() > 1) w.mark_several();
    hub& mine = *hub::current();
    fd_wake at_once = fd_wake::deadline; // what was found while linking; deadline stands for nothing yet
    std::size_t linked = 0;
    for (fd_interest& i : interests) {
        slot* s = find_or_make(i.fd);
        if (s == nullptr) {
            at_once = i.fd < 0 ? fd_wake::closed : fd_wake::failed;
            break;
        }
        const std::lock_guard hold(s->lock);
        const bool latched = take_latched(*s, i.events); // known to be old if nothing came since
        if (since == any_history ? latched : s->history.load(std::memory_order_relaxed) != since) {
            at_once = fd_wake::ready;
            break;
        }
        if (const int error = arm(*s, i.fd, i.events, mine, fresh); error != 0) {
            at_once = error == EPERM ? fd_wake::ready : error == EBADF ? fd_wake::closed : fd_wake::failed;
            if (at_once == fd_wake::failed) errno = error;
            break;
        }
        i.generation = s->generation;
        i.waiting_on = &mine;
        i.node.owner = &w;
        i.node.data = reinterpret_cast<void*>(static_cast<std::uintptr_t>(i.events));
        s->waiters.push(i.node);
        this_thread_state.running->touched[0] = s;
        ++linked;
    }
    wake_reason reason = wake_reason::woken;
    if (at_once == fd_wake::deadline) {
        // Off this fiber the mark must not stay: other fibers of this kernel thread run meanwhile.
        --this_thread_state.inside;
        reason = w.suspend(d);
        ++this_thread_state.inside;
    }
    bool closed = false;
    bool cancelled = false;
    for (fd_interest& i : interests.first(linked)) {
        slot* s = find(i.fd);
        const std::lock_guard hold(s->lock);
        wait_list::remove(i.node);
        closed |= s->generation != i.generation;
        cancelled |= i.cancelled;
        if (s->registered && s->home == &mine && !s->waiters.empty()) move_home(*s, i.fd);
    }
    if (at_once != fd_wake::deadline) {
        --this_thread_state.inside;
        w.abandon();
        ++this_thread_state.inside;
        if (at_once != fd_wake::failed) errno = saved_errno;
        return at_once;
    }
    errno = saved_errno;
    if (closed) return fd_wake::closed;
    if (cancelled) return fd_wake::cancelled;
    switch (reason) {
    case wake_reason::woken: return fd_wake::ready;
    case wake_reason::deadline: return fd_wake::deadline;
    case wake_reason::interrupted: return fd_wake::interrupted;
    case wake_reason::deadlock: break;
    }
    return fd_wake::ready;
}

void readiness::deliver(const epoll_event& e) noexcept {
    const int fd = static_cast<int>(e.data.u64 & 0xffffffff);
    slot* s = find(fd);
    if (s == nullptr) return;
    const std::lock_guard hold(s->lock);
    if (static_cast<std::uint32_t>(e.data.u64 >> 32) != s->generation || !s->registered) return;
    count(*s, (e.events & (always | EPOLLRDHUP | EPOLLPRI)) != 0);
    bool anybody = false;
    std::uint32_t others = 0;
    for (wait_node* n = s->waiters.front(); n != nullptr;) {
        wait_node* next = s->waiters.after(*n);
        if (relevant(e.events, events_of(*n)) != 0) {
            wait_list::remove(*n);
            anybody |= n->owner->wake();
        } else {
            others |= events_of(*n);
        }
        n = next;
    }
    if (anybody) return;
    s->latched |= events_only(e.events);
    if (others == 0) {
        // Out of the set: a hang-up is reported whatever is asked for, and again after each change.
        control(*s, EPOLL_CTL_DEL, fd, 0);
        s->registered = false;
        s->armed = 0;
    } else if (control(*s, EPOLL_CTL_MOD, fd, others) == 0) {
        s->armed = events_only(others);
    }
}

void readiness::expect(const epoll_event* events, int count) noexcept {
    if (count == 1) return;
    slot* slots[group];
    const wait_node* nodes[group];
    for (int i = 0; i < count; ++i) {
        slots[i] = find(static_cast<int>(events[i].data.u64 & 0xffffffff));
        __builtin_prefetch(slots[i], 1);
    }
    const auto front = [&](int i) -> wait_node* { return slots[i] == nullptr ? nullptr : slots[i]->waiters.front(); };
    for (int i = 0; i < count; ++i) {
        if (slots[i] == nullptr) continue;
        const std::lock_guard hold(slots[i]->lock);
        nodes[i] = front(i);
    }
    for (int i = 0; i < count; ++i) __builtin_prefetch(slots[i] == nullptr ? nullptr : nodes[i], 1); // on stacks: a page walk each, side by side
    for (int i = 0; i < count; ++i) {
        if (slots[i] == nullptr) continue;
        const std::lock_guard hold(slots[i]->lock);
        const wait_node* const n = front(i);
        if (n != nullptr && n == nodes[i] && n->owner != nullptr) __builtin_prefetch(n->owner->who(), 1);
    }
}

void readiness::opened(int fd) noexcept {
    slot* s = find(fd);
    if (s == nullptr) return;
    const std::lock_guard hold(s->lock);
    forget(*s, fd, false);
}

void readiness::closing(int fd) noexcept {
    slot* s = find(fd);
    if (s == nullptr) return;
    const inside_weft inside;
    const int saved_errno = errno;
    const std::lock_guard hold(s->lock);
    forget(*s, fd, true);
    errno = saved_errno;
}

void readiness::cancel(int fd) noexcept {
    slot* s = find(fd);
    if (s == nullptr) return;
    const std::lock_guard hold(s->lock);
    for (wait_node* n = s->waiters.front(); n != nullptr; n = s->waiters.after(*n)) interest_of(*n).cancelled = true;
    s->waiters.wake_all();
}

void readiness::closing(int first, int last) noexcept {
    for (std::int64_t fd = std::max(first, 0); fd <= last && fd < chunk_slots * chunk_count; ++fd) {
        const auto number = static_cast<int>(fd);
        if (chunks[number / chunk_slots].load(std::memory_order_acquire) == nullptr) fd |= chunk_slots - 1;
        else closing(number);
    }
}

bool readiness::is_awaited(int fd) noexcept {
    slot* s = find(fd);
    if (s == nullptr) return false;
    const std::lock_guard hold(s->lock);
    return !s->waiters.empty();
}

namespace {

template <class F>
void for_each_slot(F fn) noexcept {
    for (int c = 0, end = chunks_end.load(std::memory_order_acquire); c < end; ++c) {
        slot* chunk = chunks[c].load(std::memory_order_acquire);
        if (chunk == nullptr) continue;
        for (int i = 0; i < chunk_slots; ++i) fn(chunk[i]);
    }
}

} // namespace

void readiness::let_go() noexcept {
    const inside_weft inside;
    for (int c = 0, end = chunks_end.load(std::memory_order_acquire); c < end; ++c) {
        slot* chunk = chunks[c].load(std::memory_order_acquire);
        for (int i = 0; chunk != nullptr && i < chunk_slots; ++i) {
            slot& s = chunk[i];
            const std::lock_guard hold(s.lock);
            if (!s.registered) continue;
            control(s, EPOLL_CTL_DEL, c * chunk_slots + i, 0);
            s.registered = false;
            s.armed = 0;
            s.waiters.wake_all();
        }
    }
}

void readiness::hub_gone(hub& h) noexcept {
    for_each_slot([&](slot& s) {
        const std::lock_guard hold(s.lock);
        if (s.home != &h) return;
        s.registered = false;
        s.home = nullptr;
        s.armed = 0;
        s.waiters.wake_all(); // they wait again, at home
    });
}

/// Slots that say nothing are left alone: their pages stay the parent's.
void readiness::after_fork() noexcept {
    for_each_slot([](slot& s) {
        if (!s.lock.reset() && !s.registered && s.armed == 0 && s.latched == 0 && s.waiters.empty()) return;
        const std::uint32_t generation = s.generation;
        const fd_history history = s.history.load(std::memory_order_relaxed) + 2;
        new (&s) slot();
        s.generation = generation;
        s.history.store(history, std::memory_order_relaxed);
    });
}

} // namespace weft::rt
