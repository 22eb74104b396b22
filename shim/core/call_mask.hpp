// SPDX-License-Identifier: Apache-2.0
#pragma once

// Signal masks that a call puts in force while the main fiber waits in it (pselect, ppoll, epoll_pwait, system). The kernel thread has them, and
// other fibers run on it meanwhile: children that these make must have the program's mask.

#include "core/trap.hpp"

#include <csignal>

#include <pthread.h>

namespace weft::shim {

class call_mask {
public:
    call_mask() noexcept = default;
    call_mask(const call_mask&) = delete;
    call_mask& operator=(const call_mask&) = delete;
    ~call_mask() { end(); }

    void begin(int how, sigset_t set) noexcept {
        trap::let_through(set);
        ::pthread_sigmask(how, &set, &before_);
        call_mask*& innermost = rt::of_carrier(in_force);
        outer_ = innermost;
        innermost = this;
    }
    void end() noexcept {
        call_mask*& innermost = rt::of_carrier(in_force);
        if (innermost != this) return;
        innermost = outer_;
        ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
    }

private:
    friend class program_mask;
    static thread_local constinit call_mask* in_force __attribute__((tls_model("initial-exec")));

    sigset_t before_;
    call_mask* outer_ = nullptr;
};

/// While it lives, the calling kernel thread has the mask that the program knows: for making a child, whose the open descriptors are, too.
class program_mask {
public:
    program_mask() noexcept;
    program_mask(const program_mask&) = delete;
    program_mask& operator=(const program_mask&) = delete;
    ~program_mask() {
        if (used_) ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
    }
    /// In a child, which keeps the program's mask.
    void keep() noexcept;

private:
    bool used_ = false;
    sigset_t before_;
};

} // namespace weft::shim
