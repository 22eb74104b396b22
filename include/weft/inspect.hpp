// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <weft/detail/callback.hpp>
#include <weft/export.hpp>

#include <chrono>
#include <cstdint>
#include <iosfwd>
#include <memory>
#include <string>

namespace weft {

/// Prints every fiber of the process, a tree for each hub: who spawned it, its state, what it waits for since when, and where it stands. Other hubs are
/// asked when they switch fibers next; of one that does not for 200 ms only that is said. From any fiber or kernel thread.
///
/// @code
/// weft::print_run_info(std::cerr);
/// weft::monitor watch({.max_blocking_time = 50ms});
/// @endcode
WEFT_API void print_run_info(std::ostream& out);

/// A fiber that kept its hub.
struct blocking_report {
    std::uint64_t fiber = 0;
    std::string name = {};                       ///< as this_fiber::name()
    std::chrono::nanoseconds blocked_for = {};   ///< so far
    std::string backtrace = {};                  ///< where it stands, a line each; why there is none, if it could not be had
};

/// Members stay in this order.
struct monitor_options {
    std::chrono::nanoseconds max_blocking_time = std::chrono::milliseconds(100);
    /// Any function `void(const blocking_report&)`: called on the monitor's kernel thread instead of printing to stderr; it must not throw.
    rt::callback<void(const blocking_report&)> report = {};
};

/// As long as it lives, a kernel thread looks whether fibers switch, in all hubs, and reports, once each time, a fiber that has kept its hub for longer than
/// max_blocking_time: it computes, or made a call that blocks the kernel thread. The backtrace is taken from outside while that thread stands still for a
/// moment; nothing runs in it, and system calls that it is in go on.
class WEFT_API monitor {
public:
    /// Throws std::system_error without a kernel thread to be had, std::invalid_argument for a time of zero or less.
    explicit monitor(monitor_options options = {});
    template <class Rep, class Period>
    explicit monitor(std::chrono::duration<Rep, Period> max_blocking_time)
        : monitor(monitor_options{std::chrono::duration_cast<std::chrono::nanoseconds>(max_blocking_time), {}}) {}
    monitor(const monitor&) = delete;
    monitor& operator=(const monitor&) = delete;
    ~monitor();

    /// How many times it has found one.
    [[nodiscard]] std::uint64_t reports() const noexcept;
    [[nodiscard]] std::chrono::nanoseconds max_blocking_time() const noexcept;

private:
    struct state;
    std::shared_ptr<state> state_;
};

} // namespace weft
