// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/observer.hpp"

namespace weft::rt {

/// Observes from now on, while there are hubs: fibers that run are first seen when they leave. What observed before (null: nothing did) is to
/// be called by the new one.
WEFT_API const observer* add_observer(const observer& o) noexcept;

} // namespace weft::rt
