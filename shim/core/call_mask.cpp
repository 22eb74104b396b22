// SPDX-License-Identifier: Apache-2.0
#include "core/call_mask.hpp"

#include "core/descriptor.hpp"

#include "core/hub.hpp"

namespace weft::shim {

using signals::bits;
using signals::kernel_mask;

thread_local constinit call_mask* call_mask::in_force = nullptr;

void call_mask::begin(int how, sigset_t set) noexcept {
    own_ = signals::own_masks();
    if (own_ != nullptr) {
        before_ = own_->mask;
        const bits wanted = signals::bits_of(set);
        signals::set_mask(*own_, how == SIG_BLOCK ? before_ | wanted : how == SIG_UNBLOCK ? before_ & ~wanted : wanted);
        return;
    }
    trap::let_through(set);
    before_ = kernel_mask(how, signals::bits_of(set));
    call_mask*& innermost = rt::of_carrier(in_force);
    outer_ = innermost;
    innermost = this;
}

void call_mask::end() noexcept {
    if (own_ != nullptr) {
        signals::set_mask(*own_, before_);
        own_ = nullptr;
        return;
    }
    call_mask*& innermost = rt::of_carrier(in_force);
    if (innermost != this) return;
    innermost = outer_;
    kernel_mask(SIG_SETMASK, before_);
}

program_mask::program_mask() noexcept {
    descriptor::child_begins();
    if (const signals::receiver* me = signals::own_masks(); me != nullptr) {
        own_ = true;
        signals::set_kernel_mask(me->mask);
        return;
    }
    const call_mask* m = rt::of_carrier(call_mask::in_force);
    const rt::thread_state& here = rt::this_thread_state;
    // A handler that the main fiber runs within its call has the call's mask, as in the kernel.
    if (m == nullptr || here.current_hub == nullptr || here.running == &here.current_hub->main_fiber()) return;
    while (m->outer_ != nullptr) m = m->outer_;
    before_ = kernel_mask(SIG_SETMASK, m->before_);
    used_ = true;
}

program_mask::~program_mask() {
    if (own_) signals::settle_mask();
    if (used_) kernel_mask(SIG_SETMASK, before_);
}

void program_mask::keep() noexcept {
    if (own_) signals::settle_mask(); // the caller's alone
    own_ = used_ = false;
    rt::of_carrier(call_mask::in_force) = nullptr;
}

} // namespace weft::shim
