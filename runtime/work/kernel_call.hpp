// SPDX-License-Identifier: Apache-2.0
#pragma once

// A system call that can only block its kernel thread (a record lock, a message queue, waiting for any child) is made on a kernel thread
// of weft's, as many as there are such calls. The calling fiber is suspended until it has returned, whatever happens to the
// fiber: the call may use the caller's memory, and nothing it took is lost. A kill, an expired time-out scope or a signal
// for the main fiber makes the system call fail with EINTR, by a signal to that kernel thread (kick_signal).

#include <weft/export.hpp>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <type_traits>

namespace weft::rt {

/// What interrupts a blocked call; its handler is installed with the first interruption. A program may use the same number.
inline const int kick_signal = SIGRTMAX;

/// The program's own handling of kick_signal, for one that was not ours, on a thread of the program's; set by the shim, null without it.
using signal_function = void (*)(int number, siginfo_t* info, void* context) noexcept;
extern WEFT_API constinit signal_function foreign_kick;

/// Runs `set(argument)`, which gives kick_signal another handler, unless ours is installed: it stays from then on. False: it is. Call it with all
/// signals blocked.
WEFT_API bool change_kick(void (*set)(void*) noexcept, void* argument) noexcept;

/// Runs `work(argument)` on a kernel thread. False: no thread could be made and it has not run. Only the kick_signal is
/// unblocked there. `goes_on`, if any, is asked on the calling fiber when something wants to interrupt it; true: the call is let be.
WEFT_API bool run_on_kernel_thread(void (*work)(void*) noexcept, void* argument, bool (*goes_on)(void*) noexcept = nullptr) noexcept;

/// The same, and nothing that interrupts the fiber interrupts the call: handlers of signals run meanwhile, all else waits for its end.
WEFT_API bool run_unbroken_on_kernel_thread(void (*work)(void*) noexcept, void* argument) noexcept;

/// Says so to on_kernel_thread.
struct unbroken_call {};
inline constexpr unbroken_call unbroken;

/// What `on_kernel_thread` says when there is no thread: what most calls of that type say when they fail.
template <class T>
constexpr T no_kernel_thread() noexcept {
    if constexpr (std::is_pointer_v<T>) return nullptr;
    else if constexpr (std::is_signed_v<T>) return static_cast<T>(-1);
    else return T{}; // a count of what was done
}

/// Runs `call()` on a kernel thread and returns its result, with the errno it left; EAGAIN if there is no thread. `call` gives up on EINTR: who
/// asked for it is for the caller to find out.
template <class F, class GoesOn = std::nullptr_t>
auto on_kernel_thread(F call, GoesOn goes_on = nullptr) noexcept -> decltype(call()) {
    using result_type = decltype(call());
    if constexpr (std::is_void_v<result_type>) {
        on_kernel_thread(
            [&]() noexcept {
                call();
                return 0;
            },
            goes_on);
    } else {
        struct job_type {
            F& call;
            GoesOn& goes_on;
            result_type result;
            int error;
        } job{call, goes_on, {}, errno};
        constexpr bool is_unbroken = std::is_same_v<GoesOn, unbroken_call>;
        bool (*ask)(void*) noexcept = nullptr;
        if constexpr (!is_unbroken && !std::is_null_pointer_v<GoesOn>) ask = [](void* p) noexcept -> bool { return static_cast<job_type*>(p)->goes_on(); };
        auto work = [](void* p) noexcept {
            auto& j = *static_cast<job_type*>(p);
            errno = j.error;
            j.result = j.call();
            j.error = errno;
        };
        const bool ran = is_unbroken ? run_unbroken_on_kernel_thread(work, &job) : run_on_kernel_thread(work, &job, ask);
        errno = ran ? job.error : EAGAIN;
        return ran ? job.result : no_kernel_thread<result_type>();
    }
}

} // namespace weft::rt
