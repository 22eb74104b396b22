// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <weft/export.hpp>

namespace weft::rt {

/// What is pending for the calling fiber, in a C caller's words: ECANCELED for a kill or the end of a thread, ETIMEDOUT for an expired timeout scope, 0 for
/// nothing. It stays pending until a weft call throws it. `mark`: a call is made to fail because of it, which with_timeout
/// will want to know.
WEFT_API int interruption_errno(bool mark) noexcept;

/// Lets the other fibers run; no interruption point. On a fiber only.
WEFT_API void yield_quietly() noexcept;

/// A call of the calling fiber went through at once. Where all its calls do, it lets the others run when its slice is over.
WEFT_API void went_through() noexcept;

} // namespace weft::rt
