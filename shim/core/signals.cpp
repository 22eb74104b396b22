// SPDX-License-Identifier: Apache-2.0
#include "core/signals.hpp"

#include "core/alternate_stack.hpp"
#include "core/signal_actions.hpp"
#include "core/signal_handlers.hpp"
#include "core/signal_nudge.hpp"
#include "core/signal_receiver.hpp"
#include "core/trap.hpp"
#include "threads/addressed.hpp"
#include "threads/exit.hpp"

#include "core/signal_point.hpp"
#include "core/sys.hpp"
#include "work/kernel_call.hpp"

#include <pthread.h>
#include <ucontext.h>

namespace weft::shim::signals {

namespace {

using rt::this_thread_state;

/// At an interruption point of weft's own.
void run_meanwhile() noexcept {
    receiver* const me = self();
    if (me == nullptr || !me->attention.load(std::memory_order_relaxed)) return;
    const bool waiting = me->waiting;
    me->waiting = false;
    run_pending(*me, false);
    me->waiting = waiting;
}

/// This kernel thread is in the midst of a decision: it comes again afterwards.
bool postpone(int number, siginfo_t& info, ucontext_t& context) noexcept {
    kernel_side& k = rt::of_carrier(kernel_side_here);
    if (k.deciding == 0 || (is_fault(number) && info.si_code > 0)) return false;
    rt::sys::call(SYS_rt_tgsigqueueinfo, rt::sys::getpid(), rt::sys::gettid(), number, rt::sys::arg(&info));
    k.postponed |= bit(number);
    k.mask = bits_of(context.uc_sigmask) | bit(number);
    put_bits(context.uc_sigmask, k.mask);
    return true;
}

/// Main fibers take signals, by the mask of their kernel thread.
void arrives_for_main(int number, siginfo_t& info, ucontext_t& context, rt::hub& h) noexcept {
    const rt::fiber_core* const running = this_thread_state.running;
    const bool on_hub = running == nullptr || h.owns_stack_at(static_cast<std::uintptr_t>(context.uc_mcontext.gregs[REG_RSP]));
    receiver& main = rt::of_carrier(mine);
    rt::carrier_state().signals = true; // also where the handler runs at once: the main fiber may wait, or be about to
    if (!on_hub && (running != &h.main_fiber() || !main.waiting)) {
        run_handler_here(self(), number, info, context, 0, true);
        return;
    }
    {
        deciding now;
        record(&main, info, true);
    }
    if (on_hub) h.rouse();
}

/// Who runs here takes it at once; another one is roused.
void arrives_for_one(int number, siginfo_t& info, ucontext_t& context, rt::hub* h) noexcept {
    const rt::thread_state& came_on = rt::carrier_state();
    const bool in_weft = came_on.within;
    const trap::untrapped here;
    const bits kernel_had = kernel_mask(SIG_SETMASK, ~bit(SIGSYS));
    const bool on_hub = h != nullptr && h->owns_stack_at(static_cast<std::uintptr_t>(context.uc_mcontext.gregs[REG_RSP]));
    receiver* const running = on_hub ? nullptr : self();
    const bool sent = info.si_code <= 0;
    bool at_once = is_fault(number) && !sent;
    receiver* elsewhere = nullptr;
    if (is_nudge(info)) {
        if (running != nullptr && !running->waiting && !in_weft && running->attention.load(std::memory_order_relaxed))
            run_pending(*running, true);
        kernel_mask(SIG_SETMASK, ~bit(SIGSYS));
    } else if (!at_once) {
        deciding now;
        now.leave_mask();
        const bool to_us = number == SIGABRT && info.si_code == SI_TKILL && info.si_pid == rt::sys::getpid(); // abort
        const bool let_in = (bits_of(context.uc_sigmask) & bit(number)) != 0;
        receiver* to = nullptr;
        const bool for_one = addressed::find(info, to);
        if (!for_one) to = running != nullptr && (to_us || let_in) ? running : choose(number, info, running);
        at_once = to != nullptr && to == running && (!running->waiting || number == SIGABRT) &&
                  (!for_one || let_in || (to->mask & bit(number)) == 0);
        if (!at_once && for_one) addressed::keep(to, info);
        else if (!at_once) record(to, info, true);
        if (to != nullptr && !at_once && (to->mask & bit(number)) == 0 && runs_elsewhere(*to) != 0) elsewhere = to;
    }
    if (elsewhere != nullptr) nudge_there(*elsewhere, number);
    if (at_once) run_handler_here(running, number, info, context, kernel_had, in_weft);
    returns_from(came_on, context);
    put_bits(context.uc_sigmask, common_mask());
    rt::of_carrier(kernel_side_here).mask = common_mask();
}

/// A kick_signal that was not the runtime's: as the kernel would do with it, had it the program's action.
void on_foreign_kick(int number, siginfo_t* info, void* context) noexcept {
    const struct sigaction a = wanted_action(number);
    if (a.sa_handler == SIG_IGN) return;
    if (!is_handler(a)) {
        reset_action(number);
        rt::sys::call(SYS_tgkill, rt::sys::getpid(), rt::sys::gettid(), number); // when this handler has returned
        return;
    }
    if (several.load(std::memory_order_relaxed)) {
        on_signal(number, info, context);
        return;
    }
    const bits before = kernel_mask(SIG_BLOCK, bits_of(a.sa_mask));
    if ((a.sa_flags & SA_NODEFER) != 0) kernel_mask(SIG_UNBLOCK, bit(number));
    const std::uint32_t ran = rt::of_carrier(mine).ran;
    on_signal(number, info, context);
    if ((static_cast<unsigned>(a.sa_flags) & SA_RESETHAND) != 0 && rt::of_carrier(mine).ran != ran) drop_action(number);
    kernel_mask(SIG_SETMASK, before);
}

} // namespace

void on_signal(int number, siginfo_t* info, void* p) noexcept {
    auto& context = *static_cast<ucontext_t*>(p);
    rt::hub* const h = rt::hub::current();
    if (rt::in_vforked_child() || (h == nullptr && this_thread_state.thread == nullptr)) {
        run_handler_here(nullptr, number, *info, context, bits_of(context.uc_sigmask), true);
        return;
    }
    if (postpone(number, *info, context)) return;
    if (several.load(std::memory_order_relaxed)) arrives_for_one(number, *info, context, h);
    else arrives_for_main(number, *info, context, *h);
    ending::after_handler(p);
}

void wait::begin() noexcept {
    if (me_->attention.load(std::memory_order_relaxed)) run_pending(*me_, false);
    rt::carrier_state().signals = false;
    ran_ = me_->ran;
    plain_ = me_->plain;
    me_->waiting = true;
}

bool wait::interrupted(bool restarts) noexcept {
    if (me_ == nullptr) return false;
    me_->waiting = false;
    if (me_->attention.load(std::memory_order_relaxed)) run_pending(*me_, false);
    const bool any = me_->ran != ran_, plain = me_->plain != plain_;
    ran_ = me_->ran;
    plain_ = me_->plain;
    me_->waiting = true;
    return restarts ? plain : any;
}

void wait::end() noexcept {
    me_->waiting = false;
    if (me_->attention.load(std::memory_order_relaxed)) run_pending(*me_, false);
}

void threads_begin(rt::fiber_core& main) noexcept {
    if (several.load(std::memory_order_relaxed)) return;
    begin_several(main);
    take_over_actions();
}

bits mask_to_inherit() noexcept {
    const receiver* const me = own_masks();
    return me == nullptr ? kernel_mask() : me->mask;
}

void thread_begins() noexcept {
    receiver* const me = own_masks();
    if (me != nullptr) settle_mask(); // it may be the first of its hub to take this or that
    if (me != nullptr && me->attention.load(std::memory_order_relaxed)) run_pending(*me, true);
}

void carrier_begins() noexcept {
    if (!several.load(std::memory_order_relaxed)) return;
    rt::of_carrier(kernel_side_here).mask = ~common_mask(); // it was changed without us
    settle_mask();
}

void after_fork() noexcept {
    actions_after_fork();
    receivers_after_fork();
    addressed::after_fork();
    handler_watch_after_fork();
}

void initialise() noexcept {
    find_code_ranges();
    rt::run_recorded_signals = run_meanwhile;
    rt::foreign_kick = on_foreign_kick;
    ::pthread_atfork(nullptr, nullptr, &after_fork);
}

} // namespace weft::shim::signals
