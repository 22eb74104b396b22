// SPDX-License-Identifier: Apache-2.0
#include "calls/children.hpp"

#include "calls/fd.hpp"
#include "core/after_fork.hpp"
#include "core/call_mask.hpp"
#include "core/descriptor.hpp"
#include "core/real.hpp"
#include "core/serve.hpp"
#include "threads/futex.hpp"

#include "core/thread_state.hpp"

#include <cstddef>

namespace weft::shim::process {

namespace {

using rt::this_thread_state;

// vfork.S has these numbers.
static_assert(offsetof(rt::thread_state, inside) == 16 && offsetof(rt::thread_state, carrier) == 56 &&
              offsetof(rt::thread_state, selector) == 73 && rt::vforked == 0x10000);

struct start {
    int (*function)(void*);
    void* argument;
};

int begin_in_child(void* p) {
    const start s = *static_cast<start*>(p);
    after_bare_fork();
    return s.function(s.argument);
}

} // namespace

pid_t fork(pid_t (*real_fork)()) noexcept {
    if (rt::in_vforked_child()) return real_fork();
    program_mask here;
    const pid_t child = real_fork();
    if (child == 0) here.keep();
    return child;
}

pid_t bare_fork() noexcept {
    if (rt::in_vforked_child()) return real()._Fork();
    program_mask here;
    const pid_t child = real()._Fork();
    if (child == 0) {
        here.keep();
        after_bare_fork();
    }
    return child;
}

int clone(int (*function)(void*), void* stack, int flags, void* argument, pid_t* parent_tid, void* tls, pid_t* child_tid) noexcept {
    if (function == nullptr || rt::in_vforked_child() || (flags & CLONE_SETTLS) != 0)
        return real().clone(function, stack, flags, argument, parent_tid, tls, child_tid);
    if ((flags & CLONE_VM) == 0) { // the child has a copy of this frame
        start s{function, argument};
        const program_mask here;
        return real().clone(begin_in_child, stack, flags, &s, parent_tid, tls, child_tid);
    }
    descriptor::child_begins();
    if ((flags & CLONE_VFORK) == 0) futex::others_begin();
    // As vfork; without CLONE_VFORK both run at once on one thread_state, and nobody can tell them apart.
    const int mark = (flags & CLONE_VFORK) != 0 ? rt::vforked : 0;
    this_thread_state.inside += mark;
    const int child = real().clone(function, stack, flags, argument, parent_tid, tls, child_tid);
    this_thread_state.inside -= mark;
    return child;
}

int standard_replaced(int result) noexcept {
    for (int i = 0; i < 3 && result == 0; ++i) fd::made(i);
    return result;
}

int open_pty(int* master, int* slave, char* name, const termios* settings, const winsize* size) noexcept {
    const int result = real().openpty(master, slave, name, settings, size);
    const int both[2] = {result == 0 ? *master : -1, result == 0 ? *slave : -1};
    return fd::made_pair(result, both);
}

int fork_pty(int* master, char* name, const termios* settings, const winsize* size) noexcept {
    program_mask here;
    const int child = real().forkpty(master, name, settings, size);
    if (child == 0) {
        here.keep();
        standard_replaced(0);
    } else if (child > 0) {
        fd::made(*master);
    }
    return child;
}

int login_tty(int fd) noexcept {
    if (fd > 2) descriptor::closing(fd);
    return standard_replaced(real().login_tty(fd));
}

} // namespace weft::shim::process

// For vfork.S, where there are green threads: the kernel thread's mask is the caller's until the parent goes on.
extern "C" {

[[gnu::visibility("hidden")]] void weft_before_vfork() noexcept {
    if (const auto* me = weft::shim::signals::own_masks(); me != nullptr) weft::shim::signals::set_kernel_mask(me->mask);
}
[[gnu::visibility("hidden")]] void weft_after_vfork() noexcept {
    if (weft::shim::signals::own_masks() != nullptr) weft::shim::signals::settle_mask();
}

} // extern "C"
