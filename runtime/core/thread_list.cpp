// SPDX-License-Identifier: Apache-2.0
#include "core/thread_list.hpp"

#include "core/carrier_thread.hpp"
#include "core/own_thread.hpp"
#include "core/registry.hpp"
#include "core/sys.hpp"
#include "core/thread_state.hpp"

#include <weft/detail/spinlock.hpp>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <mutex>

namespace weft::rt::thread_list {

namespace {

constinit spinlock changing; // of our own changes

char*& next_of(char* entry) noexcept { return *reinterpret_cast<char**>(entry); }
char*& previous_of(char* entry) noexcept { return *reinterpret_cast<char**>(entry + sizeof(void*)); }

/// Entries that are in none point at themselves, or at who knows of them no more.
bool is_in_list(char* entry) noexcept {
    char *const next = next_of(entry), *const previous = previous_of(entry);
    if (next == entry || next == nullptr || previous == nullptr) return false;
    return previous_of(next) == entry && next_of(previous) == entry;
}

// libc's low-level lock: 0, free; 1, held; 2, held, and somebody may wait.
constexpr std::uint32_t free_ = 0, held = 1, waited_for = 2;
constexpr timespec moment{0, 200'000};

constinit std::uint32_t* word = nullptr;
constinit bool looked = false; // by whoever makes room, one at a time

bool try_lock(std::uint32_t& w) noexcept {
    std::uint32_t expected = free_;
    return std::atomic_ref(w).compare_exchange_strong(expected, held, std::memory_order_acquire);
}

void unlock(std::uint32_t& w) noexcept {
    if (std::atomic_ref(w).exchange(free_, std::memory_order_release) == waited_for) futex_wake(w);
}

/// Behind the list: that of stacks kept for later, how much that is, an entry that is being moved, the lock.
struct behind_list {
    char* user[2];
    char* kept[2];
    std::size_t kept_bytes;
    std::uintptr_t in_flight;
    std::uint32_t lock;
};

/// A kernel thread whose end takes libc's lock, when it is let go.
void* ends_when_told(void* told) noexcept {
    const helper_thread counted;
    this_thread_state.inside = 1;
    name_own_thread("weft-look");
    auto& go = *static_cast<std::uint32_t*>(told);
    std::atomic_ref(go).store(1, std::memory_order_release);
    futex_wake(go);
    while (std::atomic_ref(go).load(std::memory_order_acquire) == 1) futex_wait(go, 1);
    return nullptr;
}

std::uint32_t* find_lock(const tls_layout& layout) noexcept {
    static constinit std::uint32_t go = 0; // outlives both threads
    if (layout.loader == nullptr || layout.threads_by_hand + sizeof(behind_list) > layout.loader_end) return nullptr;
    auto& at = *reinterpret_cast<behind_list*>(layout.threads_by_hand);
    char* const kept = reinterpret_cast<char*>(&at.kept);
    if (at.kept[0] == nullptr || at.kept[1] == nullptr || at.kept_bytes % 4096 != 0) return nullptr;
    if (std::atomic_ref(at.lock).load(std::memory_order_relaxed) > waited_for) return nullptr;
    std::atomic_ref(go).store(0, std::memory_order_relaxed);
    if (!make_own_thread(ends_when_told, &go)) return nullptr;
    while (std::atomic_ref(go).load(std::memory_order_acquire) == 0) futex_wait(go, 0);
    bool found = false;
    for (int tries = 0; tries < 1000 && !found; ++tries) {
        if (!try_lock(at.lock)) { // somebody else has it
            sys::call(SYS_nanosleep, sys::arg(&moment));
            continue;
        }
        found = at.in_flight == 0 && previous_of(at.kept[0]) == kept && next_of(at.kept[1]) == kept;
        std::atomic_ref(go).store(2, std::memory_order_release);
        futex_wake(go);
        for (int i = 0; found && std::atomic_ref(at.lock).load(std::memory_order_relaxed) != waited_for; ++i) {
            found = i < 5000;
            sys::call(SYS_nanosleep, sys::arg(&moment));
        }
        unlock(at.lock);
        return found ? &at.lock : nullptr;
    }
    std::atomic_ref(go).store(2, std::memory_order_release);
    futex_wake(go);
    return nullptr;
}

} // namespace

void put_in(const tls_layout& layout, char* entry) noexcept {
    const std::lock_guard hold(changing);
    char *const head = layout.threads_by_hand, *const next = next_of(head);
    next_of(entry) = next;
    previous_of(entry) = head;
    previous_of(next) = entry;
    std::atomic_ref(next_of(head)).store(entry, std::memory_order_release);
}

void take_out(char* entry) noexcept {
    const std::lock_guard hold(changing);
    if (!is_in_list(entry)) return;
    char *const next = next_of(entry), *const previous = previous_of(entry);
    previous_of(next) = previous;
    next_of(previous) = next;
}

bool lock_libcs(const tls_layout& layout) noexcept {
    if (!looked) word = find_lock(layout);
    looked = true;
    if (word == nullptr) return false;
    if (try_lock(*word)) return true;
    while (std::atomic_ref(*word).exchange(waited_for, std::memory_order_acquire) != free_) futex_wait(*word, waited_for);
    return true;
}

void unlock_libcs() noexcept { unlock(*word); }

void after_fork() noexcept { changing.reset(); }

} // namespace weft::rt::thread_list
