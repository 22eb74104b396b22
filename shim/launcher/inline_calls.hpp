// SPDX-License-Identifier: Apache-2.0
#pragma once

// System calls that a program makes by instruction, past libc.

#include "launcher/elf_file.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace weft::launcher {

/// The length of the x86-64 instruction that begins there; 0 where none does. Enough to go from one to the next.
std::size_t instruction_length(std::span<const unsigned char> code) noexcept;

struct inline_call {
    std::uint64_t address = 0;
    std::string function;  // whose code it is in; empty if it has no name
    long number = -1;      // of the system call, where a constant is loaded just before
};

/// Every `syscall` instruction in the executable sections, from one instruction to the next as a disassembler goes.
std::vector<inline_call> find_inline_calls(const elf_file& file);

} // namespace weft::launcher
