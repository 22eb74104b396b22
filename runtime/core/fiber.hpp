// SPDX-License-Identifier: Apache-2.0
#pragma once

// A fiber's control block. It sits at the top of the fiber's stack and outlives the fiber while a handle does.

#include <weft/detail/fiber_api.hpp>

#include "core/context.hpp"
#include "core/observer.hpp"
#include "core/parkable.hpp"
#include "core/stack.hpp"
#include "core/timer_heap.hpp"

#include <atomic>
#include <exception>
#include <memory>
#include <string>

namespace weft::rt {

class hub;
class local_table;
class tls_frame;

enum class fiber_state : std::uint8_t {
    fresh,   // made; its start is queued or timed
    ready,   // in its hub's ready queue
    running, // on its kernel thread now
    parked,  // suspended until a waiter wakes it
    done,    // ended; only handles are left
};

class fiber_core final : public parkable {
public:
    /// For spawn: a fiber on a stack of its own.
    fiber_core(hub& owner, stack& s, char* base, char* usable_top, tls_frame* own_frame);
    /// The thread's own stack as a hub's main fiber.
    explicit fiber_core(hub& owner);
    ~fiber_core();

    [[nodiscard]] bool is_main() const noexcept;
    /// Made with the hub, not spawned; a spawned fiber that called fork is the child's main fiber, and not this.
    [[nodiscard]] bool is_on_thread_stack() const noexcept { return stack_ == nullptr; }
    /// Signals interrupt it: a main fiber, or a thread of its own.
    [[nodiscard]] bool takes_signals() const noexcept { return frame != nullptr || is_main(); }
    /// Also those that a child of fork has from its parent.
    [[nodiscard]] fiber_state now() const noexcept { return is_lost() ? fiber_state::done : state.load(std::memory_order_acquire); }
    [[nodiscard]] bool is_done() const noexcept { return now() == fiber_state::done; }
    /// In a child of fork, for one of the parent's: dead from now on for whoever looks, if it had not ended before.
    void settle() noexcept {
        if (__builtin_expect(is_lost(), 0)) bury();
    }
    /// The one that called fork: it alone lives in the child.
    void survive() noexcept;
    /// What guards the fields below.
    [[nodiscard]] spinlock& guard() noexcept {
        settle();
        return lock_;
    }

    /// Moves to another state; what is not allowed is a bug of ours.
    void become(fiber_state to) noexcept {
        WEFT_CHECK(allowed(state.load(std::memory_order_relaxed), to));
        state.store(to, std::memory_order_release);
    }

    // As std::shared_ptr does: no atomic arithmetic while the process has one kernel thread.
    void retain() noexcept {
        const std::uint32_t now = references.load(std::memory_order_relaxed);
        if (__libc_single_threaded) references.store(now + 1, std::memory_order_relaxed);
        else references.fetch_add(1, std::memory_order_relaxed);
    }
    /// False: others are left.
    bool drop_reference() noexcept {
        const std::uint32_t now = references.load(std::memory_order_acquire);
        if (now == 1) return true; // nobody else is left who could count
        if (!__libc_single_threaded) return references.fetch_sub(1, std::memory_order_acq_rel) == 1;
        references.store(now - 1, std::memory_order_relaxed);
        return false;
    }
    void release() noexcept;

    /// Asks the fiber to throw. Any thread; the hub's thread carries it out.
    void request_kill(std::exception_ptr exception) noexcept;
    /// Ends its present wait, if that allows it, so that it looks what is pending. Any thread that has a handle to it.
    WEFT_API void rouse() noexcept;
    /// It has run: tells whoever waits for that.
    void end() noexcept;
    /// Nobody stands on its stack any more.
    void left_stack() noexcept;
    /// On the hub's thread: ends the present wait because something is pending.
    void on_interrupt() noexcept;
    [[nodiscard]] bool has_pending() const noexcept {
        return scopes != nullptr || kill_pending.load(std::memory_order_acquire);
    }

    /// Runs callbacks of `link`, each in a fiber of its own.
    void run_links(link_record* first);
    void append_link(link_record* record) noexcept;
    /// The first callback that has not run, or null.
    std::unique_ptr<link_record> take_link() noexcept;

    context machine;
    tls_frame* const frame = nullptr; // its own TLS; null: the hub's
    hub* owner;
    fiber_core* next = nullptr;      // in the ready queue, or the remote queue
    fiber_core* ahead = nullptr;     // some places behind it in the ready queue, to be fetched early; null: nobody was yet
    const void* touched[2] = {};     // cache lines that its present wait touched and will touch at its end; to be fetched, never read
    fiber_core* registry_prev = nullptr;
    fiber_core* registry_next = nullptr;
    std::atomic<fiber_state> state;
    std::atomic<bool> kill_pending{false}; // kill_exception waits to be thrown
    bool kill_seen = false;          // it was thrown already (fiber_exit is delivered once)
    bool was_killed = false;         // ended by fiber_exit
    bool ending = false;             // the end hooks run, or have run
    bool held = false;               // ended while handles were left
    std::atomic<bool> started{false};
    std::atomic<bool> collected{false}; // somebody took the exception
    std::atomic<std::uint32_t> references{1};
    std::uint64_t id;
    task_base* task = nullptr;
    local_table* locals = nullptr;   // its fiber_locals' values, once it has any
    struct : timer {
        fiber_core* self = nullptr;
    } start_timer;                   // spawn_later

private:
    spinlock lock_;                  // guard(): of what follows

public:
    std::exception_ptr kill_exception;
    std::exception_ptr exception;    // how the body ended
    wait_list joiners;
    link_record* links = nullptr;
    end_hook* end_hooks = nullptr;
    fiber_core* interrupt_next = nullptr; // in the hub's queue of interrupts that other threads asked for
    std::atomic<bool> interrupt_queued{false};
    std::string name;
    std::uint64_t parent_id = 0;
    std::int64_t waiting_since = 0;  // hub time, ns; valid while parked
    observation observed;

private:
    static void entry(context::arrival a) noexcept;
    void bury() noexcept;
    void body() noexcept;
    void run_task();
    [[noreturn]] void end_process() noexcept;
    static bool allowed(fiber_state from, fiber_state to) noexcept {
        switch (to) {
        case fiber_state::fresh: return false;
        case fiber_state::ready: return from != fiber_state::done && from != fiber_state::ready;
        case fiber_state::running: return from == fiber_state::ready;
        case fiber_state::parked: return from == fiber_state::running;
        case fiber_state::done: return from == fiber_state::running;
        }
        return false;
    }

    stack* stack_ = nullptr;
};

/// Memory of the program's for a stack; size 0: none.
struct memory {
    char* base = nullptr;
    std::size_t size = 0;
};

/// create_fiber on that hub, and on that memory.
WEFT_API fiber_core* create_fiber_on(hub& h, const fiber_options& options, memory given, std::size_t task_size, std::size_t task_align,
                                     void*& place);

} // namespace weft::rt
