// SPDX-License-Identifier: Apache-2.0
#pragma once

// Making children. None of it waits longer than the kernel makes it; but a child must find nothing that weft does to its parent.

#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/types.h>

struct termios;

namespace weft::shim::process {

pid_t fork(pid_t (*real_fork)()) noexcept;
/// _Fork runs none of fork's handlers.
pid_t bare_fork() noexcept;
/// clone(2) with a function.
int clone(int (*function)(void*), void* stack, int flags, void* argument, pid_t* parent_tid, void* tls, pid_t* child_tid) noexcept;

/// The descriptors 0, 1 and 2 were replaced inside libc.
int standard_replaced(int result) noexcept;
int open_pty(int* master, int* slave, char* name, const termios* settings, const winsize* size) noexcept;
int fork_pty(int* master, char* name, const termios* settings, const winsize* size) noexcept;
int login_tty(int fd) noexcept;

/// system(3): served, and for who is no fiber.
int system(const char* line);
int bare_system(const char* line);

} // namespace weft::shim::process
