// SPDX-License-Identifier: Apache-2.0
#include "calls/signal_mask.hpp"

#include "calls/wait.hpp"
#include "core/alternate_stack.hpp"
#include "core/serve.hpp"
#include "core/signal_handlers.hpp"
#include "core/signals.hpp"

#include <weft/export.hpp>

namespace weft::shim::signal_mask {

namespace {

using signals::bits;
using signals::bits_of;
using signals::receiver;

/// The calling green thread, unless it is weft that asks.
receiver* asking() noexcept { return signals::program_asks() ? signals::own_masks() : nullptr; }

/// What was pending and is not blocked any more has been handled when it returns.
void set_own(receiver& me, bits mask) noexcept {
    signals::set_mask(me, mask);
    if (me.attention.load(std::memory_order_relaxed)) signals::run_pending(me, true);
}

/// False: `how` is none.
bool changed(bits& mask, int how, bits set) noexcept {
    switch (how) {
    case SIG_BLOCK: mask |= set; return true;
    case SIG_UNBLOCK: mask &= ~set; return true;
    case SIG_SETMASK: mask = set; return true;
    default: return false;
    }
}

bits bsd_bits(int mask) noexcept { return static_cast<std::uint32_t>(mask); }
int bsd_mask(bits mask) noexcept { return static_cast<int>(static_cast<std::uint32_t>(mask)); }
bool is_number(int number) noexcept { return number > 0 && number <= signals::last_number && (signals::bit(number) & signals::libcs_own) == 0; }

} // namespace

int change(int how, const sigset_t* set, sigset_t* old) noexcept {
    receiver* const me = asking();
    if (me == nullptr) {
        sigset_t passing{};
        if (set != nullptr) passing = *set;
        if (how != SIG_UNBLOCK) trap::let_through(passing);
        return real().pthread_sigmask(how, set == nullptr ? nullptr : &passing, old);
    }
    const bits before = me->mask;
    if (set != nullptr) {
        bits mask = before;
        if (!changed(mask, how, bits_of(*set) & ~signals::libcs_own)) return EINVAL;
        set_own(*me, mask);
    }
    if (old != nullptr) {
        sigemptyset(old);
        signals::put_bits(*old, before);
    }
    return 0;
}

int change_errno(int how, const sigset_t* set, sigset_t* old) noexcept {
    const int error = change(how, set, old);
    return error == 0 ? 0 : fail(error);
}

long change_by_number(long how, const void* set, void* old, std::size_t size) noexcept {
    receiver* const me = asking();
    if (me == nullptr) return rt::sys::call(SYS_rt_sigprocmask, how, rt::sys::arg(set), rt::sys::arg(old), static_cast<long>(size));
    if (size != signals::mask_size) return -EINVAL;
    const int saved_errno = errno;
    bits wanted = 0, mask = me->mask;
    const bits before = mask;
    long result = 0;
    if (set != nullptr && !copy_from_caller(&wanted, set, sizeof wanted)) result = -EFAULT;
    else if (set != nullptr && !changed(mask, static_cast<int>(how), wanted)) result = -EINVAL;
    if (result == 0) set_own(*me, mask);
    if (result == 0 && old != nullptr && !copy_to_caller(old, &before, sizeof before)) result = -EFAULT;
    errno = saved_errno;
    return result;
}

int pending(sigset_t* set) noexcept {
    const int result = real().sigpending(set);
    const receiver* const me = asking();
    if (result != 0 || me == nullptr) return result;
    const signals::deciding now;
    signals::put_bits(*set, (bits_of(*set) | me->pending.numbers() | signals::shared_arrivals().numbers()) & me->mask);
    return 0;
}

long pending_by_number(void* set, std::size_t size) noexcept {
    const receiver* const me = size <= sizeof(bits) ? asking() : nullptr;
    if (me == nullptr) return rt::sys::call(SYS_rt_sigpending, rt::sys::arg(set), static_cast<long>(size));
    sigset_t all;
    if (pending(&all) != 0) return -errno;
    const bits found = bits_of(all);
    return copy_to_caller(set, &found, size) ? 0 : -EFAULT;
}

int hold(int number) noexcept {
    if (asking() == nullptr || !is_number(number)) return real().sighold(number);
    sigset_t one{};
    signals::put_bits(one, signals::bit(number));
    return change_errno(SIG_BLOCK, &one, nullptr);
}

int release(int number) noexcept {
    if (asking() == nullptr || !is_number(number)) return real().sigrelse(number);
    sigset_t one{};
    signals::put_bits(one, signals::bit(number));
    return change_errno(SIG_UNBLOCK, &one, nullptr);
}

int ignore(int number) noexcept {
    struct sigaction a {};
    a.sa_handler = SIG_IGN;
    return signals::action(number, &a, nullptr);
}

sighandler_t set_disposition(int number, sighandler_t disposition) noexcept {
    if (!is_number(number) || disposition == SIG_ERR) {
        errno = EINVAL;
        return SIG_ERR;
    }
    struct sigaction a {}, had {};
    sigset_t one{}, before;
    signals::put_bits(one, signals::bit(number));
    if (disposition == SIG_HOLD) {
        if (change_errno(SIG_BLOCK, &one, &before) < 0) return SIG_ERR;
        if (::sigismember(&before, number) == 1) return SIG_HOLD;
        return signals::action(number, nullptr, &had) < 0 ? SIG_ERR : had.sa_handler;
    }
    a.sa_handler = disposition;
    if (signals::action(number, &a, &had) < 0 || change_errno(SIG_UNBLOCK, &one, &before) < 0) return SIG_ERR;
    return ::sigismember(&before, number) == 1 ? SIG_HOLD : had.sa_handler;
}

int block_bsd(int mask) noexcept {
    receiver* const me = asking();
    if (me == nullptr) return real().sigblock(mask);
    const bits before = me->mask;
    set_own(*me, before | bsd_bits(mask));
    return bsd_mask(before);
}

int set_bsd(int mask) noexcept {
    receiver* const me = asking();
    if (me == nullptr) return real().sigsetmask(mask);
    const bits before = me->mask;
    set_own(*me, bsd_bits(mask));
    return bsd_mask(before);
}

} // namespace weft::shim::signal_mask

