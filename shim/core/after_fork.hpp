// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the child of a fork must forget. Children that are made past fork's handlers (_Fork, clone) are told by who made them.

namespace weft::shim {

/// Numbered in init.cpp: registers what fork calls.
void watch_forks() noexcept;
/// In a child that was made past fork's handlers: everything that they would have done.
void after_bare_fork() noexcept;

} // namespace weft::shim
