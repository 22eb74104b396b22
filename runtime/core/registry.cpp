// SPDX-License-Identifier: Apache-2.0
#include "core/registry.hpp"

#include "core/hub.hpp"
#include "core/own_thread.hpp"
#include "core/sys.hpp"

#include <algorithm>
#include <mutex>

#include <sys/prctl.h>

namespace weft::rt {

namespace {

constinit spinlock hubs_lock;
constinit std::atomic<hub*> main_thread_hub{nullptr}; // set by the main thread; others compare it with their own
constinit int hub_count = 0;
constinit hub_counters ended_hubs;

void add_up(hub_counters& sum, const hub_counters& more) noexcept {
    sum.switches += more.switches;
    sum.polls += more.polls;
    sum.spawned += more.spawned;
    sum.finished += more.finished;
    sum.timers += more.timers;
}
constinit std::atomic<int> helpers{0};
constinit std::atomic<int> jobs{0};

} // namespace

constinit std::atomic<int> own_threads_unnamed{0};
constinit decltype(&::pthread_create) make_kernel_thread = &::pthread_create;

void name_own_thread(const char* name) noexcept {
    sys::call(SYS_prctl, PR_SET_NAME, sys::arg(name));
    own_threads_unnamed.fetch_sub(1, std::memory_order_release);
}

constinit hub* hub_registry::newest_ = nullptr;

void hub_registry::add(hub& h) noexcept {
    const std::lock_guard hold(hubs_lock);
    h.registry_next_ = newest_;
    newest_ = &h;
    ++hub_count;
    if (on_main_thread()) main_thread_hub.store(&h, std::memory_order_relaxed);
}

void hub_registry::remove(hub& h) noexcept {
    const std::lock_guard hold(hubs_lock);
    for (hub** at = &newest_; *at != nullptr; at = &(*at)->registry_next_) {
        if (*at != &h) continue;
        *at = h.registry_next_;
        break;
    }
    --hub_count;
    add_up(ended_hubs, h.counters());
    ended_hubs.peak = std::max(ended_hubs.peak, h.counters().peak);
    if (main_thread_hub.load(std::memory_order_relaxed) == &h) main_thread_hub.store(nullptr, std::memory_order_relaxed);
    rouse_hopeless();
}

void hub_registry::rouse_hopeless() noexcept {
    for_each([](hub& h) {
        if (h.hopeless_.load(std::memory_order_relaxed)) h.rouse_if_asleep();
    });
}

bool hub_registry::totals(hub_counters& sum) noexcept {
    constexpr int most_tries = 10'000;
    for (int tries = 0; !hubs_lock.try_lock(); ++tries) {
        if (tries == most_tries) return false;
        sys::sched_yield();
    }
    sum = ended_hubs;
    std::uint64_t peak = 0; // of hubs that live at the same time
    for_each([&](const hub& h) {
        add_up(sum, h.counters());
        peak += h.counters().peak;
    });
    sum.peak = std::max(sum.peak, peak);
    hubs_lock.unlock();
    return true;
}

hub* hub_registry::main_hub() noexcept { return main_thread_hub.load(std::memory_order_relaxed); }
spinlock& hub_registry::lock() noexcept { return hubs_lock; }
int hub_registry::count() noexcept { return hub_count; }
bool hub_registry::on_main_thread() noexcept { return sys::gettid() == sys::getpid(); }

void hub_registry::after_fork(hub* survivor) noexcept {
    hubs_lock.reset();
    newest_ = survivor;
    hub_count = survivor == nullptr ? 0 : 1;
    main_thread_hub.store(survivor, std::memory_order_relaxed);
    ended_hubs = {};
    if (survivor != nullptr) {
        survivor->registry_next_ = nullptr;
        // What it did so far was the parent's; the child begins with one fiber.
        const hub_counters& did = survivor->counters();
        ended_hubs = {0 - did.switches, 0 - did.polls, 1 - did.spawned, 0 - did.finished, 0 - did.timers, 0};
    }
    helpers.store(0, std::memory_order_relaxed);
    jobs.store(0, std::memory_order_relaxed);
}

helper_thread::helper_thread() noexcept {
    helpers.fetch_add(1, std::memory_order_relaxed);
}
helper_thread::~helper_thread() { helpers.fetch_sub(1, std::memory_order_relaxed); }
int helper_thread::count() noexcept { return helpers.load(std::memory_order_relaxed); }

void job_begins() noexcept { jobs.fetch_add(1, std::memory_order_relaxed); }
void job_ends() noexcept {
    if (jobs.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
    const std::lock_guard hold(hubs_lock);
    hub_registry::rouse_hopeless();
}
bool jobs_in_flight() noexcept { return jobs.load(std::memory_order_acquire) > 0; }

} // namespace weft::rt
