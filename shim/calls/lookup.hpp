// SPDX-License-Identifier: Apache-2.0
#pragma once

// How a name is looked up: on one of weft's helper kernel threads, which goes on alone when the fiber that asked is interrupted.

#include "calls/resolver_state.hpp"
#include "calls/wait.hpp"

#include "core/interruption.hpp"
#include "work/helpers.hpp"

#include <cerrno>
#include <memory>

namespace weft::shim {

/// A look-up that a helper thread makes. It owns all that it reads and writes, since an interrupted fiber leaves before it ends.
struct lookup : rt::helper_job {
    lookup() noexcept : lookup(resolver::current_state()) {}
    explicit lookup(const resolver::state& s) noexcept { resolver::copy(theirs, s); }

    resolver::state theirs; // of the thread that asks
    int error_number = 0; // errno as the call left it
};

/// Runs it. 0, or the errno with which the calling fiber's call must fail. Handlers of signals run meanwhile and do not end it.
inline int look_up(const std::shared_ptr<lookup>& job) {
    const signals::wait signals;
    if (const int error = refused_wait(); error != 0) return error;
    if (rt::run_on_helper(job)) return 0;
    const int error = rt::interruption_errno(true);
    return error == 0 ? ECANCELED : error;
}

} // namespace weft::shim
