// SPDX-License-Identifier: Apache-2.0
#pragma once

// Calls that wait inside libc, where no name can be intercepted: stdio, system, syslog, NSS and their kin. Their inner system calls are
// trapped and served; where the kernel cannot do that, the whole call is made on a kernel thread.

#include "core/serve.hpp"
#include "core/signals.hpp"
#include "core/trap.hpp"

#include "core/interruption.hpp"
#include "work/kernel_call.hpp"

namespace weft::shim {

/// Runs libc's function of that call so that what waits inside it suspends the calling fiber only.
template <call c, class... A>
auto inner(A... arguments) {
    if (const trap::trapped here; here) return real_of<c>()(arguments...);
    signals::wait signals;
    return rt::on_kernel_thread([=]() noexcept { return real_of<c>()(arguments...); },
                                [&]() noexcept { return rt::interruption_errno(false) == 0 && !signals.interrupted(true); });
}

} // namespace weft::shim
