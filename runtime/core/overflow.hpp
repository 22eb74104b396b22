// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace weft::rt {

/// From now on a fiber that overflows its stack is named on stderr before the program dies by SIGSEGV. Leaves a handler of the
/// program's own alone. Call it on each kernel thread that gets a hub: the report needs an alternate stack there.
void install_overflow_report() noexcept;

} // namespace weft::rt
