// SPDX-License-Identifier: Apache-2.0
#include "core/call_mask.hpp"

#include "core/descriptor.hpp"

#include "core/hub.hpp"

namespace weft::shim {

thread_local constinit call_mask* call_mask::in_force = nullptr;

program_mask::program_mask() noexcept {
    descriptor::child_begins();
    const call_mask* m = rt::of_carrier(call_mask::in_force);
    const rt::thread_state& here = rt::this_thread_state;
    // A handler that the main fiber runs within its call has the call's mask, as in the kernel.
    if (m == nullptr || here.current_hub == nullptr || here.running == &here.current_hub->main_fiber()) return;
    while (m->outer_ != nullptr) m = m->outer_;
    ::pthread_sigmask(SIG_SETMASK, &m->before_, &before_);
    used_ = true;
}

void program_mask::keep() noexcept {
    used_ = false;
    rt::of_carrier(call_mask::in_force) = nullptr;
}

} // namespace weft::shim
