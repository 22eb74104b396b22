// SPDX-License-Identifier: Apache-2.0
#include "core/signal_handlers.hpp"

#include "core/alternate_stack.hpp"
#include "core/signal_actions.hpp"
#include "core/signals.hpp"
#include "core/trap.hpp"
#include "threads/rights.hpp"

#include "core/carrier.hpp"
#include "core/sys.hpp"

#include <optional>

namespace weft::shim::signals {

namespace {

using rt::this_thread_state;

constexpr bits all_signals = ~bit(SIGSYS); // which may stand for a system call

bool there_are_several() noexcept { return several.load(std::memory_order_relaxed); }

bits blocked_in(const struct sigaction& a, int number) noexcept {
    return bits_of(a.sa_mask) | ((a.sa_flags & SA_NODEFER) == 0 ? bit(number) : 0);
}

/// False: by now the program wants no handler.
bool begin_handler(receiver* r, int number, const struct sigaction& a) noexcept {
    if (!is_handler(a)) {
        if (a.sa_handler == SIG_DFL) rt::sys::call(SYS_tgkill, rt::sys::getpid(), rt::sys::gettid(), number);
        return false;
    }
    if ((static_cast<unsigned>(a.sa_flags) & SA_RESETHAND) != 0 && there_are_several()) {
        const bits before = kernel_mask(SIG_SETMASK, all_signals);
        reset_action(number);
        kernel_mask(SIG_SETMASK, before);
    }
    if (r == nullptr) r = &rt::of_carrier(mine);
    ++r->ran;
    if ((a.sa_flags & SA_RESTART) == 0) ++r->plain;
    return true;
}

/// The mask and the alternate stack that a thread has while its handler runs. What the handler finds in its context, and may change
/// there, is what it has afterwards.
class own_frame {
public:
    own_frame(receiver& r, ucontext_t& context, bits during, bits afterwards) noexcept : r_(r), context_(context) {
        put_bits(context.uc_sigmask, afterwards);
        context.uc_stack = r.alternate;
        set_mask(r, during);
        if (r.attention.load(std::memory_order_relaxed)) run_pending(r, true); // the kernel, too, lays these on top
    }
    own_frame(const own_frame&) = delete;
    own_frame& operator=(const own_frame&) = delete;
    ~own_frame() {
        r_.alternate = context_.uc_stack;
        set_mask(r_, bits_of(context_.uc_sigmask));
    }

private:
    receiver& r_;
    ucontext_t& context_;
};

void run_own(receiver& r, siginfo_t& info, const struct sigaction& a, ucontext_t& context) noexcept {
    const own_frame frame(r, context, r.mask | blocked_in(a, info.si_signo), r.mask);
    const trap::program_code its_own;
    const rights::of_handler begun_anew;
    std::optional<rt::program_runs> running;
    if (r.over_weft == 0) running.emplace();
    call_on_own_stack(r.alternate, a.sa_sigaction, a.sa_flags, info.si_signo, &info, &context);
}

/// Where masks are the kernel thread's.
void run_by_kernel_mask(siginfo_t& info, const struct sigaction& a, ucontext_t& context) noexcept {
    context.uc_stack = {};
    rt::sys::call(SYS_sigaltstack, 0, rt::sys::arg(&context.uc_stack));
    kernel_mask(SIG_BLOCK, blocked_in(a, info.si_signo));
    {
        const trap::program_code its_own;
        const rights::of_handler begun_anew;
        call_handler(a.sa_sigaction, a.sa_flags, info.si_signo, &info, &context); // one that takes the number only ignores the rest
    }
    kernel_mask(SIG_SETMASK, bits_of(context.uc_sigmask)); // a handler may choose the mask that is restored
}

/// What the kernel would do where a fault is blocked.
void die_of(int number) noexcept {
    reset_action(number);
    kernel_mask(SIG_UNBLOCK, bit(number));
}

} // namespace

void run_handler(receiver& r, siginfo_t& info) noexcept {
    const struct sigaction a = wanted_action(info.si_signo);
    if (!begin_handler(&r, info.si_signo, a)) return;
    ucontext_t here;
    ::getcontext(&here);
    if (there_are_several()) run_own(r, info, a, here);
    else run_by_kernel_mask(info, a, here);
    handler_returned();
}

void run_pending(receiver& r, bool unblocked) noexcept {
    for (;;) {
        siginfo_t info;
        {
            const deciding now;
            const bits wanted = there_are_several() ? ~r.mask : ~bits{0};
            if (!(unblocked ? r.pending.take(wanted, info) : r.pending.take_oldest(wanted, info))) {
                r.attention.store(false, std::memory_order_relaxed);
                if (r.accepts == 0) unpost(r);
                return;
            }
        }
        run_handler(r, info);
    }
}

void run_handler_here(receiver* r, int number, siginfo_t& info, ucontext_t& context, bits kernel_had, bool in_weft) noexcept {
    const struct sigaction a = wanted_action(number);
    const bits return_mask = bits_of(context.uc_sigmask);
    const bool own = there_are_several() && r != nullptr;
    if (own && is_fault(number) && info.si_code > 0 && (r->mask & bit(number)) != 0) {
        die_of(number);
        put_bits(context.uc_sigmask, return_mask & ~bit(number));
        return;
    }
    if (!begin_handler(r, number, a)) return;
    const bool over = is_weft(static_cast<std::uintptr_t>(context.uc_mcontext.gregs[REG_RIP])) || (own && in_weft);
    const int marks = over ? 1 : 0;
    this_thread_state.inside += marks;
    if (own) {
        r->over_weft += marks;
        const stack_t kernels = context.uc_stack;
        // A call that the kernel itself makes with another mask has let it in: that is the handler's mask, and the caller's own one is
        // back afterwards.
        const bool let_in = (return_mask & bit(number)) != 0;
        const bits during = let_in ? kernel_had : r->mask;
        {
            const own_frame frame(*r, context, during | blocked_in(a, number), let_in ? return_mask : r->mask);
            const trap::program_code its_own;
            std::optional<rt::program_runs> running;
            if (r->over_weft == 0) running.emplace();
            call_here_on_own_stack(r->alternate, kernels, a.sa_sigaction, a.sa_flags, number, &info, &context);
        }
        if (r->attention.load(std::memory_order_relaxed)) run_pending(*r, true);
        r->over_weft -= marks;
        kernel_mask(SIG_SETMASK, all_signals); // until our return
        context.uc_stack = kernels;
    } else {
        const trap::program_code its_own;
        if (there_are_several()) kernel_mask(SIG_SETMASK, kernel_had | blocked_in(a, number));
        call_handler_here(a.sa_sigaction, number, &info, &context);
        if (there_are_several()) kernel_mask(SIG_SETMASK, all_signals);
    }
    this_thread_state.inside -= marks;
    if (!rt::in_vforked_child()) handler_returned();
}

} // namespace weft::shim::signals
