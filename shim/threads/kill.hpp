// SPDX-License-Identifier: Apache-2.0
#pragma once

// Signals that are sent to one thread.

#include <csignal>

#include <pthread.h>

namespace weft::shim {

struct green_thread;

namespace green {

/// For a thread of ours that nobody has joined: 0 or the error number. `info` as the receiver will see it.
int send(green_thread& to, int number, const siginfo_t& info) noexcept;
/// As the kernel fills it in for tgkill.
siginfo_t sent_by_us(int number) noexcept;

int kill(pthread_t thread, int number) noexcept;
int queue(pthread_t thread, int number, sigval value) noexcept;
int raise(int number) noexcept;

} // namespace green

} // namespace weft::shim
