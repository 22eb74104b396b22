// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <weft/export.hpp>

#include <csignal>

namespace weft::rt {

/// From now on a fiber that overflows its stack is named on stderr before the program dies by SIGSEGV. Leaves a handler of the
/// program's own alone. Call it on each kernel thread that gets a hub: the report needs an alternate stack there,
/// which is given back at the thread's end, unless it never ends.
void install_overflow_report(bool thread_ends = true) noexcept;

/// Whether that is weft's own handler, of which a program that asks must not hear.
[[nodiscard]] WEFT_API bool reports_overflow(const struct sigaction& action) noexcept;

/// Whether an alternate stack that begins there is weft's own, of which it must not hear either.
[[nodiscard]] WEFT_API bool is_overflow_stack(const void* begin) noexcept;
/// The program has taken its alternate stack away from the calling kernel thread: ours is put back, if there was one.
WEFT_API void restore_overflow_stack() noexcept;
/// The program's alternate stacks are kept elsewhere: the kernel's is ours from now on, made if there was none.
WEFT_API void take_over_alternate_stack() noexcept;

} // namespace weft::rt
