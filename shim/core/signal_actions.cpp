// SPDX-License-Identifier: Apache-2.0
#include "core/signal_actions.hpp"

#include "core/gate.hpp"
#include "core/real.hpp"
#include "core/signal_receiver.hpp"
#include "core/signals.hpp"
#include "core/trap.hpp"

#include "core/overflow.hpp"
#include "work/kernel_call.hpp"
#include <weft/detail/spinlock.hpp>

#include <atomic>
#include <cerrno>

namespace weft::shim::signals {

namespace {

/// The program's action for one signal. Read in handlers: a sequence lock, whose writer blocks all signals.
struct entry {
    std::atomic<std::uint32_t> version{0};
    struct sigaction action {};
};
constinit entry table[last_number + 1];
constinit rt::spinlock table_lock;
constinit std::atomic<std::uint64_t> interrupting{0}; // siginterrupt: a bit a signal

void set_wanted(int number, const struct sigaction& a) noexcept {
    entry& e = table[number];
    e.version.fetch_add(1, std::memory_order_acq_rel);
    e.action = a;
    e.version.fetch_add(1, std::memory_order_release);
}

/// By way of our handler. Without green threads not what the running code brings upon itself: that stays between the program and the kernel.
bool is_ours(int number) noexcept {
    if (number <= 0 || number > last_number || number == SIGSYS) return false;
    return several.load(std::memory_order_relaxed) || (!is_fault(number) && number != SIGABRT);
}

bool is_on_signal(const struct sigaction& a) noexcept { return (a.sa_flags & SA_SIGINFO) != 0 && a.sa_sigaction == on_signal; }

/// What the kernel is told for a handler of the program.
struct sigaction given_for(int number, const struct sigaction& asked) noexcept {
    struct sigaction given = asked;
    given.sa_sigaction = on_signal;
    given.sa_flags |= SA_SIGINFO;
    if (several.load(std::memory_order_relaxed)) {
        given.sa_flags &= ~static_cast<int>(SA_RESETHAND) & ~SA_NODEFER;
        // The alternate stack that the kernel knows is weft's: for faults, which may be of a stack that is used up. Else it must not
        // be used, since a thread may be suspended within its handler.
        if (!is_fault(number)) given.sa_flags &= ~SA_ONSTACK;
    }
    sigdelset(&given.sa_mask, SIGSYS); // it may have interrupted trapped code
    return given;
}

} // namespace

struct sigaction wanted_action(int number) noexcept {
    const entry& e = table[number];
    for (;;) {
        const std::uint32_t before = e.version.load(std::memory_order_acquire);
        struct sigaction copy = e.action;
        std::atomic_thread_fence(std::memory_order_acquire);
        if (before % 2 == 0 && e.version.load(std::memory_order_relaxed) == before) return copy;
    }
}

namespace {

/// What is ignored from now on is pending no more.
void drop_ignored(int number, const struct sigaction& a) noexcept {
    const bool ignored = a.sa_handler == SIG_IGN || number == SIGCHLD || number == SIGURG || number == SIGWINCH || number == SIGCONT;
    if (ignored && several.load(std::memory_order_relaxed)) drop_pending(bit(number));
}

/// A child of vfork changes what the kernel knows of it, and nothing that its parent knows.
int vforked_action(int number, const struct sigaction* wanted, struct sigaction* old) noexcept {
    const int result = real().sigaction(number, wanted, old);
    if (result == 0 && old != nullptr && is_on_signal(*old)) *old = wanted_action(number);
    return result;
}

} // namespace

int action(int number, const struct sigaction* wanted, struct sigaction* old) noexcept {
    if (rt::in_vforked_child()) return vforked_action(number, wanted, old);
    if (number == SIGSYS) return trap::action(wanted, old);
    const trap::untrapped here;
    const bool weft_asks = !program_asks();
    if (weft_asks || !is_ours(number)) {
        struct sigaction passing {};
        if (wanted != nullptr && trap::traps_fibers()) {
            passing = *wanted;
            sigdelset(&passing.sa_mask, SIGSYS);
            wanted = &passing;
        }
        const int result = real().sigaction(number, wanted, old);
        if (result == 0 && old != nullptr && !weft_asks && rt::reports_overflow(*old)) *old = {};
        return result;
    }
    struct sigaction asked {}, given {}, kernel_had {};
    if (wanted != nullptr) asked = given = *wanted;
    const bool ours = wanted != nullptr && is_handler(asked) && gate::is_on(family::signal);
    if (ours) given = given_for(number, asked);
    const bits before = kernel_mask(SIG_SETMASK, ~bit(SIGSYS));
    table_lock.lock();
    const struct sigaction had = table[number].action;
    if (wanted != nullptr) set_wanted(number, asked);
    int result = 0;
    bool kicks = false; // the kernel keeps the runtime's handler, which asks for what the table says
    auto set = [&]() noexcept { result = real().sigaction(number, wanted == nullptr ? nullptr : &given, &kernel_had); };
    if (number != rt::kick_signal) set();
    else kicks = !rt::change_kick([](void* f) noexcept { (*static_cast<decltype(set)*>(f))(); }, &set);
    if (result != 0 && wanted != nullptr) set_wanted(number, had);
    table_lock.unlock();
    kernel_mask(SIG_SETMASK, before);
    if (result == 0 && wanted != nullptr && !is_handler(asked)) drop_ignored(number, asked);
    if (result == 0 && old != nullptr) *old = kicks || is_on_signal(kernel_had) ? had : kernel_had;
    if (result == 0 && old != nullptr && rt::reports_overflow(*old)) *old = {};
    return result;
}

void reset_action(int number) noexcept {
    const int saved_errno = errno;
    struct sigaction standard {};
    table_lock.lock();
    set_wanted(number, standard);
    real().sigaction(number, &standard, nullptr);
    table_lock.unlock();
    errno = saved_errno;
}

void drop_action(int number) noexcept { set_wanted(number, {}); }

void take_over_actions() noexcept {
    const int saved_errno = errno;
    const bits before = kernel_mask(SIG_SETMASK, ~bit(SIGSYS));
    table_lock.lock();
    for (int n = 1; n <= last_number; ++n) {
        struct sigaction had {};
        if (n == SIGSYS || n == rt::kick_signal || (bit(n) & (unblockable | libcs_own)) != 0) continue;
        if (real().sigaction(n, nullptr, &had) != 0) continue;
        const bool fault = is_fault(n) || n == SIGABRT;
        if (fault && is_handler(had) && !is_on_signal(had) && !rt::reports_overflow(had)) set_wanted(n, had);
        else if (!is_on_signal(had)) continue;
        const struct sigaction given = given_for(n, table[n].action);
        real().sigaction(n, &given, nullptr);
    }
    table_lock.unlock();
    kernel_mask(SIG_SETMASK, before);
    errno = saved_errno;
}

void actions_after_fork() noexcept {
    table_lock.reset();
    for (entry& e : table) // one that was being written is as it is by now
        if (e.version.load(std::memory_order_relaxed) % 2 != 0) e.version.fetch_add(1, std::memory_order_relaxed);
}

sighandler_t simple_action(int number, sighandler_t handler, int flags) noexcept {
    struct sigaction a {}, old {};
    if (handler == SIG_ERR || number < 1 || number > last_number) {
        errno = EINVAL;
        return SIG_ERR;
    }
    a.sa_handler = handler;
    a.sa_flags = flags;
    if ((flags & SA_NODEFER) == 0) sigaddset(&a.sa_mask, number);
    if ((interrupting.load(std::memory_order_relaxed) >> (number - 1) & 1) != 0) a.sa_flags &= ~SA_RESTART;
    return action(number, &a, &old) < 0 ? SIG_ERR : old.sa_handler;
}

int interrupts(int number, bool does) noexcept {
    struct sigaction a {};
    if (action(number, nullptr, &a) < 0) return -1;
    if (does) {
        interrupting.fetch_or(bit(number), std::memory_order_relaxed);
        a.sa_flags &= ~SA_RESTART;
    } else {
        interrupting.fetch_and(~bit(number), std::memory_order_relaxed);
        a.sa_flags |= SA_RESTART;
    }
    return action(number, &a, nullptr);
}

} // namespace weft::shim::signals
