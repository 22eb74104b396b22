// SPDX-License-Identifier: Apache-2.0
#include "calls/signal_wait.hpp"

#include "calls/wait.hpp"
#include "core/call_mask.hpp"
#include "core/serve.hpp"
#include "threads/addressed.hpp"

#include "core/private_fd.hpp"
#include "core/sys.hpp"

#include <weft/export.hpp>

#include <algorithm>
#include <new>

#include <pthread.h>
#include <sys/signalfd.h>

namespace weft::shim {

namespace {

using signals::last_number;
constexpr std::size_t kernel_sigset_size = 8; // libc's is longer, and its rest unused
constexpr timespec at_once{};

bool contains(const sigset_t& set, int number) noexcept { return ::sigismember(&set, number) == 1; }

/// Signals that some fibers of a kernel thread need blocked, or let in, while they wait: the first of them changes the thread's mask, the
/// last one changes it back.
class shared_change {
public:
    using counters = std::uint16_t[last_number + 1];

    /// `how` is SIG_BLOCK or SIG_UNBLOCK. Of `wanted` only what is not so already.
    shared_change(int how, sigset_t wanted, counters& users) noexcept : how_(how), users_(users) {
        trap::let_through(wanted);
        const signals::bits now = signals::kernel_mask();
        sigemptyset(&changed_);
        bool any = false;
        for (int n = 1; n <= last_number; ++n) {
            if (!contains(wanted, n) || (users_[n] == 0 && ((now & signals::bit(n)) != 0) == (how == SIG_BLOCK))) continue;
            ++users_[n];
            sigaddset(&changed_, n);
            any = true;
        }
        if (any) signals::kernel_mask(how_, signals::bits_of(changed_));
    }
    shared_change(const shared_change&) = delete;
    shared_change& operator=(const shared_change&) = delete;
    ~shared_change() {
        bool any = false;
        for (int n = 1; n <= last_number; ++n) {
            if (!contains(changed_, n)) continue;
            if (--users_[n] == 0) any = true;
            else sigdelset(&changed_, n);
        }
        if (any) signals::kernel_mask(how_ == SIG_BLOCK ? SIG_UNBLOCK : SIG_BLOCK, signals::bits_of(changed_));
    }

private:
    const int how_;
    counters& users_;
    sigset_t changed_;
};

constinit thread_local shared_change::counters blocked_by __attribute__((tls_model("initial-exec"))){};
constinit thread_local shared_change::counters let_in_by __attribute__((tls_model("initial-exec"))){};

/// A green thread accepts them: they are blocked for it, and who else sees them leaves them to it.
class accepting {
public:
    explicit accepting(const sigset_t& set) noexcept : me_(signals::own_masks()) {
        if (me_ == nullptr) {
            new (room_) shared_change(SIG_BLOCK, set, rt::of_carrier(blocked_by)); // what is not blocked would be handled, and never become pending
            return;
        }
        before_ = me_->mask;
        signals::set_accepted(*me_, signals::bits_of(set));
        signals::set_mask(*me_, before_ | signals::bits_of(set));
    }
    accepting(const accepting&) = delete;
    accepting& operator=(const accepting&) = delete;
    ~accepting() {
        if (me_ == nullptr) {
            reinterpret_cast<shared_change*>(room_)->~shared_change();
            return;
        }
        signals::set_accepted(*me_, 0);
        signals::set_mask(*me_, before_);
    }

private:
    signals::receiver* const me_;
    signals::bits before_ = 0;
    alignas(shared_change) char room_[sizeof(shared_change)];
};

/// What is pending for the calling green thread, or for the process, out of the kernel's sight. 0: nothing.
int take_pending(const sigset_t& set, siginfo_t* info) noexcept {
    signals::receiver* const me = signals::own_masks();
    if (me == nullptr) return 0;
    siginfo_t found;
    {
        const signals::deciding now;
        const signals::bits wanted = signals::bits_of(set);
        if (!me->pending.take(wanted, found) && !signals::shared_arrivals().take(wanted, found)) return 0;
    }
    if (info != nullptr) *info = found;
    return found.si_signo;
}

/// Readable while one of the signals is pending for the kernel thread that asks.
class pending_signals {
public:
    explicit pending_signals(const sigset_t& set) noexcept
        : fd_(rt::make_private(static_cast<int>(std::max(
              -1L, rt::sys::call(SYS_signalfd4, -1, rt::sys::arg(&set), kernel_sigset_size, SFD_CLOEXEC | SFD_NONBLOCK))))) {
        if (fd_ >= 0) rt::readiness::opened(fd_);
    }
    pending_signals(const pending_signals&) = delete;
    pending_signals& operator=(const pending_signals&) = delete;
    ~pending_signals() {
        if (fd_ < 0) return;
        rt::readiness::closing(fd_);
        rt::forget_private(fd_);
    }
    rt::fd_wake await(deadline until) noexcept {
        if (fd_ >= 0) return rt::readiness::wait(fd_, EPOLLIN, until);
        // No descriptor left: look from time to time.
        constexpr std::chrono::milliseconds look_again(5);
        const bool last = !until.is_never() && until.remaining() <= look_again;
        rt::waiter w("a signal");
        w.mark_external();
        const rt::wake_reason reason = w.suspend(last ? until : deadline(look_again));
        if (reason != rt::wake_reason::deadline) return rt::fd_wake::interrupted;
        return last ? rt::fd_wake::deadline : rt::fd_wake::ready;
    }

private:
    int fd_;
};

constexpr bool valid(const timespec& t) noexcept { return t.tv_sec >= 0 && t.tv_nsec >= 0 && t.tv_nsec < 1'000'000'000; }

/// Accepts one of the signals. Another fiber or kernel thread may be faster: then it waits on.
int accept_signal(const sigset_t& set, siginfo_t* info, deadline until) noexcept {
    const errno_of_success success;
    auto attempt = [&] {
        const int number = take_pending(set, info);
        if (number != 0) return number;
        siginfo_t came;
        long taken = 0;
        do taken = rt::sys::call(SYS_rt_sigtimedwait, rt::sys::arg(&set), rt::sys::arg(&came), rt::sys::arg(&at_once), kernel_sigset_size);
        while (taken > 0 && addressed::passed_on(came));
        if (taken > 0 && info != nullptr && !copy_to_caller(info, &came, sizeof came)) return -1;
        return taken < 0 ? fail(static_cast<int>(-taken)) : static_cast<int>(taken);
    };
    if (const int number = attempt(); number > 0 || errno != EAGAIN) return number > 0 ? success(number) : number;
    signals::wait signals;
    const accepting hold(set);
    pending_signals pending(set);
    for (;;) {
        if (const int error = refused_wait(); error != 0) return fail(error);
        const bool expired = until.expired();
        if (expired) rt::yield_quietly();
        const rt::fd_wake woken = expired ? rt::fd_wake::deadline : pending.await(until);
        if (const int number = attempt(); number > 0 || errno != EAGAIN) return number > 0 ? success(number) : number;
        const bool eintr = signals.interrupted(false); // SA_RESTART does not restart this call
        if (woken == rt::fd_wake::deadline) return fail(EAGAIN);
        if (const int error = woken == rt::fd_wake::interrupted ? rt::interruption_errno(true) : 0; error != 0) return fail(error);
        if (eintr) return fail(EINTR);
    }
}

/// Until a handler of its own has run.
int await_own_handler(signals::wait& signals) noexcept {
    for (;;) {
        if (signals.interrupted(false)) return fail(EINTR);
        if (const int error = refused_wait(); error != 0) return fail(error);
        rt::waiter w("a signal's handler");
        w.mark_external();
        w.suspend();
    }
}

/// A fiber that takes no signals: until one has run in the process.
int await_any_handler() noexcept {
    signals::handler_watch watch;
    for (;;) {
        if (const int error = refused_wait(); error != 0) return fail(error);
        if (watch.has_run()) return fail(EINTR);
        watch.await();
    }
}

} // namespace

namespace signal_wait {

int timed_wait_by_number(const sigset_t* set, siginfo_t* info, const timespec* timeout) noexcept {
    sigset_t wanted{};
    timespec t{};
    deadline until;
    const int saved_errno = errno;
    if (!copy_from_caller(&wanted, set, kernel_sigset_size)) return -1;
    if (timeout != nullptr) {
        if (!copy_from_caller(&t, timeout, sizeof t)) return -1;
        if (!valid(t)) return fail(EINVAL);
        if (std::chrono::seconds(t.tv_sec) < std::chrono::hours(24 * 365 * 100))
            until = deadline(std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec));
    }
    errno = saved_errno;
    return accept_signal(wanted, info, until);
}

int timed_wait(const sigset_t* set, siginfo_t* info, const timespec* timeout) noexcept {
    const int number = timed_wait_by_number(set, info, timeout);
    if (number > 0 && info != nullptr && info->si_code == SI_TKILL) info->si_code = SI_USER; // as libc says it
    return number;
}

int wait_info(const sigset_t* set, siginfo_t* info) noexcept { return timed_wait(set, info, nullptr); }

int wait(const sigset_t* set, int* number) noexcept {
    int result = 0;
    do result = timed_wait(set, nullptr, nullptr);
    while (result < 0 && errno == EINTR); // as libc: this one is not interrupted, and errno tells of it
    if (result < 0) return errno;
    *number = result;
    return 0;
}

int suspend(const sigset_t* caller_mask) noexcept {
    sigset_t mask{};
    if (!copy_from_caller(&mask, caller_mask, kernel_sigset_size)) return -1;
    signals::wait signals;
    if (signals.takes_signals()) {
        call_mask here;
        here.begin(SIG_SETMASK, mask);
        return await_own_handler(signals);
    }
    sigset_t let_in;
    sigemptyset(&let_in);
    for (int n = 1; n <= last_number; ++n)
        if (!contains(mask, n)) sigaddset(&let_in, n);
    const shared_change here(SIG_UNBLOCK, let_in, rt::of_carrier(let_in_by));
    return await_any_handler();
}

int pause() noexcept {
    signals::wait signals;
    return signals.takes_signals() ? await_own_handler(signals) : await_any_handler();
}

int pause_bsd(int mask) noexcept {
    sigset_t set;
    sigemptyset(&set);
    for (int n = 1; n <= 32; ++n)
        if ((static_cast<unsigned>(mask) >> (n - 1) & 1) != 0) sigaddset(&set, n);
    return suspend(&set);
}

int pause_xpg(int number) noexcept {
    sigset_t set;
    if (::pthread_sigmask(SIG_BLOCK, nullptr, &set) != 0 || sigdelset(&set, number) < 0) return -1;
    return suspend(&set);
}

} // namespace signal_wait

} // namespace weft::shim

