// SPDX-License-Identifier: Apache-2.0
#pragma once

// Waiting for descriptors. A process-wide table has a slot for each descriptor number; a slot is registered, edge-triggered,
// in the epoll set of one hub (its home) with exactly the events somebody has waited for.
//
// The protocol of a blocking call: attempt it without blocking; if it would block, wait() and attempt again. wait() may return
// early (another reader was faster, an old edge), never late: an edge that nobody waited for is latched. Who read the history before an
// attempt that found nothing may pass it on to wait(): then only what came since counts.

#include <weft/deadline.hpp>
#include <weft/detail/waiter.hpp>
#include <weft/export.hpp>

#include <cstdint>
#include <span>

struct epoll_event;

namespace weft::rt {

class hub;

enum class fd_wake : std::uint8_t {
    ready,       // attempt again
    deadline,
    interrupted, // kill or timeout scope
    closed,      // the descriptor was closed, or is none: EBADF
    cancelled,   // by cancel()
    failed,      // the kernel refuses to watch it for want of memory: errno is set
};

/// One descriptor of a wait for several.
struct fd_interest {
    int fd = -1;
    std::uint32_t events = 0; // EPOLLIN, EPOLLOUT, EPOLLPRI, EPOLLRDHUP; errors and hang-ups always wake
    // The rest belongs to the wait.
    wait_node node{};
    std::uint32_t generation = 0;
    hub* waiting_on = nullptr;
    bool cancelled = false;
};

/// Counts the events of a descriptor number. Odd: in its present life something else than input and output was reported, such as an end or
/// urgent data.
using fd_history = std::uint32_t;
inline constexpr fd_history any_history = ~fd_history{0};

class WEFT_API readiness {
public:
    static fd_history history(int fd) noexcept;
    /// Suspends the calling fiber until the descriptor may be ready. `fresh`: the caller does not hear of every close of
    /// that number, so ask the kernel again (a system call more).
    static fd_wake wait(int fd, std::uint32_t events, deadline d, bool fresh = false, fd_history since = any_history) noexcept;
    /// The same for the first of several. What cannot be watched (a regular file) is ready.
    static fd_wake wait_any(std::span<fd_interest> interests, deadline d, bool fresh = false,
                            fd_history since = any_history) noexcept;

    /// A descriptor number begins a new life.
    static void opened(int fd) noexcept;
    /// It is about to be closed: wakes who waits for it with `closed`, and forgets it.
    static void closing(int fd) noexcept;
    /// Ends the waits for it that go on now with `cancelled`.
    static void cancel(int fd) noexcept;
    /// Watches nothing any more until somebody waits again; those who do now are woken as by readiness.
    static void let_go() noexcept;
    /// The same for all from `first` to `last`.
    static void closing(int first, int last) noexcept;
    /// Whether anybody waits for it now.
    static bool is_awaited(int fd) noexcept;

    /// Never in the upper half of an event's data: the hub may mark descriptors of its own so.
    static constexpr std::uint32_t no_generation = 0xffffffff;
    /// An event of a hub's set: wakes who waits for it.
    static void deliver(const epoll_event& e) noexcept;
    /// Some, at most `group`, that are about to be delivered: fetches what that will touch, of all at once.
    static void expect(const epoll_event* events, int count) noexcept;
    static constexpr int group = 16;
    static void hub_gone(hub& h) noexcept;
    static void after_fork() noexcept;
};

} // namespace weft::rt
