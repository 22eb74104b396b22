// SPDX-License-Identifier: Apache-2.0
#include "core/stack.hpp"

#include "core/leak_roots.hpp"
#include "core/log.hpp"
#include "core/sanitizer.hpp"
#include "core/thread_state.hpp"

#include <weft/detail/spinlock.hpp>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cerrno>
#include <mutex>
#include <system_error>

#include <sys/mman.h>

#if WEFT_VALGRIND
#include <valgrind/memcheck.h>
#endif

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102 // Linux 6.13
#endif

namespace weft::rt {

namespace {

constexpr std::size_t warm_bytes = std::size_t{256} << 20; // high-water mark of free stacks that keep their memory, a class
constexpr std::size_t warm_least = 64;                    // and at least so many stacks
constexpr std::size_t first_reservation = std::size_t{16} << 20;
constexpr std::size_t largest_reservation = std::size_t{1} << 30;
constexpr std::uint32_t colors = 8;
constexpr unsigned size_classes = 41;

/// One mmap of many stacks, each with its guard page below it.
struct reservation {
    reservation* next;
    char* base;
    std::size_t count; // stacks
    std::size_t used;  // stacks handed out at least once
    std::size_t stride;
    stack* records;
};

struct size_class_pool {
    spinlock lock;
    std::atomic<reservation*> reservations{nullptr}; // newest first; never shrinks, so a signal handler may walk it
    stack* warm = nullptr;
    stack* cold = nullptr;
    std::size_t warm_count = 0;
    std::size_t cold_count = 0;
    std::size_t in_use = 0;
    std::size_t next_size = first_reservation;
};

constinit size_class_pool pools[size_classes];

enum class guard_kind : std::uint8_t { marker, mapping, none };
constinit std::atomic<guard_kind> guards{guard_kind::marker};

/// The kernel's cheapest guard: a marker makes no mapping, so a million of them work. Falls back for good, and says so once.
void install_guard(char* page) noexcept {
    guard_kind kind = guards.load(std::memory_order_relaxed);
    if (kind == guard_kind::marker) {
        if (::madvise(page, page_size, MADV_GUARD_INSTALL) == 0) return;
        guards.store(kind = guard_kind::mapping, std::memory_order_relaxed);
    }
    if (kind == guard_kind::mapping) {
        if (::mprotect(page, page_size, PROT_NONE) == 0) return;
        if (guards.exchange(guard_kind::none, std::memory_order_relaxed) != guard_kind::none) {
            log_line line;
            line << "no more guard pages (vm.max_map_count is reached): further fiber stacks are unguarded";
            line.write();
        }
    }
}

template <class T>
T* map_pages(std::size_t bytes, int protection) noexcept {
    void* p = ::mmap(nullptr, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    return p == MAP_FAILED ? nullptr : static_cast<T*>(p);
}

/// Adds a reservation of `count` stacks to a pool whose lock is held. False: no address space.
bool reserve(size_class_pool& pool, std::size_t stride, std::size_t count) noexcept {
    const std::size_t bytes = count * stride;
    const std::size_t record_bytes = sizeof(reservation) + count * sizeof(stack);
    auto* r = map_pages<reservation>(record_bytes, PROT_READ | PROT_WRITE);
    if (r == nullptr) return false;
    // Under mlockall(MCL_FUTURE) a readable mapping would be filled at once: unlock it while it has no access.
    char* base = map_pages<char>(bytes, PROT_NONE);
    if (base == nullptr || ::munlock(base, bytes) != 0 || ::mprotect(base, bytes, PROT_READ | PROT_WRITE) != 0) {
        if (base != nullptr) ::munmap(base, bytes);
        ::munmap(r, record_bytes);
        return false;
    }
    ::madvise(base, bytes, MADV_NOHUGEPAGE);
    *r = {pool.reservations.load(std::memory_order_relaxed), base, count, 0, stride,
          reinterpret_cast<stack*>(r + 1)};
    pool.reservations.store(r, std::memory_order_release);
    return true;
}

/// The same, of as many as seem reasonable or, where addresses are scarce (RLIMIT_AS), as few as there is room for.
bool reserve(size_class_pool& pool, std::size_t stack_size) noexcept {
    const std::size_t stride = stack_size + page_size;
    std::size_t count = std::max<std::size_t>(pool.next_size / stride, 1);
    while (!reserve(pool, stride, count)) {
        if (count == 1) return false;
        count = std::max<std::size_t>(count / 4, 1);
    }
    pool.next_size = std::min(count * stride * 4, largest_reservation);
    return true;
}

stack* fresh(size_class_pool& pool, unsigned size_class) noexcept {
    reservation* r = pool.reservations.load(std::memory_order_relaxed);
    if (r == nullptr || r->used == r->count) {
        if (!reserve(pool, std::size_t{1} << size_class)) return nullptr;
        r = pool.reservations.load(std::memory_order_relaxed);
    }
    char* slot = r->base + r->used * r->stride;
    stack& s = r->records[r->used];
    s.base = slot + page_size;
    s.size_class = size_class;
    s.color = static_cast<std::uint32_t>(r->used % colors);
    ++r->used;
    return &s;
}

#if WEFT_VALGRIND
constinit std::atomic<bool> memcheck{false};
#endif

void give_back(stack& s) noexcept;

std::size_t warm_limit(const stack& s) noexcept { return std::max(warm_least, warm_bytes / s.size()); }

} // namespace

stack& acquire_stack(std::size_t size) {
    size = std::max(size, smallest_stack);
    if (size > largest_stack) throw std::system_error(EINVAL, std::generic_category(), "fiber stack size");
    const auto size_class = static_cast<unsigned>(std::bit_width(size - 1));
    size_class_pool& pool = pools[size_class];
    stack_cache* mine = this_thread_state.stacks;
    stack* s = mine == nullptr ? nullptr : mine->take(size_class);
    bool is_fresh = false;
    if (s == nullptr) {
        const std::lock_guard hold(pool.lock);
        if (pool.warm != nullptr) {
            s = pool.warm;
            pool.warm = s->next;
            --pool.warm_count;
        } else if (pool.cold != nullptr) {
            s = pool.cold;
            pool.cold = s->next;
            --pool.cold_count;
        } else {
            s = fresh(pool, size_class);
            is_fresh = true;
        }
        if (s != nullptr) ++pool.in_use;
    }
    if (s == nullptr) throw std::system_error(ENOMEM, std::generic_category(), "fiber stack");
    if (is_fresh) {
        install_guard(s->base - page_size);
        sanitizer::register_stack(s->base, s->size());
#if WEFT_VALGRIND
        if (RUNNING_ON_VALGRIND) memcheck.store(true, std::memory_order_relaxed);
    } else if (__builtin_expect(memcheck.load(std::memory_order_relaxed), 0)) {
        (void)VALGRIND_MAKE_MEM_UNDEFINED(s->base, s->size()); // what lay below the last fiber's end cannot be used, it thinks
#endif
    }
    sanitizer::unpoison(s->base, s->size()); // also what lies above a fiber's own part: the frames of a hub's loop never return
    leak_roots::add(s->base, s->size());
    return *s;
}

void release_stack(stack& s) noexcept {
    leak_roots::remove(s.base, s.size());
    stack_cache* mine = this_thread_state.stacks;
    if (mine == nullptr || !mine->put(s)) give_back(s);
}

void stack_cache::empty() noexcept {
    while (stack* s = first_) {
        first_ = s->next;
        --count_;
        give_back(*s);
    }
}

namespace {

void give_back(stack& s) noexcept {
    size_class_pool& pool = pools[s.size_class];
    {
        const std::lock_guard hold(pool.lock);
        --pool.in_use;
        if (pool.warm_count < warm_limit(s)) {
            s.next = pool.warm;
            pool.warm = &s;
            ++pool.warm_count;
            return;
        }
    }
    ::madvise(s.base, s.size(), MADV_DONTNEED); // guard markers survive it
    const std::lock_guard hold(pool.lock);
    s.next = pool.cold;
    pool.cold = &s;
    ++pool.cold_count;
}

} // namespace

void shrink_stack(stack& s, std::size_t keep) noexcept {
    keep = (keep + page_size - 1) / page_size * page_size;
    if (keep < s.size()) ::madvise(s.base, s.size() - keep, MADV_DONTNEED);
}

const stack* stack_of_guard(const void* address) noexcept {
    const auto* p = static_cast<const char*>(address);
    for (const size_class_pool& pool : pools) {
        for (const reservation* r = pool.reservations.load(std::memory_order_acquire); r != nullptr; r = r->next) {
            if (p < r->base || p >= r->base + r->count * r->stride) continue;
            const std::size_t offset = static_cast<std::size_t>(p - r->base);
            return offset % r->stride < page_size ? &r->records[offset / r->stride] : nullptr;
        }
    }
    return nullptr;
}

stack_totals totals_of_stacks() noexcept {
    stack_totals t;
    for (unsigned c = 0; c < size_classes; ++c) {
        const std::lock_guard hold(pools[c].lock);
        t.in_use += pools[c].in_use;
        t.in_use_bytes += pools[c].in_use << c;
        t.warm += pools[c].warm_count;
        t.cold += pools[c].cold_count;
    }
    if (const stack_cache* mine = this_thread_state.stacks) { // those of other threads count as in use
        t.in_use -= mine->count();
        t.in_use_bytes -= mine->count() << mine->size_class();
        t.warm += mine->count();
    }
    return t;
}

/// Where another thread was changing the lists of free stacks, those are left alone.
void stacks_after_fork() noexcept {
    for (size_class_pool& pool : pools) {
        if (!pool.lock.reset()) continue;
        pool.warm = pool.cold = nullptr;
        pool.warm_count = pool.cold_count = 0;
    }
}

} // namespace weft::rt
