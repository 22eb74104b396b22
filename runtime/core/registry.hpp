// SPDX-License-Identifier: Apache-2.0
#pragma once

// All hubs of the process, weft's helper threads and the jobs they have: what the deadlock check and fork must know.

#include "core/hub.hpp"

#include <weft/detail/spinlock.hpp>
#include <weft/export.hpp>

namespace weft::rt {

class hub_registry {
public:
    static void add(hub& h) noexcept;
    static void remove(hub& h) noexcept;
    /// The main thread's hub, or nullptr.
    static hub* main_hub() noexcept;
    /// Calls `fn(hub&)` for each hub, newest first; the caller holds lock().
    template <class F>
    static void for_each(F fn) {
        for (hub* h = newest_; h != nullptr; h = h->registry_next_) fn(*h);
    }
    static spinlock& lock() noexcept;
    /// Who might have woken somebody is gone: hubs that have nothing to do look again. The caller holds lock().
    static void rouse_hopeless() noexcept;
    static int count() noexcept;
    /// What all hubs did, those of ended threads too. It gives up where the lock is held for long (a signal handler ends the process).
    WEFT_API static bool totals(hub_counters& sum) noexcept;
    /// In the child of fork: only `survivor` (may be null) is left.
    static void after_fork(hub* survivor) noexcept;
    /// Whether the calling thread is the process's main thread.
    WEFT_API static bool on_main_thread() noexcept;

private:
    static constinit hub* newest_;
};

/// A kernel thread of weft's own says so for as long as it lives: it wakes nobody by itself.
class WEFT_API helper_thread {
public:
    helper_thread() noexcept;
    ~helper_thread();
    helper_thread(const helper_thread&) = delete;
    helper_thread& operator=(const helper_thread&) = delete;
    static int count() noexcept;
};

/// Work outside the hubs that will wake somebody: while any is going on there is no deadlock. Any thread. A job ends after
/// it has woken whom it should.
WEFT_API void job_begins() noexcept;
WEFT_API void job_ends() noexcept;
bool jobs_in_flight() noexcept;

} // namespace weft::rt
