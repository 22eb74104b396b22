// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace weft::shim::locks {

/// Numbered in core/init.cpp.
void initialise() noexcept;
/// In the child of a fork.
void after_fork() noexcept;

} // namespace weft::shim::locks
