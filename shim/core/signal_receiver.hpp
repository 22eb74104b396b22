// SPDX-License-Identifier: Apache-2.0
#pragma once

// Who gets signals. With green threads (`several`) each of them is a receiver: it has a mask, pending signals and an alternate stack of its own, and the
// kernel knows what those of a hub have in common: the mask of the kernel thread is the intersection of theirs. What all of them block stays with the
// kernel, or goes to another hub's; what comes in is given to one that does not block it. Without green threads only main fibers are receivers, and masks are the kernel threads' own.
//
// A receiver lies in the TLS frame of its thread, so it goes where the thread goes.

#include "core/signal_bits.hpp"

#include "core/hub.hpp"
#include "core/thread_state.hpp"

#include <atomic>
#include <cstdint>

namespace weft::shim::signals {

/// A signal that has come and whose handler has not run.
struct arrival {
    arrival* next;
    bool to_process; // any thread may take it
    siginfo_t info;
};

/// First in, first out; guarded by `deciding`.
class arrivals {
public:
    /// False: no memory. Of a standard signal only `most` are kept: the kernel, too, makes one of many that nobody has looked at yet.
    bool add(const siginfo_t& info, bool to_process, int most) noexcept;
    /// The oldest of the lowest number in `wanted`. False: there is none.
    bool take(bits wanted, siginfo_t& info) noexcept;
    /// The oldest of all in `wanted`.
    bool take_oldest(bits wanted, siginfo_t& info) noexcept;
    /// Moves those of the process to `other`.
    void move_shared(bits wanted, arrivals& other) noexcept;
    /// Drops all of these.
    void forget(bits unwanted) noexcept;
    [[nodiscard]] bits numbers() const noexcept { return numbers_; }
    [[nodiscard]] bool has_shared(bits wanted) const noexcept;

private:
    void recount() noexcept;
    arrival* first_ = nullptr;
    arrival* last_ = nullptr;
    bits numbers_ = 0;
};

/// In the child of a fork: all of them are gone.
void forget_arrivals() noexcept;

struct receiver {
    std::atomic<bool> attention{false}; // a handler is to run here
    volatile bool waiting = false;      // it is in a wait, or on its way into or out of one
    std::uint32_t ran = 0;              // handlers run here
    std::uint32_t plain = 0;            // of those, without SA_RESTART

    int over_weft = 0;                  // handlers that have interrupted weft's own code

    rt::fiber_core* fiber = nullptr;    // null: not one of several
    // Written by the thread itself, under `deciding`:
    bits mask = 0;
    bits accepts = 0;                   // it waits for these (sigwait and its kin)
    arrivals pending;
    stack_t alternate{};
    // Guarded by `deciding`:
    receiver* next = nullptr;
    receiver* previous = nullptr;
    receiver* posted_next = nullptr;    // those whose hubs are to interrupt them
    bool posted = false;
    std::uint8_t at = 0;                // its hub (workers.hpp)

    [[nodiscard]] bool takes(bits one) const noexcept { return (mask & one) == 0 || (accepts & one) != 0; }
};

/// That of the frame in use.
extern constinit thread_local receiver mine __attribute__((tls_model("initial-exec")));

/// There are green threads.
extern constinit std::atomic<bool> several;

/// The calling thread, if it is a fiber that takes signals; else null.
inline receiver* self() noexcept {
    const rt::fiber_core* const running = rt::this_thread_state.running;
    if (running == nullptr) return nullptr;
    if (several.load(std::memory_order_relaxed)) return mine.fiber == running ? &mine : nullptr;
    return running == &running->owner->main_fiber() ? &rt::of_carrier(mine) : nullptr;
}
/// The same where only a thread that has masks of its own will do: one of several, and not in a child of vfork.
inline receiver* own_masks() noexcept {
    return several.load(std::memory_order_relaxed) && !rt::in_vforked_child() ? self() : nullptr;
}

/// What a kernel thread does with signals.
struct kernel_side {
    int deciding = 0;    // it is in the midst of a decision
    bits mask = ~bits{0}; // its mask in the kernel, as far as we know
    bits postponed = 0;  // came meanwhile
};
extern constinit thread_local kernel_side kernel_side_here __attribute__((tls_model("initial-exec")));

/// While it lives, the calling kernel thread decides about receivers. A signal that comes meanwhile comes again afterwards; then the kernel
/// thread's mask is what the receivers' masks make of it.
class deciding {
public:
    deciding() noexcept;
    deciding(const deciding&) = delete;
    deciding& operator=(const deciding&) = delete;
    ~deciding();
    /// In a handler of ours, whose return sets the mask.
    void leave_mask() noexcept { leave_ = true; }

private:
    bool leave_ = false;
};

/// What the kernel thread's mask is to be: that of all receivers of its hub.
bits common_mask() noexcept;
/// Sees to it that it is.
void settle_mask() noexcept;

/// Another one for a while, until settle_mask().
void set_kernel_mask(bits mask) noexcept;

/// The same where a handler of ours was left by a jump, so that the kernel's is not what we know.
void restore_kernel_mask() noexcept;

/// Changes a thread's mask and looks who now gets what is pending; the caller is that thread. Handlers have not run yet.
void set_mask(receiver& r, bits mask) noexcept;
/// Nobody has them pending any more.
void drop_pending(bits numbers) noexcept;
/// Signals that it waits for, which others leave to it. Its mask blocks them.
void set_accepted(receiver& r, bits numbers) noexcept;

// Under `deciding`:

/// Who is to have a signal that was sent to the process; null: nobody now. `running`: who runs on this kernel thread, if anybody does.
receiver* choose(int number, const siginfo_t& info, receiver* running) noexcept;
/// For that thread, or, where it is null, for whoever takes it first. False: no memory.
bool record(receiver* r, const siginfo_t& info, bool to_process) noexcept;
/// Sent to the process, and nobody takes them at present.
arrivals& shared_arrivals() noexcept;
/// That of the thread with this fiber, and main's; null: it has ended.
receiver* receiver_of(std::uint64_t fiber) noexcept;
receiver* main_receiver() noexcept;
/// The kernel thread that runs it, if it runs now and that is another one: it may never wait. Else 0.
int runs_elsewhere(const receiver& r) noexcept;
/// The first of those whose hubs are to interrupt them.
receiver* first_posted() noexcept;
/// Its hub is to end the wait that the thread is in. Also in handlers.
void post(receiver& r) noexcept;
void unpost(receiver& r) noexcept;

/// From the first green thread on.
void begin_several(rt::fiber_core& main) noexcept;
/// A thread comes to be, in that frame, and ends. `mask`: what it was made with.
void thread_made(rt::fiber_core& f, rt::thread_state& frame, bits mask) noexcept;
void thread_ends() noexcept;
/// In the child of a fork: the caller alone, with nothing pending.
void receivers_after_fork() noexcept;

} // namespace weft::shim::signals
