// SPDX-License-Identifier: Apache-2.0
#include "threads/robust.hpp"

#include "threads/futex.hpp"
#include "threads/identity.hpp"
#include "threads/keeper.hpp"
#include "threads/table.hpp"

#include "core/sys.hpp"

#include <atomic>
#include <cstddef>

#include <linux/futex.h>
#include <pthread.h>

namespace weft::shim::robust {

namespace {

constinit std::ptrdiff_t head_offset = 0; // from the thread pointer; 0: unknown
static_assert(sizeof(robust_list_head) == head_size);
constexpr int most = 2048;                // as many as the kernel follows: a list may be a ring
constexpr std::uintptr_t inherits = 1;    // the bit of an entry with priority inheritance

/// One mutex whose owner is no more.
void leave(std::uint32_t* word, bool inherit) noexcept {
    const std::atomic_ref there(*word);
    std::uint32_t seen = there.load(std::memory_order_relaxed);
    while (!there.compare_exchange_weak(seen, (seen & FUTEX_WAITERS) | FUTEX_OWNER_DIED, std::memory_order_seq_cst)) {}
    const auto* const mutex = reinterpret_cast<pthread_mutex_t*>(word); // the word is its first member
    wake_sleepers(mutex, 1);
    if (!inherit && (seen & FUTEX_WAITERS) != 0) futex::wake(word, 1, true); // all wait for robust ones as for shared ones
}

} // namespace

void initialise() noexcept {
    robust_list_head* head = nullptr;
    std::size_t size = 0;
    if (rt::sys::call(SYS_get_robust_list, 0, rt::sys::arg(&head), rt::sys::arg(&size)) != 0 || size != sizeof *head || head == nullptr) return;
    head_offset = reinterpret_cast<char*>(head) - static_cast<char*>(__builtin_thread_pointer());
}

void* head_of(char* thread_pointer) noexcept { return head_offset == 0 ? nullptr : thread_pointer + head_offset; }

void leave_behind(char* thread_pointer) noexcept {
    keeper::leave_behind(this_owner(true));
    if (head_offset == 0) return;
    auto* const head = reinterpret_cast<robust_list_head*>(thread_pointer + head_offset);
    auto entry = reinterpret_cast<std::uintptr_t>(head->list.next);
    const auto end = reinterpret_cast<std::uintptr_t>(&head->list);
    for (int i = 0; i < most && entry != 0 && (entry & ~inherits) != end; ++i) {
        auto* const here = reinterpret_cast<robust_list*>(entry & ~inherits);
        const auto next = reinterpret_cast<std::uintptr_t>(here->next);
        leave(reinterpret_cast<std::uint32_t*>(reinterpret_cast<char*>(here) + head->futex_offset), (entry & inherits) != 0);
        entry = next;
    }
    head->list.next = &head->list;
    head->list_op_pending = nullptr;
    // What libc keeps before the head for its own unlinking.
    *reinterpret_cast<void**>(reinterpret_cast<char*>(head) - sizeof(void*)) = head;
}

} // namespace weft::shim::robust
