// SPDX-License-Identifier: Apache-2.0
#pragma once

// Calls that can only block a kernel thread: how they are served on one, and fail as POSIX and invariant 7 say.

#include "calls/wait.hpp"

#include "work/kernel_call.hpp"

namespace weft::shim {

/// Makes `call()`, which says -1 and errno when it fails, on a kernel thread, while the calling fiber is suspended. It may be made again
/// after a signal whose handlers have SA_RESTART if it `restarts`, so one with a time limit works it out anew each time.
template <class F>
auto blocking_call(bool restarts, F call) noexcept -> decltype(call()) {
    const errno_of_success success;
    signals::wait signals;
    for (;;) {
        if (const int error = refused_wait(); error != 0) return fail(error);
        const auto result = rt::on_kernel_thread(call);
        if (result != static_cast<decltype(result)>(-1)) return success(result);
        if (errno != EINTR) return result;
        if (const int error = rt::interruption_errno(true); error != 0) return fail(error);
        if (signals.interrupted(restarts)) return fail(EINTR);
    }
}

} // namespace weft::shim
