// SPDX-License-Identifier: Apache-2.0
#pragma once

// Calls that wait inside libc, where no name can be intercepted: stdio, system, syslog, NSS and their kin.

#include "core/serve.hpp"

#include "work/kernel_call.hpp"

namespace weft::shim {

/// Runs libc's function of that call so that what waits inside it suspends the calling fiber only.
template <call c, class... A>
auto inner(A... arguments) noexcept {
    return rt::on_kernel_thread([=]() noexcept { return real_of<c>()(arguments...); });
}

} // namespace weft::shim
