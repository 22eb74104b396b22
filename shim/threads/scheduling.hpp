// SPDX-License-Identifier: Apache-2.0
#pragma once

// How a thread is scheduled, as the program set it and is to read it again: policy, priority, nice value, processors, class of its disk
// accesses. A green thread has these of its own, but nothing acts on them: its kernel thread runs as the process began, or as the main
// thread's was set. What the kernel would refuse is refused: a kernel thread made for the purpose tries it.

#include "threads/green.hpp"

#include <cstdint>

#include <sched.h>

namespace weft::shim {

struct scheduling {
    int policy = 0; // SCHED_RESET_ON_FORK included, as sched_getscheduler says it
    int priority = 0;
    int nice = 0;
    int disk = 0;
    std::uint64_t runtime = 0, deadline = 0, period = 0; // ns; of SCHED_DEADLINE, and the first one as the kernel says it of others
    cpu_set_t processors{};
};

namespace sched {

/// Before the first green thread: how the process runs.
void remember() noexcept;

/// A new thread is scheduled as its maker, or as the attributes want. An error of pthread_create, or 0.
int begin(green_thread& made, const green_thread* maker, const pthread_attr_t* attributes, bool inherits) noexcept;
/// It has ended.
void end(green_thread& t) noexcept;
/// For pthread_getattr_np.
void describe(const green_thread& t, pthread_attr_t* out) noexcept;
/// In the child of fork: the caller is its process's first thread now.
void after_fork(green_thread& me) noexcept;

// By number of the system call: the kernel's result.
long call(long number, long a, long b, long c, long d) noexcept;

} // namespace sched

} // namespace weft::shim
