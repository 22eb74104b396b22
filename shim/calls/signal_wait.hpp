// SPDX-License-Identifier: Apache-2.0
#pragma once

// The served calls that wait for signals. A fiber that accepts signals (sigwait and its kin) waits for a signalfd of its own, which tells of what the
// kernel keeps; a green thread hears of what was sent to it alone, too. One that waits for a handler (pause, sigsuspend) waits until it has run
// one; a fiber that takes no signals, until any has run in the process.

#include <csignal>
#include <ctime>

namespace weft::shim::signal_wait {

int timed_wait(const sigset_t* set, siginfo_t* info, const timespec* timeout) noexcept;
/// It says of a signal what the kernel says, which libc's changes.
int timed_wait_by_number(const sigset_t* set, siginfo_t* info, const timespec* timeout) noexcept;
int wait_info(const sigset_t* set, siginfo_t* info) noexcept;
/// Returns the error number, as the original does.
int wait(const sigset_t* set, int* number) noexcept;

int suspend(const sigset_t* mask) noexcept;
int pause() noexcept;
/// sigpause as BSD has it: the signals up to 32 as a mask.
int pause_bsd(int mask) noexcept;
/// And as X/Open has it: the mask is the present one without that signal.
int pause_xpg(int number) noexcept;

} // namespace weft::shim::signal_wait
