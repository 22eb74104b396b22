// SPDX-License-Identifier: Apache-2.0
#pragma once

// Kernel threads that take jobs in order: what a threadpool is without the types of its jobs.

#include <weft/deadline.hpp>
#include <weft/detail/waiter.hpp>
#include <weft/export.hpp>

#include <chrono>
#include <cstddef>
#include <memory>

namespace weft::rt {

/// A job. It owns what it reads and writes, as whoever waits for it may leave before it ends.
class WEFT_API work_item {
public:
    work_item() noexcept = default;
    work_item(const work_item&) = delete;
    work_item& operator=(const work_item&) = delete;
    virtual ~work_item() = default;
    /// Does the work, on a worker; every signal is blocked there.
    virtual void run() noexcept = 0;
    /// Tells whoever waits; runs after run, when the worker counts as free again.
    virtual void deliver() noexcept = 0;
    /// Instead of both: it will never run.
    virtual void drop() noexcept = 0;

private:
    friend class workers;
    std::shared_ptr<work_item> next_; // in the queue, and what keeps it alive there
};

/// At most so many threads, made when there is work for them. In the child of a fork there are none, and no jobs. All calls from
/// any thread.
class WEFT_API workers {
public:
    /// A thread without work for `idle_time` ends.
    workers(std::size_t most, std::chrono::nanoseconds idle_time) noexcept;
    workers(const workers&) = delete;
    workers& operator=(const workers&) = delete;
    /// Drops what has not begun, then waits for the rest and for the threads.
    ~workers();

    /// Waits until fewer than `most` jobs are in it, and counts the caller's in. False: the deadline came first.
    bool reserve(deadline d);
    void cancel_reserved() noexcept;
    /// Queues a job. `reserved`: it was counted already, else it may be one more than there are threads. Throws std::system_error
    /// when there is no thread and none can be made (then the job is not in it).
    void submit(std::shared_ptr<work_item> job, bool reserved);

    /// Drops the jobs that have not begun.
    void drop_queued() noexcept;
    /// Waits until all jobs have been delivered.
    bool join(deadline d);
    bool wait_free(deadline d);
    [[nodiscard]] std::size_t size() noexcept;
    [[nodiscard]] std::size_t most() const noexcept { return most_; }

private:
    void lock_here() noexcept;
    void forget_parent() noexcept;
    void start_thread();
    void serve() noexcept;
    std::shared_ptr<work_item> take() noexcept;
    std::shared_ptr<work_item> pop() noexcept;
    void push(std::shared_ptr<work_item> job) noexcept;
    void one_less() noexcept;

    const std::size_t most_;
    const std::chrono::nanoseconds idle_time_;
    spinlock lock_; // guards what follows
    unsigned generation_; // of forks
    std::shared_ptr<work_item> first_;
    work_item* last_ = nullptr;
    std::size_t threads_ = 0;
    std::size_t counted_ = 0;     // jobs in it, the reserved ones too
    std::size_t undelivered_ = 0; // jobs in it, until delivered
    bool stopping_ = false;
    wait_list idle_;     // threads
    wait_list spawners_; // in reserve
    wait_list watchers_; // in wait_free
    wait_list joiners_;
    wait_list stopped_;  // the destructor
};

} // namespace weft::rt
