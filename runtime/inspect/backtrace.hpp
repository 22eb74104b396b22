// SPDX-License-Identifier: Apache-2.0
#pragma once

// Where an execution stands that is not the caller's: frames from registers, read from outside.

#include <cstddef>
#include <cstdint>
#include <string>

namespace weft::rt {

class context;

/// As unwind_at.S reads it.
struct registers {
    std::uint64_t r12 = 0, r13 = 0, r14 = 0, r15 = 0, rbx = 0, rbp = 0, rsp = 0, rip = 0;
};
static_assert(sizeof(registers) == 64);

/// Return addresses, innermost first.
struct frames {
    static constexpr int most = 48;
    const void* at[most];
    int count = 0;
};

/// The stack that these registers belong to must stand still. Allocates nothing.
void unwind(const registers& from, frames& into) noexcept;
/// Of a suspended context. None if it does not stand where this build's switch leaves it.
void unwind(const context& suspended, frames& into) noexcept;
/// The caller's own.
void unwind_here(frames& into) noexcept;

/// "function(int)+0x1d (program)". The file of the module is read for its symbols, if it still has them.
std::string describe(const void* return_address);
/// A line for each, indented.
std::string describe(const frames& f, const char* indent);

} // namespace weft::rt
