// SPDX-License-Identifier: Apache-2.0
#include "core/fork.hpp"
#include "core/own_thread.hpp"
#include "core/registry.hpp"
#include "core/sys.hpp"
#include "core/thread_state.hpp"

#include <weft/detail/hand_off.hpp>
#include <weft/detail/workers.hpp>

#include <csignal>
#include <system_error>
#include <utility>

#include <pthread.h>

namespace weft::rt {

workers::workers(std::size_t most, std::chrono::nanoseconds idle_time) noexcept
    : most_(most), idle_time_(idle_time), generation_(fork_generation()) {
    watch_forks();
}

workers::~workers() {
    drop_queued();
    job_begins(); // the threads still run and will wake us: no deadlock, though none has a job
    lock_.lock();
    stopping_ = true;
    idle_.wake_all();
    const bool wait = threads_ > 0;
    lock_.unlock();
    if (wait) {
        const no_interruption on_the_way_out;
        take_or_wait(lock_, stopped_, "the end of worker threads", this, {}, [this] { return threads_ == 0; });
    }
    job_ends();
}

/// The public calls begin with it: in a child everything of the parent's is forgotten first. Nobody else runs there yet.
void workers::lock_here() noexcept {
    if (generation_ != fork_generation()) forget_parent();
    lock_.lock();
}

void workers::forget_parent() noexcept {
    lock_.reset();
    generation_ = fork_generation();
    for (wait_list* l : {&idle_, &spawners_, &watchers_, &joiners_, &stopped_}) l->forget();
    threads_ = counted_ = undelivered_ = 0;
    while (const std::shared_ptr<work_item> job = pop()) job->drop();
}

// --- The queue; under the lock ---

void workers::push(std::shared_ptr<work_item> job) noexcept {
    work_item* added = job.get();
    (last_ == nullptr ? first_ : last_->next_) = std::move(job);
    last_ = added;
}

std::shared_ptr<work_item> workers::pop() noexcept {
    std::shared_ptr<work_item> job = std::move(first_);
    if (job != nullptr) first_ = std::move(job->next_);
    if (first_ == nullptr) last_ = nullptr;
    return job;
}

/// A job is done with: its place goes to the spawner that has waited longest.
void workers::one_less() noexcept {
    if (counted_ <= most_ && spawners_.wake_one() != nullptr) return;
    --counted_;
    if (counted_ < most_) watchers_.wake_all();
}

// --- For those who have work ---

bool workers::reserve(deadline d) {
    lock_here();
    lock_.unlock();
    return take_or_wait(lock_, spawners_, "a free worker thread", this, d,
                        [this] { return counted_ < most_ && ++counted_ > 0; });
}

void workers::cancel_reserved() noexcept {
    lock_here();
    one_less();
    lock_.unlock();
}

void workers::submit(std::shared_ptr<work_item> job, bool reserved) {
    job_begins();
    lock_here();
    if (!reserved) ++counted_;
    ++undelivered_;
    const bool start = idle_.empty() && threads_ < most_;
    if (start) {
        ++threads_;
    } else {
        push(std::move(job));
        idle_.wake_one();
    }
    lock_.unlock();
    if (!start) return;
    int error = 0;
    try {
        start_thread();
    } catch (const std::system_error& e) {
        error = e.code().value();
    }
    lock_.lock();
    if (error != 0 && --threads_ == 0) {
        --undelivered_;
        if (!reserved) one_less();
        lock_.unlock();
        job_ends();
        throw std::system_error(error, std::generic_category(), "weft: no worker thread");
    }
    push(std::move(job));
    idle_.wake_one();
    lock_.unlock();
}

void workers::drop_queued() noexcept {
    for (;;) {
        lock_here();
        const std::shared_ptr<work_item> job = pop();
        if (job != nullptr) one_less();
        lock_.unlock();
        if (job == nullptr) return;
        job->drop();
        lock_.lock();
        if (--undelivered_ == 0) joiners_.wake_all();
        lock_.unlock();
        job_ends();
    }
}

bool workers::join(deadline d) {
    lock_here();
    lock_.unlock();
    return take_or_wait(lock_, joiners_, "the jobs of worker threads", this, d, [this] { return undelivered_ == 0; });
}

bool workers::wait_free(deadline d) {
    lock_here();
    lock_.unlock();
    return take_or_wait(lock_, watchers_, "a free worker thread", this, d, [this] { return counted_ < most_; });
}

std::size_t workers::size() noexcept {
    lock_here();
    const std::size_t n = counted_;
    lock_.unlock();
    return n;
}

// --- The threads ---

void workers::start_thread() {
    const inside_weft inside;
    // Past the shim: a green thread's own mask is not what counts here.
    const std::uint64_t all = ~(std::uint64_t{3} << 31); // but for libc's own two
    std::uint64_t before = 0;
    ::pthread_attr_t detached;
    ::pthread_attr_init(&detached);
    ::pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    sys::call(SYS_rt_sigprocmask, SIG_SETMASK, sys::arg(&all), sys::arg(&before), sizeof all);
    ::pthread_t thread{};
    own_thread_begins();
    const int error = ::pthread_create(
        &thread, &detached,
        [](void* self) -> void* {
            name_own_thread("weft-helper");
            static_cast<workers*>(self)->serve();
            return nullptr;
        },
        this);
    sys::call(SYS_rt_sigprocmask, SIG_SETMASK, sys::arg(&before), 0, sizeof before);
    ::pthread_attr_destroy(&detached);
    if (error != 0) {
        own_thread_failed();
        throw std::system_error(error, std::generic_category());
    }
}

std::shared_ptr<work_item> workers::take() noexcept {
    for (bool idled = false;;) {
        {
            const std::lock_guard hold(lock_);
            if (std::shared_ptr<work_item> job = pop()) return job;
            if (idled || stopping_) {
                if (--threads_ == 0) stopped_.wake_all();
                return nullptr;
            }
        }
        waiter w("a job", this);
        lock_.lock();
        if (first_ != nullptr || stopping_) {
            lock_.unlock();
            w.abandon();
            continue;
        }
        idle_.push(w.node);
        lock_.unlock();
        idled = suspend_in(lock_, w, idle_time_) == wake_reason::deadline;
    }
}

void workers::serve() noexcept {
    const helper_thread mark;
    while (std::shared_ptr<work_item> job = take()) {
        job->run();
        lock_.lock();
        one_less();
        lock_.unlock();
        job->deliver();
        job.reset();
        lock_.lock();
        if (--undelivered_ == 0) joiners_.wake_all();
        lock_.unlock();
        job_ends();
    }
}

} // namespace weft::rt
