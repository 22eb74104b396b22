// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace weft::shim {

/// Starts the shim, once: by its own constructor, or by an earlier call that cannot do without.
void initialise() noexcept;

} // namespace weft::shim
