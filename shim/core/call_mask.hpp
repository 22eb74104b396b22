// SPDX-License-Identifier: Apache-2.0
#pragma once

// Signal masks that a call puts in force while its thread waits in it (pselect, ppoll, epoll_pwait, system). Without green threads the kernel thread
// has them, and other fibers run on it meanwhile: children that these make must have the program's mask. With green threads a child must have that
// of the thread that makes it.

#include "core/signal_receiver.hpp"
#include "core/trap.hpp"

#include <csignal>

namespace weft::shim {

class call_mask {
public:
    call_mask() noexcept = default;
    call_mask(const call_mask&) = delete;
    call_mask& operator=(const call_mask&) = delete;
    ~call_mask() { end(); }

    /// Handlers of what it lets in have not run yet.
    void begin(int how, sigset_t set) noexcept;
    void end() noexcept;

private:
    friend class program_mask;
    static thread_local constinit call_mask* in_force __attribute__((tls_model("initial-exec")));

    signals::receiver* own_ = nullptr;
    signals::bits before_ = 0;
    call_mask* outer_ = nullptr;
};

/// While it lives, the calling kernel thread has the mask that the program knows: for making a child, whose the open descriptors are, too.
class program_mask {
public:
    program_mask() noexcept;
    program_mask(const program_mask&) = delete;
    program_mask& operator=(const program_mask&) = delete;
    ~program_mask();
    /// In a child, which keeps the program's mask.
    void keep() noexcept;

private:
    bool own_ = false, used_ = false;
    signals::bits before_ = 0;
};

} // namespace weft::shim
