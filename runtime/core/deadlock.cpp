// SPDX-License-Identifier: Apache-2.0
#include "core/deadlock.hpp"

#include "core/hub.hpp"
#include "core/log.hpp"
#include "core/options.hpp"
#include "core/registry.hpp"
#include "core/sanitizer.hpp"

#include <weft/errors.hpp>

#include <algorithm>
#include <cstdio>
#include <mutex>

#include <sys/stat.h>

namespace weft::rt {

namespace {

/// Kernel threads of the process, from the link count of its task directory; 0 where /proc is missing.
int kernel_threads() noexcept {
    const inside_weft inside;
    struct stat s{};
    if (::stat("/proc/self/task", &s) != 0 || s.st_nlink < 3) return 0;
    const int threads = static_cast<int>(s.st_nlink) - 2;
    return sanitizer::tsan && threads > 1 ? threads - 1 : threads; // TSan's own comes with the first pthread_create
}

} // namespace

/// A preloaded program waits as it would bare; with --verbose it says why, once. The registry's lock is held, so the hubs stand still.
void deadlock_check::say_why() noexcept {
    static constinit bool said = false;
    if (said || !process_options().verbose) return;
    said = true;
    log_line head;
    head << "nothing is left that could wake anyone; the program waits, as it would bare:";
    head.write();
    hub_registry::for_each([](hub& h) {
        for (const fiber_core* f = h.first_fiber(); f != nullptr; f = f->registry_next) {
            if (!f->is_waiting()) continue;
            log_line line;
            line << "  fiber " << f->id;
            if (f->is_main()) line << " (main)";
            else if (!f->name.empty()) line << " (" << f->name << ")";
            line << " waits for " << (f->what == nullptr ? "something" : f->what);
            line.write();
        }
    });
}

std::int64_t deadlock_check::before_blocking(hub& h) noexcept {
    constexpr int first_recheck_ms = 100;
    constexpr int last_recheck_ms = 10'000;
    const std::lock_guard hold(hub_registry::lock());
    h.hopeless_.store(true, std::memory_order_relaxed);
    bool somebody_runs = jobs_in_flight();
    hub* told = nullptr;
    hub_registry::for_each([&](hub& other) {
        if (!other.hopeless_.load(std::memory_order_relaxed) || other.remote_.load(std::memory_order_seq_cst) != nullptr ||
            other.interrupts_.load(std::memory_order_seq_cst) != nullptr)
            somebody_runs = true;
        else if (!other.quiescent_.empty()) told = &other;
    });
    if (somebody_runs) return watcher::never;
    const int threads = kernel_threads();
    if (threads == 0 || threads > hub_registry::count() + helper_thread::count()) {
        // A kernel thread that is not ours may still wake somebody; it may also end without doing so.
        h.recheck_ms_ = std::clamp(h.recheck_ms_ * 2, first_recheck_ms, last_recheck_ms);
        return threads == 0 ? watcher::never : now_ns() + h.recheck_ms_ * std::int64_t{1'000'000};
    }
    if (told == nullptr && process_options().preloaded) {
        say_why();
        return watcher::never;
    }
    if (told == nullptr) told = hub_registry::main_hub();
    if (told == nullptr || (told->quiescent_.empty() && !told->main_now_->is_interruptible())) return watcher::never;
    told->deadlocked_.store(true, std::memory_order_seq_cst);
    if (told == &h) return 0;
    told->rouse_if_asleep();
    return watcher::never;
}

void deadlock_check::after_blocking(hub& h) noexcept {
    const std::lock_guard hold(hub_registry::lock());
    h.hopeless_.store(false, std::memory_order_relaxed);
}

void deadlock_check::deliver(hub& h) noexcept {
    h.deadlocked_.store(false, std::memory_order_relaxed);
    if (!h.ready_.empty()) return; // it was woken after all
    if (!h.quiescent_.empty()) h.quiescent_.wake_all();
    else h.main_now_->interrupt(wake_reason::deadlock);
}

std::string deadlock_check::report() {
    std::string text = "nothing is left that could wake anyone:";
    const fiber_core* me = this_thread_state.running;
    const std::lock_guard hold(hub_registry::lock());
    hub_registry::for_each([&](hub& h) {
        for (const fiber_core* f = h.first_fiber(); f != nullptr; f = f->registry_next) {
            if (!f->is_waiting() && f != me) continue;
            char object[32];
            std::snprintf(object, sizeof object, " %p", f->object);
            text += "\n  fiber " + std::to_string(f->id);
            if (f->is_main()) text += " (main)";
            else if (!f->name.empty()) text += " (" + f->name + ")";
            text += " waits for ";
            text += f->what == nullptr ? "something" : f->what;
            if (f->object != nullptr) text += object;
        }
    });
    return text;
}

void throw_deadlock() { throw deadlock_error(deadlock_check::report()); }

} // namespace weft::rt
