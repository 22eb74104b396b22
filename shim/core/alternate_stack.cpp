// SPDX-License-Identifier: Apache-2.0
#include "core/alternate_stack.hpp"

#include "core/real.hpp"
#include "core/signal_receiver.hpp"
#include "threads/exit.hpp"

#include "core/overflow.hpp"
#include "core/sys.hpp"
#include "core/thread_state.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <utility>

#include <ucontext.h>

extern "C" [[gnu::visibility("hidden")]] bool weft_call_on_stack(void* top, weft::shim::signals::info_handler handler, int number, siginfo_t* info,
                                                                 void* context);

namespace weft::shim::signals {

namespace {

/// Where a handler runs that must not be suspended.
struct marked {
    std::uintptr_t begin = 0, size = 0;
    int marks = 0;
};
constinit thread_local marked mark __attribute__((tls_model("initial-exec")));

constinit thread_local int handler_inside __attribute__((tls_model("initial-exec"))) = 0; // weft's mark while a handler of the program runs

/// Calls it on the present stack, or another one that ends at `top`. What it leaves behind if it jumps out does no harm.
void call(void* top, info_handler handler, int number, siginfo_t* info, void* context) {
    const int outer = handler_inside;
    handler_inside = rt::this_thread_state.inside;
    const int inside = handler_inside;
    const std::uint8_t may_end = std::exchange(rt::this_thread_state.may_end, std::uint8_t{0}); // in the handler, its own calls say so
    const bool left = weft_call_on_stack(top, handler, number, info, context);
    rt::this_thread_state.may_end = may_end;
    handler_inside = outer;
    if (!left) return;
    rt::this_thread_state.inside = inside;
    ending::handler_has_left();
}

bool is_on(const stack_t& s, std::uintptr_t address) noexcept {
    return (s.ss_flags & SS_DISABLE) == 0 && address - reinterpret_cast<std::uintptr_t>(s.ss_sp) < s.ss_size;
}

std::uintptr_t here() noexcept { return reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0)); }

stack_t current() noexcept {
    stack_t s{};
    s.ss_flags = SS_DISABLE;
    rt::sys::call(SYS_sigaltstack, 0, rt::sys::arg(&s));
    return s;
}

int fail_with(int error) noexcept {
    errno = error;
    return -1;
}


/// As the kernel has it, where a process has not asked for the widest registers (AT_MINSIGSTKSZ counts those, too).
constexpr std::size_t smallest = 2048;

/// Calls it on that stack, with real calls only.
void call_marked(const stack_t& s, void* top, info_handler handler, int number, siginfo_t* info, void* context) {
    const marked before = mark;
    mark = {reinterpret_cast<std::uintptr_t>(s.ss_sp), s.ss_size, before.marks + 1};
    ++rt::this_thread_state.inside;
    call(top, handler, number, info, context);
    --rt::this_thread_state.inside;
    mark = before;
}

} // namespace

namespace {

constexpr unsigned disarms = 1U << 31; // SS_AUTODISARM

int set_own(stack_t& own, const stack_t* wanted, stack_t* old) noexcept {
    const bool used = is_on(own, here()) && (static_cast<unsigned>(own.ss_flags) & disarms) == 0;
    const stack_t had = own;
    if (wanted != nullptr) {
        const unsigned flags = static_cast<unsigned>(wanted->ss_flags), mode = flags & ~disarms;
        if (used) return fail_with(EPERM);
        if (mode != 0 && mode != SS_ONSTACK && mode != SS_DISABLE) return fail_with(EINVAL);
        if (mode == SS_DISABLE) own = {nullptr, static_cast<int>(flags), 0};
        else if (wanted->ss_size < smallest) return fail_with(ENOMEM);
        else own = {wanted->ss_sp, static_cast<int>(flags & ~unsigned{SS_ONSTACK}), wanted->ss_size};
    }
    if (old != nullptr) {
        *old = had;
        if (used) old->ss_flags |= SS_ONSTACK;
    }
    return 0;
}

} // namespace

int alternate_stack(const stack_t* wanted, stack_t* old) noexcept {
    if (receiver* const me = own_masks(); me != nullptr) return set_own(me->alternate, wanted, old);
    const stack_t now = current();
    const bool ours = (now.ss_flags & SS_DISABLE) == 0 && rt::is_overflow_stack(now.ss_sp);
    const int result = real().sigaltstack(wanted, old);
    if (result != 0) return result;
    if (ours && old != nullptr) {
        *old = {};
        old->ss_flags = SS_DISABLE;
    }
    if (wanted != nullptr && current().ss_flags == SS_DISABLE) rt::restore_overflow_stack();
    return 0;
}

