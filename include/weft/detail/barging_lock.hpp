// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <weft/detail/waiter.hpp>
#include <weft/export.hpp>

namespace weft::rt {

/// A lock that whoever comes first takes, for a few steps of the program's own code inside an object. It is never handed over, so it is
/// only held by who runs: a mutex would be given to a fiber whose kernel thread may be blocked just then, and stop all others.
/// Waits are not interrupted.
class WEFT_API barging_lock {
public:
    constexpr barging_lock() noexcept = default;
    barging_lock(const barging_lock&) = delete;
    barging_lock& operator=(const barging_lock&) = delete;

    void lock() noexcept;
    void unlock() noexcept;

private:
    spinlock lock_;
    bool held_ = false;
    wait_list waiting_;
};

} // namespace weft::rt