using weft::shim::call;
using weft::shim::serve;
namespace signal_wait = weft::shim::signal_wait;

extern "C" {

WEFT_API int sigwait(const sigset_t* set, int* number) { return serve<call::sigwait>(signal_wait::wait, set, number); }
WEFT_API int sigwaitinfo(const sigset_t* set, siginfo_t* info) {
    return serve<call::sigwaitinfo>(signal_wait::wait_info, set, info);
}
WEFT_API int sigtimedwait(const sigset_t* set, siginfo_t* info, const timespec* timeout) {
    return serve<call::sigtimedwait>(signal_wait::timed_wait, set, info, timeout);
}
WEFT_API int sigsuspend(const sigset_t* mask) { return serve<call::sigsuspend>(signal_wait::suspend, mask); }
WEFT_API int __sigsuspend(const sigset_t* mask) { return serve<call::__sigsuspend>(signal_wait::suspend, mask); }
WEFT_API int pause() { return serve<call::pause>(signal_wait::pause); }
WEFT_API int __xpg_sigpause(int number) { return serve<call::__xpg_sigpause>(signal_wait::pause_xpg, number); }
WEFT_API int __sigpause(int number_or_mask, int is_number) {
    return serve<call::__sigpause>([](int n, int number) noexcept {
                                       return number != 0 ? signal_wait::pause_xpg(n) : signal_wait::pause_bsd(n);
                                   },
                                   number_or_mask, is_number);
}
// The header gives the name sigpause to the X/Open function; the symbol of that name is BSD's.
WEFT_API int weft_bsd_sigpause(int mask) __asm__("sigpause");
WEFT_API int weft_bsd_sigpause(int mask) { return serve<call::sigpause>(signal_wait::pause_bsd, mask); }

} // extern "C"
