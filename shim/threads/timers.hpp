// SPDX-License-Identifier: Apache-2.0
#pragma once

// Timers that signal a thread of the program's choice (SIGEV_THREAD_ID). The kernel cannot be told of a green thread: such a timer signals the
// process, and whoever gets the signal looks here whose it is, by the timer's number.

#include "core/signal_receiver.hpp"

namespace weft::shim::thread_timers {

/// timer_create(2) and timer_delete(2): the kernel's results.
long create(clockid_t clock, const sigevent* event, int* number) noexcept;
long remove(long number) noexcept;

/// Under `deciding`: whether the signal comes from such a timer. `to` is then its thread; null: that has ended.
bool find(const siginfo_t& info, signals::receiver*& to) noexcept;

/// Under `deciding`: it is pending there until the thread takes it. What has not been looked at since stands for this one, too.
void keep(signals::receiver* to, const siginfo_t& info) noexcept;

/// The calling thread has taken a signal from the kernel which is for another one: it goes there.
bool passed_on(const siginfo_t& info) noexcept;

/// In the child of a fork, which has none of the timers.
void after_fork() noexcept;

} // namespace weft::shim::thread_timers