void call_handler(info_handler handler, int flags, int number, siginfo_t* info, void* context) {
    if ((flags & SA_ONSTACK) != 0) {
        const stack_t s = current();
        if ((s.ss_flags & SS_DISABLE) == 0 && !rt::is_overflow_stack(s.ss_sp) && !is_on(s, here())) {
            call_marked(s, static_cast<char*>(s.ss_sp) + s.ss_size, handler, number, info, context);
            return;
        }
    }
    call(nullptr, handler, number, info, context);
}

void call_handler_here(info_handler handler, int number, siginfo_t* info, void* context) {
    const auto& interrupted = *static_cast<const ucontext_t*>(context);
    const stack_t& s = interrupted.uc_stack; // as it was set when the signal came
    if (!is_on(s, here())) {
        call(nullptr, handler, number, info, context);
    } else if (rt::is_overflow_stack(s.ss_sp)) {
        const auto stack_pointer = static_cast<std::uintptr_t>(interrupted.uc_mcontext.gregs[REG_RSP]);
        constexpr std::uintptr_t red_zone = 128;
        call(is_on(s, stack_pointer) ? nullptr : reinterpret_cast<void*>(stack_pointer - red_zone), handler, number, info, context);
    } else {
        call_marked(s, nullptr, handler, number, info, context);
    }
}

void take_alternate_stack(stack_t& own) noexcept {
    const stack_t now = current();
    if ((now.ss_flags & (SS_DISABLE | SS_ONSTACK)) == 0 && !rt::is_overflow_stack(now.ss_sp)) {
        own = now;
    } else {
        own = {};
        own.ss_flags = SS_DISABLE;
    }
    rt::take_over_alternate_stack();
}

namespace {

/// Where it begins, or null: on the stack that is in use.
void* begin_of(stack_t& own, int flags, std::uintptr_t stack_pointer) noexcept {
    const bool armed = (own.ss_flags & SS_DISABLE) == 0;
    if ((flags & SA_ONSTACK) == 0 || !armed || is_on(own, stack_pointer)) return nullptr;
    void* const top = static_cast<char*>(own.ss_sp) + own.ss_size;
    if ((static_cast<unsigned>(own.ss_flags) & disarms) != 0) own = {nullptr, SS_DISABLE, 0}; // its context has it
    return top;
}

} // namespace

void call_on_own_stack(stack_t& own, info_handler handler, int flags, int number, siginfo_t* info, void* context) {
    call(begin_of(own, flags, here()), handler, number, info, context);
}

void call_here_on_own_stack(stack_t& own, const stack_t& kernels, info_handler handler, int flags, int number, siginfo_t* info,
                            void* context) {
    if (!is_on(kernels, here())) {
        call_on_own_stack(own, handler, flags, number, info, context);
        return;
    }
    // Ours lies on weft's stack, which the next fault on this kernel thread uses too: the thread must not be suspended meanwhile.
    const auto stack_pointer = static_cast<std::uintptr_t>(static_cast<const ucontext_t*>(context)->uc_mcontext.gregs[REG_RSP]);
    constexpr std::uintptr_t red_zone = 128;
    constexpr std::size_t all_below = std::size_t{1} << 30;
    stack_t range = own;
    void* top = begin_of(own, flags, stack_pointer);
    if (top == nullptr && !is_on(kernels, stack_pointer)) {
        top = reinterpret_cast<void*>(stack_pointer - red_zone);
        range = {static_cast<char*>(top) - all_below, 0, all_below};
    }
    if (top == nullptr) call(nullptr, handler, number, info, context);
    else call_marked(range, top, handler, number, info, context);
}

void returns_from(const rt::thread_state& carrier, ucontext_t& context) noexcept {
    if (&carrier != &rt::carrier_state()) context.uc_stack = current();
}

bool on_own_alternate_stack() noexcept {
    const receiver* const me = own_masks();
    return me != nullptr && is_on(me->alternate, here());
}

bool program_asks() noexcept {
    const int inside = rt::this_thread_state.inside;
    return inside == 0 || inside == handler_inside;
}

bool left_alternate_stack() noexcept {
    if (mark.marks == 0 || here() - mark.begin < mark.size) return false;
    rt::this_thread_state.inside -= mark.marks;
    mark = {};
    return rt::this_thread_state.inside == 0;
}

} // namespace weft::shim::signals
