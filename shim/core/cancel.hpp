// SPDX-License-Identifier: Apache-2.0
#pragma once

// Where a green thread that somebody has cancelled ends; threads/cancel has the rest. What is asked for stands in the thread's own
// frame (`end_wanted` of thread_state.hpp), so a call that is a cancellation point pays a look at that, before and after.

#include "core/thread_state.hpp"
#include "core/tls_frame.hpp"

namespace weft::shim::cancel {

/// The calling thread has been cancelled, and is about to make a call that is a cancellation point: it ends, or it does not let itself be cancelled now.
void at_entry();
/// The same when such a call returns: it ends if the call was broken off because of it and has done nothing that would be lost.
void at_return(bool has_done_something);

/// In a call that is a cancellation point, where it would wait and no errno says so: true breaks it off.
inline bool breaks_off() noexcept {
    rt::thread_state& here = rt::this_thread_state;
    if (__builtin_expect(here.end_wanted.load(std::memory_order_relaxed), 0) == 0 || here.may_end == 0 || !rt::tls_frame::heeds_end()) return false;
    here.broken_off = 1;
    return true;
}

} // namespace weft::shim::cancel
