// SPDX-License-Identifier: Apache-2.0
#pragma once

// The switch (invariant 1): the one place that changes stacks. It alone knows Boost.Context, the sanitizers' annotations,
// the C++ exception globals and TLS frames.

#include "core/sanitizer.hpp"
#include "core/thread_pointer.hpp"
#include "core/thread_state.hpp"

#include <boost/context/detail/fcontext.hpp>

#include <cstddef>
#include <cxxabi.h>

// The Itanium C++ ABI's layout, stable since gcc 3. Boost's fcontext leaves these globals alone in every version (its C++
// classes keep them from 1.88 on; they are not used here).
namespace __cxxabiv1 {
struct __cxa_eh_globals {
    void* caughtExceptions;
    unsigned int uncaughtExceptions;
};
} // namespace __cxxabiv1

namespace weft::rt {

/// A suspended execution: a stack and where it stands on it.
///
/// Kept per context: callee-saved registers and the FP control words (by Boost), errno and the trap's selector (on the suspended
/// stack), the C++ exception globals and the TLS frame (here). A context is switched to by one kernel thread at a time.
class context {
public:
    using arrival = boost::context::detail::transfer_t;
    /// The first function on a stack: it begins with begin() and never returns.
    using entry_function = void (*)(arrival) noexcept;

    /// The calling thread's own stack.
    context() noexcept;
    /// A new stack of `size` bytes from `base`, its first run is `entry`, with the TLS frame that `frame` lies in.
    context(void* base, std::size_t size, entry_function entry, void* argument, thread_state& frame) noexcept;
    context(const context&) = delete;
    context& operator=(const context&) = delete;
    ~context();

    /// On a new stack: takes note of the switch. Returns the constructor's `argument`.
    static void* begin(arrival a) noexcept;

    /// Suspends `from`, the running one, and resumes `to`, in which `runs` runs. Returns when somebody switches back to `from`.
    static void switch_to(context& from, context& to, fiber_core* runs) noexcept;
    /// The last switch of `from`: it is never resumed.
    [[noreturn]] static void leave(context& from, context& to, fiber_core* runs) noexcept;

    /// In the child of fork, for one that is kept: TSan counts every fiber but the running one as ended.
    void after_fork() noexcept {
        if constexpr (sanitizer::tsan) sanitizer_ = sanitizer::create_fiber();
    }

    /// It will soon be resumed: fetches what it will touch first, the frames of a wait and, where that is its own, the head of its TLS.
    /// (gcc takes a function that only fetches for one without effect and drops calls of it, unless it has no calls.)
    [[gnu::always_inline]] void fetch() const noexcept {
        const char* const frames = static_cast<const char*>(machine_);
        for (int i = 0; i < 14; ++i) __builtin_prefetch(frames + 64 * i, 1);
        const thread_state& here = this_thread_state;
        if (frame_ == &here) return;
        const auto there = [this, &here](const void* mine) { // the same place in its TLS
            return reinterpret_cast<const char*>(frame_) + (static_cast<const char*>(mine) - reinterpret_cast<const char*>(&here));
        };
        __builtin_prefetch(frame_, 1);
        __builtin_prefetch(reinterpret_cast<const char*>(frame_) + 64, 1);
        __builtin_prefetch(there(here.thread_pointer));
        __builtin_prefetch(there(here.errno_address), 1);
        __builtin_prefetch(reinterpret_cast<const char*>(frame_) + also_touched, 1);
    }
    /// Where another variable lies that whoever is resumed touches first, from the state of its frame.
    WEFT_API static std::ptrdiff_t also_touched;

