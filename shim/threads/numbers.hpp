// SPDX-License-Identifier: Apache-2.0
#pragma once

// Calls that take any thread's number for its process: the kernel, which has never heard of a green thread's (tid.hpp), is given the
// process's own instead. What it answers differently for a thread that is not its process's first is answered here.
//
//     syscall(SYS_prlimit64, gettid(), RLIMIT_NOFILE, NULL, &limit);   // this process's limit, on any thread

#include "threads/tid.hpp"

#include "core/sys.hpp"

#include <csignal>
#include <cstddef>

#include <sys/types.h>

namespace weft::shim::numbers {

/// The number as the kernel is to have it. One of nobody's stays what it is, and the kernel says ESRCH.
inline long for_kernel(long number) noexcept {
    const auto thread = static_cast<pid_t>(number);
    return __builtin_expect(tid::is_green(thread), 0) && tid::lives(thread) ? rt::sys::getpid() : number;
}

// Each gives the kernel's result.
long setpgid(pid_t process, pid_t group) noexcept;
long pidfd_open(pid_t process, unsigned flags) noexcept;
long capget(void* header, void* data) noexcept;
long get_robust_list(pid_t thread, void** head, std::size_t* size) noexcept;
/// rt_sigqueueinfo(2): the thread of that number is asked first.
long queue_signal(pid_t process, int signal, siginfo_t* info) noexcept;
long perf_event_open(void* attributes, pid_t thread, int processor, int group, unsigned long flags) noexcept;

/// libc's pidfd_open.
int open_process(pid_t process, unsigned flags) noexcept;

} // namespace weft::shim::numbers
