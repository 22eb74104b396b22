// SPDX-License-Identifier: Apache-2.0
#pragma once

// Reading, writing and waiting for descriptors of weft's own making, by fibers and by kernel threads without a hub: the ends of pipes,
// sockets and pidfds that nobody else reads or writes at the same time. System calls are made by instruction, so no shim sees them.

#include <weft/deadline.hpp>
#include <weft/fiber.hpp>

#include <cstddef>
#include <span>

#include <poll.h>

namespace weft::rt {

/// Suspends the caller until one of them is ready (revents say which; a negative fd is left out). False: the deadline came first; one in
/// the past asks only. Throws what interruption_point throws, and std::system_error (EBADF).
bool await_any(std::span<pollfd> wanted, deadline d);
/// The same for one.
bool await_one(int fd, short events, deadline d);

/// One attempt, which does not wait, also on a descriptor without O_NONBLOCK: bytes moved, 0 for the end, or a negative errno (-EAGAIN:
/// not now). A write to a pipe that nobody reads is -EPIPE, without the signal.
long read_now(int fd, void* to, std::size_t size) noexcept;
long write_now(int fd, const void* from, std::size_t size) noexcept;

/// For a loop that may always find something to do: now and then it lets the others run, and looks at the clock.
class fair_rounds {
public:
    void next() {
        if (++done_ % most == 0) this_fiber::yield();
    }
    [[nodiscard]] bool too_late(deadline d) const noexcept { return done_ % most == most - 1 && d.expired(); }

private:
    static constexpr unsigned most = 32; // of 64 KiB each
    unsigned done_ = 0;
};

/// Whoever waits for it hears of the close.
void close_awaited(int& fd) noexcept;

} // namespace weft::rt
