// SPDX-License-Identifier: Apache-2.0
#pragma once

// For waits of kernel threads without a hub that are not made by a waiter: nobody's timer ends them.

#include <weft/deadline.hpp>

#include "core/parkable.hpp"

#include <algorithm>

namespace weft::rt {

/// When the wait is to end at the latest: at its deadline, or with a timeout scope that has yet to be thrown.
inline deadline end_of_wait(const parkable& self, deadline d) noexcept {
    std::int64_t until = d.time().time_since_epoch().count();
    for (const timeout_scope* s = self.scopes; s != nullptr && self.deferrals == 0; s = s->outer)
        if (!s->thrown) until = std::min(until, s->expiry.at);
    return deadline::clock::time_point(deadline::clock::duration(until));
}

} // namespace weft::rt