using weft::shim::call;
using weft::shim::serve_thread;
namespace policy = weft::shim::signal_mask;

extern "C" {

WEFT_API int pthread_sigmask(int how, const sigset_t* set, sigset_t* old) noexcept {
    return serve_thread<call::pthread_sigmask>(policy::change, how, set, old);
}
WEFT_API int sigprocmask(int how, const sigset_t* set, sigset_t* old) noexcept {
    return serve_thread<call::sigprocmask>(policy::change_errno, how, set, old);
}
WEFT_API int sigpending(sigset_t* set) noexcept { return serve_thread<call::sigpending>(policy::pending, set); }
WEFT_API int sighold(int number) noexcept { return serve_thread<call::sighold>(policy::hold, number); }
WEFT_API int sigrelse(int number) noexcept { return serve_thread<call::sigrelse>(policy::release, number); }
WEFT_API int sigignore(int number) noexcept { return serve_thread<call::sigignore>(policy::ignore, number); }
WEFT_API sighandler_t sigset(int number, sighandler_t disposition) noexcept {
    return serve_thread<call::sigset>(policy::set_disposition, number, disposition);
}
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
WEFT_API int sigblock(int mask) noexcept { return serve_thread<call::sigblock>(policy::block_bsd, mask); }
WEFT_API int sigsetmask(int mask) noexcept { return serve_thread<call::sigsetmask>(policy::set_bsd, mask); }
WEFT_API int siggetmask() noexcept {
    return serve_thread<call::siggetmask>([]() noexcept { return policy::block_bsd(0); });
}
#pragma GCC diagnostic pop

} // extern "C"
