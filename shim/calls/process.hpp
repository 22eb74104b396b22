// SPDX-License-Identifier: Apache-2.0
#pragma once

// Waiting for children: the served forms, each with the contract of its POSIX namesake (waitid's is the kernel's, with the usage).

#include <sys/resource.h>
#include <sys/types.h>
#include <sys/wait.h>

namespace weft::shim::process {

pid_t wait4(pid_t pid, int* status, int options, rusage* usage) noexcept;
int waitid(int type, id_t id, siginfo_t* info, int options, rusage* usage) noexcept;

inline pid_t wait(int* status) noexcept { return process::wait4(-1, status, 0, nullptr); }
inline pid_t waitpid(pid_t pid, int* status, int options) noexcept { return process::wait4(pid, status, options, nullptr); }
inline pid_t wait3(int* status, int options, rusage* usage) noexcept { return process::wait4(-1, status, options, usage); }

/// As waitpid(pid, status, 0), but neither signals, nor a kill, nor a time-out end it: for a child that is about to end.
pid_t reap(pid_t pid, int* status) noexcept;

/// In the child of fork: nobody else is at it.
void system_after_fork() noexcept;

} // namespace weft::shim::process
