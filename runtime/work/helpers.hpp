// SPDX-License-Identifier: Apache-2.0
#pragma once

// weft's helper kernel threads: for calls that can only block (name resolution). Few, made when needed, gone when idle.

#include <weft/detail/waiter.hpp>
#include <weft/detail/workers.hpp>
#include <weft/export.hpp>

#include <memory>

namespace weft::rt {

/// Work for a helper thread. It owns all that it reads and writes: an interrupted fiber leaves before the work ends.
class WEFT_API helper_job : public work_item {
public:
    /// Runs on a helper thread, with every signal blocked.
    void run() noexcept override = 0;

private:
    friend bool run_on_helper(const std::shared_ptr<helper_job>& job);
    void deliver() noexcept final;
    void drop() noexcept final {} // in the child of a fork, where nobody waits for it

    spinlock lock_; // guards what follows
    bool done_ = false;
    wait_list waiters_;
};

/// Has the job run on a helper thread; the calling fiber is suspended meanwhile. False: the fiber was interrupted, and the job
/// goes on without it. Throws std::system_error if there is no helper and none can be made.
WEFT_API bool run_on_helper(const std::shared_ptr<helper_job>& job);

} // namespace weft::rt
