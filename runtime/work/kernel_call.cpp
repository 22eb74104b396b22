// SPDX-License-Identifier: Apache-2.0
#include "work/kernel_call.hpp"

#include "core/fork.hpp"
#include "core/hub.hpp"
#include "core/interruption.hpp"
#include "core/made_once.hpp"
#include "core/signal_point.hpp"
#include "core/sys.hpp"
#include "core/thread_state.hpp"

#include <weft/detail/waiter.hpp>
#include <weft/detail/workers.hpp>

#include <algorithm>
#include <atomic>
#include <memory>
#include <mutex>

#include <pthread.h>

namespace weft::rt {

constinit signal_function foreign_kick = nullptr;

namespace {

constexpr std::size_t most_threads = 4096;

constinit made_once<workers> all_callers; // a call may be going on when the process ends

workers& callers() { return all_callers.get(most_threads, std::chrono::seconds(10)); }

constinit thread_local std::atomic<int> calls_here{0}; // > 0: this kernel thread makes such a call

void on_kick(int number, siginfo_t* info, void* context) noexcept {
    const bool calls = calls_here.load(std::memory_order_relaxed) > 0;
    if (calls && info->si_code == SI_TKILL && info->si_pid == sys::getpid()) return;
    const int process = sys::getpid();
    if (calls) { // somebody else's: for a thread of the program's, as if this one blocked it
        if (sys::call(SYS_rt_tgsigqueueinfo, process, process, number, sys::arg(info)) != 0)
            sys::call(SYS_tgkill, process, process, number);
        return;
    }
    if (foreign_kick != nullptr) {
        foreign_kick(number, info, context);
        return;
    }
    ::signal(number, SIG_DFL); // as if we had not been here
    sys::call(SYS_tgkill, process, sys::gettid(), number);
}

constinit spinlock kick_lock; // guards whose handler it is; held with all signals blocked
constinit std::atomic<bool> kick_installed{false};

/// In the child of a fork nobody has it.
void free_kick_after_fork() noexcept {
    call_after_fork([]() noexcept { kick_lock.reset(); });
}

void install_kick() noexcept {
    if (kick_installed.load(std::memory_order_acquire)) return;
    free_kick_after_fork();
    const inside_weft inside;
    const std::uint64_t all = ~(std::uint64_t{1} << (SIGSYS - 1)); // which may stand for a system call
    std::uint64_t before = 0;
    sys::call(SYS_rt_sigprocmask, SIG_SETMASK, sys::arg(&all), sys::arg(&before), sizeof all); // past the shim
    kick_lock.lock();
    if (!kick_installed.load(std::memory_order_relaxed)) {
        struct sigaction a {};
        a.sa_sigaction = on_kick;
        a.sa_flags = SA_SIGINFO; // and not SA_RESTART: the call is to fail
        ::sigaction(kick_signal, &a, nullptr);
        kick_installed.store(true, std::memory_order_release);
    }
    kick_lock.unlock();
    sys::call(SYS_rt_sigprocmask, SIG_SETMASK, sys::arg(&before), 0, sizeof before);
}

class call_job final : public work_item {
public:
    call_job(void (*work)(void*) noexcept, void* argument, bool (*goes_on)(void*) noexcept) noexcept
        : work_(work), argument_(argument), goes_on_(goes_on) {}

    void run() noexcept override {
        sigset_t kick;
        sigemptyset(&kick);
        sigaddset(&kick, kick_signal);
        calls_here.store(1, std::memory_order_relaxed);
        thread_.store(sys::gettid(), std::memory_order_release);
        ::pthread_sigmask(SIG_UNBLOCK, &kick, nullptr);
        work_(argument_);
        ::pthread_sigmask(SIG_BLOCK, &kick, nullptr);
        const std::lock_guard hold(lock_); // a kick that is on its way finds this thread alive
        thread_.store(0, std::memory_order_relaxed);
        calls_here.store(0, std::memory_order_relaxed);
    }
    void deliver() noexcept override {
        const std::lock_guard hold(lock_);
        done_ = true;
        waiters_.wake_all();
    }
    void drop() noexcept override {} // in the child of a fork, where nobody waits for it

