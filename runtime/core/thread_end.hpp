// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace weft::rt {

/// thread_state::end_wanted: somebody has cancelled the thread; or it has called pthread_exit in a handler, in the midst of weft's code, which
/// is to come to its end first.
inline constexpr std::uint8_t end_requested = 1, end_begun = 2;

} // namespace weft::rt
