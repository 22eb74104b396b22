// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace weft::rt {

/// A node of a hub's timer heap: what runs on the hub when its time has come. It lies wherever the wait does.
struct timer {
    using fire_function = void (*)(timer&) noexcept;

    std::int64_t at = 0; // steady clock, ns
    fire_function fire = nullptr;
    timer* child = nullptr;
    timer* sibling = nullptr;
    timer** slot = nullptr; // the pointer that points here; null while not in a heap

    [[nodiscard]] bool armed() const noexcept { return slot != nullptr; }
};

class parkable;

/// A timeout scope as the runtime sees it; it lies in the scope object and is touched by its owner's kernel thread only.
struct timeout_scope {
    timer expiry;
    parkable* owner = nullptr;       // null: cancelled, or never entered
    timeout_scope* outer = nullptr;  // the next one of the same owner
    std::uint64_t id = 0;            // never reused, never 0
    bool expired = false;
    bool thrown = false;             // its timeout_error was delivered
    bool failed_call = false;        // a C library's call was made to fail because of it
};

} // namespace weft::rt
