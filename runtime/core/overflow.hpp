// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <weft/export.hpp>

#include <csignal>

namespace weft::rt {

/// From now on a fiber that overflows its stack is named on stderr before the program dies by SIGSEGV. Leaves a handler of the
/// program's own alone. Call it on each kernel thread that gets a hub: the report needs an alternate stack there.
void install_overflow_report() noexcept;

/// Whether that is weft's own handler, of which a program that asks must not hear.
[[nodiscard]] WEFT_API bool reports_overflow(const struct sigaction& action) noexcept;

} // namespace weft::rt
