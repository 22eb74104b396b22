// SPDX-License-Identifier: Apache-2.0
#pragma once

// Where the shim's trap of system calls hears of hubs: with --trap it is on for every kernel thread that has one.

#include <weft/export.hpp>

namespace weft::rt {

/// Called on the hub's kernel thread when it has begun and before it ends; set by the shim, null without it.
using hub_hook = void (*)(bool begins) noexcept;
extern WEFT_API constinit hub_hook hub_begins_or_ends;

} // namespace weft::rt
