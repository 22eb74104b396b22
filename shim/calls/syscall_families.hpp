// SPDX-License-Identifier: Apache-2.0
#pragma once

// Policies of system calls by number that are more than libc's function of that name; syscall.cpp has the table.

#include "calls/syscall.hpp"

namespace weft::shim::syscalls {

// Waiting: syscall_waits.cpp.
long ppoll(const arguments& a) noexcept;
long pselect6(const arguments& a) noexcept;
long epoll_pwait(const arguments& a) noexcept;
long epoll_pwait2(const arguments& a) noexcept;
long rt_sigsuspend(const arguments& a) noexcept;
long rt_sigtimedwait(const arguments& a) noexcept;
long futex(const arguments& a) noexcept;
long futex_waitv(const arguments& a) noexcept;
long clock_nanosleep(const arguments& a) noexcept;

// Signals, and threads by their numbers: syscall_threads.cpp.
long rt_sigaction(const arguments& a) noexcept;
long rt_sigprocmask(const arguments& a) noexcept;
long rt_sigpending(const arguments& a) noexcept;
long sigaltstack(const arguments& a) noexcept;
long gettid(const arguments& a) noexcept;
long kill(const arguments& a) noexcept;
long tgkill(const arguments& a) noexcept;
long tkill(const arguments& a) noexcept;
long rt_tgsigqueueinfo(const arguments& a) noexcept;
long prctl(const arguments& a) noexcept;
long clock_gettime(const arguments& a) noexcept;
long clock_getres(const arguments& a) noexcept;
long getrusage(const arguments& a) noexcept;
long timer_create(const arguments& a) noexcept;
long timer_delete(const arguments& a) noexcept;
long set_tid_address(const arguments& a) noexcept;

} // namespace weft::shim::syscalls
