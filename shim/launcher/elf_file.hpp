// SPDX-License-Identifier: Apache-2.0
#pragma once

// What `weft check` must know of an ELF file. Nothing in the file is trusted: what lies outside of it is as if it were not there.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <elf.h>

namespace weft::launcher {

class elf_file {
public:
    struct section {
        std::string_view name;
        std::uint32_t type = 0;
        std::uint64_t flags = 0;
        std::uint64_t address = 0;
        std::span<const unsigned char> bytes; // empty for .bss and its kin
        std::uint32_t link = 0;
    };
    struct function {
        std::uint64_t address = 0;
        std::uint64_t size = 0;
        std::string_view name;
    };

    /// Looks at the bytes of a file, which must outlive it.
    explicit elf_file(std::span<const unsigned char> bytes);

    /// It begins as an ELF file does. Where it is of another class or byte order, nothing else is known but the header's first bytes.
    [[nodiscard]] bool is_elf() const noexcept { return is_elf_; }
    [[nodiscard]] bool is_64_bit() const noexcept { return is_elf_ && bytes_[EI_CLASS] == ELFCLASS64; }
    [[nodiscard]] bool is_little_endian() const noexcept { return is_elf_ && bytes_[EI_DATA] == ELFDATA2LSB; }
    [[nodiscard]] unsigned machine() const noexcept { return header_.e_machine; }
    [[nodiscard]] unsigned type() const noexcept { return header_.e_type; }

    /// PT_INTERP; empty for one that needs no loader.
    [[nodiscard]] std::string_view interpreter() const noexcept { return interpreter_; }
    [[nodiscard]] bool is_dynamic() const noexcept { return !dynamic_.empty(); }
    /// DF_1_PIE: a program, and no library.
    [[nodiscard]] bool is_position_independent_program() const noexcept { return pie_; }
    [[nodiscard]] const std::vector<std::string_view>& needed() const noexcept { return needed_; }
    [[nodiscard]] bool has_section(std::string_view name) const noexcept;
    /// A note of that owner in a PT_NOTE segment.
    [[nodiscard]] bool has_note(std::string_view owner) const noexcept;
    [[nodiscard]] const std::vector<section>& sections() const noexcept { return sections_; }
    /// The names it takes from others.
    [[nodiscard]] std::vector<std::string_view> imports() const;
    /// The functions it has names for, by address.
    [[nodiscard]] std::vector<function> functions() const;

private:
    [[nodiscard]] std::span<const unsigned char> part(std::uint64_t offset, std::uint64_t size) const noexcept;
    template <class T>
    [[nodiscard]] bool read(std::uint64_t offset, T& into) const noexcept;
    [[nodiscard]] std::uint64_t offset_of(std::uint64_t address) const noexcept;
    void read_segments();
    void read_sections();
    void read_dynamic();

    std::span<const unsigned char> bytes_;
    bool is_elf_ = false;
    bool pie_ = false;
    Elf64_Ehdr header_{};
    std::vector<Elf64_Phdr> segments_;
    std::vector<section> sections_;
    std::vector<Elf64_Dyn> dynamic_;
    std::vector<std::string_view> needed_;
    std::string_view interpreter_;
    std::span<const unsigned char> dynamic_names_;
    std::uint64_t symbols_at_ = 0; // file offset of DT_SYMTAB, for a file without sections
};

} // namespace weft::launcher
