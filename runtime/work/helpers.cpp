// SPDX-License-Identifier: Apache-2.0
#include "work/helpers.hpp"

#include "core/fiber.hpp"
#include "core/interruption.hpp"
#include "core/made_once.hpp"
#include "core/signal_point.hpp"
#include "core/thread_state.hpp"

#include <weft/detail/hand_off.hpp>

namespace weft::rt {

namespace {

constinit made_once<workers> all_helpers; // a helper may be in a call when the process ends

workers& helpers() { return all_helpers.get(8U, std::chrono::seconds(10)); }

} // namespace

void helper_job::deliver() noexcept {
    const std::lock_guard hold(lock_);
    done_ = true;
    waiters_.wake_all();
}

bool run_on_helper(const std::shared_ptr<helper_job>& job) {
    helpers().submit(job, false);
    for (;;) {
        waiter w("a helper thread", job.get());
        w.mark_external();
        job->lock_.lock();
        if (job->done_) {
            job->lock_.unlock();
            w.abandon();
            return true;
        }
        job->waiters_.push(w.node);
        job->lock_.unlock();
        suspend_in(job->lock_, w, {});
        if (interruption_errno(false) != 0) {
            const std::lock_guard hold(job->lock_);
            return job->done_;
        }
        // Woken for a signal's handlers only, if the job is not done.
        const fiber_core* const here = this_thread_state.running;
        if (run_recorded_signals != nullptr && here != nullptr && here->is_main()) run_recorded_signals();
    }
}

} // namespace weft::rt