    /// The stack's lowest address and size; null and 0 for a thread's own stack where no sanitizer wanted it.
    [[nodiscard]] const void* stack_base() const noexcept { return base_; }
    [[nodiscard]] std::size_t stack_size() const noexcept { return size_; }
    /// Where a suspended one stands: Boost's fcontext_t. For inspection.
    [[nodiscard]] const void* suspended_at() const noexcept { return machine_; }
    /// What jump() moves its stack pointer by before it stores it there.
    static constexpr std::size_t jump_red_zone = 128;
    /// The state in its TLS frame.
    [[nodiscard]] thread_state& frame() const noexcept { return *frame_; }

private:
    /// The TLS of `to`, while the stack is still that of `from`.
    WEFT_NO_TSAN static void enter_frame(const context& from, const context& to, fiber_core* runs) noexcept {
        thread_state &here = *from.frame_, &there = *to.frame_;
        if (&there != &here) {
            thread_state* const carrier = here.carrier == nullptr ? &here : here.carrier;
            if (__builtin_expect(there.carrier != carrier, 0)) move_frame(there, *carrier);
            set_thread_pointer(there.thread_pointer);
        }
        there.exception_globals->caughtExceptions = to.caught_;
        there.exception_globals->uncaughtExceptions = to.uncaught_;
        there.running = runs;
    }
    /// It was not on this kernel thread when it ran last.
    [[gnu::cold]] static void move_frame(thread_state& frame, thread_state& carrier) noexcept;

    /// Jumps. The return address is pushed by hand rather than by a call: the jump never returns to where it came from,
    /// and an unmatched call would make the processor mispredict every return behind it.
    WEFT_NO_TSAN static arrival jump(void* to, context* from) noexcept {
        arrival t;
        asm volatile("lea -128(%%rsp), %%rsp\n\t" // past the red zone
                     "lea 1f(%%rip), %%rax\n\t"
                     "push %%rax\n\t"
                     "jmp *%[jump]\n"
                     "1:\n\t"
                     "lea 128(%%rsp), %%rsp"
                     : "=&a"(t.fctx), "=&d"(t.data), "+D"(to), "+S"(from)
                     : [jump] "r"(&boost::context::detail::jump_fcontext)
                     : "rcx", "r8", "r9", "r10", "r11", "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5",
                       "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "st",
                       "st(1)", "st(2)", "st(3)", "st(4)", "st(5)", "st(6)", "st(7)");
        return t;
    }
    /// What both ends of a switch do on arrival: note where the other side stands.
    WEFT_NO_TSAN static context& note_arrival(arrival t) noexcept {
        auto& from = *static_cast<context*>(t.data);
        from.machine_ = t.fctx;
        return from;
    }

    thread_state* frame_ = nullptr;
    void* machine_ = nullptr;     // Boost's fcontext_t; valid while suspended
    void* caught_ = nullptr;      // __cxa_eh_globals::caughtExceptions; valid while suspended
    unsigned uncaught_ = 0;       // __cxa_eh_globals::uncaughtExceptions; valid while suspended
    const void* base_ = nullptr;
    std::size_t size_ = 0;
    context* target_ = nullptr;   // where the last switch from here went; the first run of a context finds itself so
    void* argument_ = nullptr;
    void* sanitizer_ = nullptr;   // ASan: saved fake stack; TSan: the fiber
    bool owns_sanitizer_ = false; // TSan: made by us, so destroyed by us
};

WEFT_NO_TSAN inline void* context::begin(arrival a) noexcept {
    const context& self = *note_arrival(a).target_;
    sanitizer::finish_switch(nullptr);
    carrier_state().selector = 0;
    return self.argument_;
}

WEFT_NO_TSAN inline void context::switch_to(context& from, context& to, fiber_core* runs) noexcept {
    const thread_state& here = *from.frame_;
    const int saved_errno = *here.errno_address;
    const std::uint8_t saved_selector = carrier_state().selector;
    from.caught_ = here.exception_globals->caughtExceptions;
    from.uncaught_ = here.exception_globals->uncaughtExceptions;
    from.target_ = &to;
    enter_frame(from, to, runs);
    sanitizer::start_switch(sanitizer::asan ? &from.sanitizer_ : nullptr, to.base_, to.size_, to.sanitizer_);
    note_arrival(jump(to.machine_, &from));
    sanitizer::finish_switch(from.sanitizer_);
    *here.errno_address = saved_errno;
    carrier_state().selector = saved_selector;
}

WEFT_NO_TSAN inline void context::leave(context& from, context& to, fiber_core* runs) noexcept {
    from.target_ = &to;
    enter_frame(from, to, runs);
    sanitizer::start_switch(nullptr, to.base_, to.size_, to.sanitizer_);
    jump(to.machine_, &from);
    __builtin_unreachable();
}

} // namespace weft::rt
