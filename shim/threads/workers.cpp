// SPDX-License-Identifier: Apache-2.0
#include "threads/workers.hpp"

#include "core/gate.hpp"

#include "core/carrier.hpp"
#include "core/hub.hpp"
#include "core/log.hpp"
#include "core/private_fd.hpp"
#include <weft/detail/spinlock.hpp>

#include <algorithm>
#include <atomic>
#include <mutex>

namespace weft::shim::workers {

namespace {

/// Filled from the first on, without gaps; none goes.
struct slot {
    std::atomic<rt::hub*> hub{nullptr};
    std::atomic<int> threads{0}; // green threads that live there; the first hub has main besides
};
constinit slot slots[most];
constinit unsigned wanted = 1;
constinit std::atomic<unsigned> filled{0};
constinit std::atomic<unsigned> turn{0};
constinit std::atomic<bool> no_more{false}; // there is no room for another
constinit rt::spinlock making;

/// The program may open so few descriptors that more hubs would take them from it. Said once.
bool has_room_for(unsigned hubs) noexcept {
    if (rt::private_fds_fit(static_cast<int>(hubs))) return true;
    if (no_more.exchange(true, std::memory_order_relaxed)) return false;
    rt::log_line line;
    line << "the limit of open files leaves room for " << hubs - 1 << (hubs == 2 ? " worker" : " workers") << ", not for " << wanted;
    line.write();
    return false;
}

/// The next hub. False: all there are to be are there, somebody else makes one, or there are no descriptors or no kernel thread for it.
bool make_next() noexcept {
    if (!making.try_lock()) return false;
    const std::lock_guard hold(making, std::adopt_lock);
    const unsigned n = filled.load(std::memory_order_relaxed);
    if (n == wanted || !has_room_for(n + 1)) return false;
    rt::hub* const made = rt::watchdog::make_worker();
    if (made == nullptr) return false;
    gate::hubs_meet(true);
    slots[n].hub.store(made, std::memory_order_relaxed);
    filled.store(n + 1, std::memory_order_release);
    return true;
}

} // namespace

void number(std::uint64_t hubs) noexcept { wanted = static_cast<unsigned>(std::clamp<std::uint64_t>(hubs, 1, most)); }

place choose(rt::hub& here) noexcept {
    if (__builtin_expect(wanted == 1, 1)) return {&here, 0};
    if (filled.load(std::memory_order_acquire) == 0) {
        const std::lock_guard hold(making);
        if (filled.load(std::memory_order_relaxed) == 0) {
            slots[0].hub.store(&here, std::memory_order_relaxed);
            filled.store(1, std::memory_order_release);
        }
    }
    const unsigned n = filled.load(std::memory_order_acquire), from = turn.fetch_add(1, std::memory_order_relaxed);
    // Fewest first, main being one; among equals in turn.
    unsigned best = 0;
    int fewest = 0;
    for (unsigned i = 0; i < n; ++i) {
        const unsigned at = (from + i) % n;
        const int threads = slots[at].threads.load(std::memory_order_relaxed) + (at == 0 ? 1 : 0);
        if (i != 0 && threads >= fewest) continue;
        best = at;
        fewest = threads;
    }
    if (fewest > 0 && n < wanted && !no_more.load(std::memory_order_relaxed) && make_next()) best = filled.load(std::memory_order_acquire) - 1;
    slots[best].threads.fetch_add(1, std::memory_order_relaxed);
    return {slots[best].hub.load(std::memory_order_relaxed), static_cast<std::uint8_t>(best)};
}

void left(std::uint8_t at) noexcept {
    if (wanted != 1) slots[at].threads.fetch_sub(1, std::memory_order_relaxed);
}

unsigned place_of(const rt::hub& h) noexcept {
    const unsigned n = filled.load(std::memory_order_acquire);
    for (unsigned i = 0; i < n; ++i)
        if (slots[i].hub.load(std::memory_order_relaxed) == &h) return i;
    return 0;
}

void after_fork(rt::hub* survivor, int threads) noexcept {
    making.reset();
    no_more.store(false, std::memory_order_relaxed);
    gate::hubs_meet(false);
    for (slot& s : slots) {
        s.hub.store(nullptr, std::memory_order_relaxed);
        s.threads.store(0, std::memory_order_relaxed);
    }
    slots[0].hub.store(survivor, std::memory_order_relaxed);
    slots[0].threads.store(threads, std::memory_order_relaxed);
    filled.store(survivor == nullptr ? 0 : 1, std::memory_order_relaxed);
}

} // namespace weft::shim::workers
