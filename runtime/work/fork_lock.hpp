// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/fork.hpp"

#include <weft/detail/spinlock.hpp>

namespace weft::rt {

/// A spinlock of the whole process: in the child of a fork nobody has it, whatever thread of the parent's had.
class fork_lock {
public:
    constexpr fork_lock() noexcept = default;
    void lock() noexcept {
        if (generation_ != fork_generation()) {
            generation_ = fork_generation();
            lock_.reset();
        }
        lock_.lock();
    }
    void unlock() noexcept { lock_.unlock(); }

private:
    spinlock lock_;
    unsigned generation_ = 0;
};

} // namespace weft::rt
