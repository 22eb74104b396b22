// SPDX-License-Identifier: Apache-2.0
#include "core/alternate_stack.hpp"

#include "core/real.hpp"

#include "core/overflow.hpp"
#include "core/sys.hpp"
#include "core/thread_state.hpp"

#include <cerrno>
#include <cstdint>

#include <ucontext.h>

extern "C" [[gnu::visibility("hidden")]] void weft_call_on_stack(void* top, weft::shim::signals::info_handler handler, int number, siginfo_t* info,
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
    if (top != nullptr) weft_call_on_stack(top, handler, number, info, context);
    else handler(number, info, context);
    handler_inside = outer;
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

int alternate_stack(const stack_t* wanted, stack_t* old) noexcept {
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
