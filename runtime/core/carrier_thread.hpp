// SPDX-License-Identifier: Apache-2.0
#pragma once

// A kernel thread of those that carry hubs (carrier.hpp), for carrier.cpp, which takes hubs over, and worker.cpp, which makes hubs of weft's own.

#include "core/context.hpp"
#include "core/hub.hpp"
#include "core/sys.hpp"
#include "core/tls_frame.hpp"

#include <atomic>
#include <ctime>
#include <optional>

#include <linux/futex.h>

namespace weft::rt {

inline void futex_wait(std::uint32_t& word, std::uint32_t value, const timespec* at_most = nullptr) noexcept {
    sys::call(SYS_futex, sys::arg(&word), FUTEX_WAIT_PRIVATE, value, sys::arg(at_most));
}
inline void futex_wake(std::uint32_t& word) noexcept { sys::call(SYS_futex, sys::arg(&word), FUTEX_WAKE_PRIVATE, 1); }

/// A kernel thread that carries a hub, or waits for one as a spare.
class carrier {
public:
    /// The calling kernel thread, whose own stack and frame are where it waits.
    explicit carrier(thread_state& of) noexcept : state_(of), tid_(sys::gettid()), is_ours_(true) { idle_.emplace(); }
    /// One on whose own stack a fiber runs: it waits on another stack, with another frame.
    carrier(thread_state& of, int tid, stack& s, tls_frame& f) noexcept : state_(of), tid_(tid) {
        idle_.emplace(s.base, s.size(), &carrier::begin, this, f.state());
    }

    [[nodiscard]] thread_state& state() noexcept { return state_; }
    [[nodiscard]] int tid() const noexcept { return tid_; }
    /// In the child of fork: its kernel thread is another one there.
    void after_fork() noexcept { tid_ = sys::gettid(); }
    /// A kernel thread of weft's own, so its stack and TLS are libc's again when it does not exist any more.
    [[nodiscard]] bool is_ours() const noexcept { return is_ours_; }
    [[nodiscard]] context& idle() noexcept { return *idle_; }

    /// The watchdog: run that hub.
    void carry(hub& h, int former_tid) noexcept {
        former_tid_ = former_tid;
        hub_ = &h;
        std::atomic_ref(work_).store(1, std::memory_order_release);
        futex_wake(work_);
    }
    /// The fiber that ran here is to be made ready once nobody stands on its stack.
    void send_back(fiber_core& f) noexcept { returning_ = &f; }

    /// Waits for hubs and runs them, for ever.
    [[noreturn]] void be_spare() noexcept;
    /// Runs that one, which was made here, and then whatever comes.
    [[noreturn]] void begin_with(hub& h) noexcept;

    carrier* next = nullptr; // among the spares
    carrier* made_before = nullptr;

private:
    void run(hub& h) noexcept;
    static void begin(context::arrival a) noexcept { static_cast<carrier*>(context::begin(a))->be_spare(); }

    thread_state& state_;
    int tid_;
    const bool is_ours_ = false;
    std::optional<context> idle_;
    std::uint32_t work_ = 0; // a futex
    int former_tid_ = 0;
    hub* hub_ = nullptr;
    fiber_core* returning_ = nullptr;
};

/// One that was made for a kernel thread of weft's own.
void remember(carrier& c) noexcept;

/// A kernel thread of weft's own: no signal is its business. False: there is none to be had.
bool make_own_thread(void* (*function)(void*) noexcept, void* argument) noexcept;

} // namespace weft::rt
