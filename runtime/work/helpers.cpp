// SPDX-License-Identifier: Apache-2.0
#include "work/helpers.hpp"

#include "core/registry.hpp"
#include "core/thread_state.hpp"

#include <csignal>
#include <mutex>
#include <thread>
#include <utility>

#include <pthread.h>

namespace weft::rt {

/// The queue and the threads. Never destroyed: a helper may be in a call when the process ends.
class helper_threads {
public:
    void enqueue(std::shared_ptr<helper_job> job);
    static bool await(helper_job& job);

    static helper_threads& instance() {
        static helper_threads* const pool = new helper_threads;
        return *pool;
    }

private:
    static constexpr int most = 8;
    static constexpr auto idle_time = std::chrono::seconds(10);

    helper_threads() {
        ::pthread_atfork(nullptr, nullptr, [] { instance().after_fork(); });
    }
    void start_thread();
    void serve() noexcept;
    std::shared_ptr<helper_job> take() noexcept;
    void after_fork() noexcept;

    spinlock lock_; // guards what follows
    std::shared_ptr<helper_job> first_;
    helper_job* last_ = nullptr;
    wait_list idle_;
    int threads_ = 0;
};

void helper_threads::enqueue(std::shared_ptr<helper_job> job) {
    bool start = false;
    {
        const std::lock_guard hold(lock_);
        helper_job* added = job.get();
        (last_ == nullptr ? first_ : last_->next_) = std::move(job);
        last_ = added;
        if (idle_.wake_one() == nullptr && threads_ < most) {
            ++threads_;
            start = true;
        }
    }
    if (!start) return;
    try {
        start_thread();
    } catch (...) {
        const std::lock_guard hold(lock_);
        --threads_;
        if (threads_ > 0) return; // the others will come to it
        first_.reset();
        last_ = nullptr;
        throw;
    }
}

void helper_threads::start_thread() {
    const inside_weft inside;
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    try {
        std::thread([this] { serve(); }).detach();
    } catch (...) {
        ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
        throw;
    }
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

std::shared_ptr<helper_job> helper_threads::take() noexcept {
    for (;;) {
        lock_.lock();
        if (first_ != nullptr) {
            std::shared_ptr<helper_job> job = std::move(first_);
            first_ = std::move(job->next_);
            if (first_ == nullptr) last_ = nullptr;
            lock_.unlock();
            return job;
        }
        waiter w("a job", this);
        idle_.push(w.node);
        lock_.unlock();
        const wake_reason reason = w.suspend(idle_time);
        const std::lock_guard hold(lock_);
        wait_list::remove(w.node);
        if (reason == wake_reason::woken || first_ != nullptr) continue;
        --threads_;
        return nullptr;
    }
}

void helper_threads::serve() noexcept {
    const helper_thread mark;
    while (const std::shared_ptr<helper_job> job = take()) {
        job->run();
        {
            const std::lock_guard hold(job->lock_);
            job->done_ = true;
            job->waiters_.wake_all();
        }
        job_ends();
    }
}

bool helper_threads::await(helper_job& job) {
    job.lock_.lock();
    if (job.done_) {
        job.lock_.unlock();
        return true;
    }
    waiter w("a helper thread", &job);
    w.mark_external();
    job.waiters_.push(w.node);
    job.lock_.unlock();
    w.suspend();
    const std::lock_guard hold(job.lock_);
    wait_list::remove(w.node);
    return job.done_;
}

void helper_threads::after_fork() noexcept {
    lock_.reset();
    idle_.forget();
    threads_ = 0;
    last_ = nullptr;
    // The parent's jobs: their fibers do not exist here.
    while (first_ != nullptr) first_ = std::move(first_->next_);
}

bool run_on_helper(const std::shared_ptr<helper_job>& job) {
    job_begins();
    try {
        helper_threads::instance().enqueue(job);
    } catch (...) {
        job_ends();
        throw;
    }
    return helper_threads::await(*job);
}

} // namespace weft::rt