    /// Suspends the calling fiber until the call has returned, whatever interrupts it.
    void await_unbroken() noexcept {
        constexpr std::chrono::milliseconds look_again{10}; // for signals, while a kill is pending that would end every wait at once
        for (;;) {
            const bool pending = interruption_errno(false) != 0;
            waiter w("a blocking call", this, pending ? interruption::deferred : interruption::allowed);
            w.mark_external();
            const bool goes_on = suspend(w, pending ? deadline(look_again) : deadline());
            // Also at the end: what came before the call returned is handled before anybody hears of that.
            if (run_recorded_signals != nullptr && this_thread_state.running != nullptr && this_thread_state.running->takes_signals())
                run_recorded_signals();
            if (!goes_on) return;
        }
    }

    /// Suspends the calling fiber until the call has returned. What interrupts it makes the call return.
    void await() noexcept {
        bool kicked = interruption_errno(false) != 0; // pending already: only what need not wait goes through
        std::chrono::nanoseconds pause = std::chrono::microseconds(200);
        for (;;) {
            if (kicked) kick();
            waiter w("a blocking call", this, kicked ? interruption::deferred : interruption::allowed);
            w.mark_external();
            wake_reason reason{};
            if (!suspend(w, kicked ? deadline(pause) : deadline(), &reason)) return;
            // A kick is lost where the thread has not yet entered the system call, so it is repeated.
            if (reason == wake_reason::interrupted) kicked = goes_on_ == nullptr || !goes_on_(argument_);
            else if (kicked) pause = std::min<std::chrono::nanoseconds>(pause * 2, std::chrono::milliseconds(20));
        }
    }

private:
    /// False: the call has returned.
    bool suspend(waiter& w, deadline d, wake_reason* reason = nullptr) noexcept {
        lock_.lock();
        if (done_) {
            lock_.unlock();
            w.abandon();
            return false;
        }
        waiters_.push(w.node);
        lock_.unlock();
        const wake_reason how = w.suspend(d);
        if (reason != nullptr) *reason = how;
        const std::lock_guard hold(lock_);
        wait_list::remove(w.node);
        return !done_;
    }
    void kick() noexcept {
        install_kick();
        const std::lock_guard hold(lock_);
        if (const int thread = thread_.load(std::memory_order_acquire); thread != 0)
            sys::call(SYS_tgkill, sys::getpid(), thread, kick_signal);
    }

    void (*const work_)(void*) noexcept;
    void* const argument_;
    bool (*const goes_on_)(void*) noexcept;
    std::atomic<int> thread_{0};
    spinlock lock_; // guards what follows
    bool done_ = false;
    wait_list waiters_;
};

} // namespace

bool change_kick(void (*set)(void*) noexcept, void* argument) noexcept {
    free_kick_after_fork();
    const std::lock_guard hold(kick_lock); // the caller has blocked all signals
    if (kick_installed.load(std::memory_order_relaxed)) return false;
    set(argument);
    return true;
}

bool run_on_kernel_thread(void (*work)(void*) noexcept, void* argument, bool (*goes_on)(void*) noexcept) noexcept {
    try {
        const auto job = std::make_shared<call_job>(work, argument, goes_on);
        callers().submit(job, false);
        job->await();
        return true;
    } catch (const std::exception&) {
        return false;
    }
}

bool run_unbroken_on_kernel_thread(void (*work)(void*) noexcept, void* argument) noexcept {
    try {
        const auto job = std::make_shared<call_job>(work, argument, nullptr);
        callers().submit(job, false);
        job->await_unbroken();
        return true;
    } catch (const std::exception&) {
        return false;
    }
}

} // namespace weft::rt
