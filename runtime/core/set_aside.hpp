// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/hub.hpp"

namespace weft::rt {

/// While it lives, wait() and hub::join are not kept waiting by the calling fiber, which waits for what only others of its hub, or who owns it,
/// can bring about.
class set_aside {
public:
    set_aside() noexcept : hub_(*hub::current()) { hub_.count_background(1); }
    set_aside(const set_aside&) = delete;
    set_aside& operator=(const set_aside&) = delete;
    ~set_aside() { hub_.count_background(-1); }

private:
    hub& hub_;
};

} // namespace weft::rt
