// SPDX-License-Identifier: Apache-2.0
#pragma once

// Nothing left that could wake anyone. The check is process-wide and runs when a hub is about to block with no
// timer and nothing outside weft to wait for.

#include <cstdint>
#include <string>

namespace weft::rt {

class hub;

class deadlock_check {
public:
    /// Until when this hub may block (steady clock, ns; watcher::never; 0: not at all). Marks the hub as hopeless.
    static std::int64_t before_blocking(hub& h) noexcept;
    /// It was roused.
    static void after_blocking(hub& h) noexcept;
    /// The deadlock was found and this hub is to be told: ends wait_quiescent, or the main fiber's wait.
    static void deliver(hub& h) noexcept;
    /// Who waits for what, a line each.
    static std::string report();

private:
    static void say_why() noexcept;
};

} // namespace weft::rt
