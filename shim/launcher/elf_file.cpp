// SPDX-License-Identifier: Apache-2.0
#include "launcher/elf_file.hpp"

#include <algorithm>
#include <cstring>

namespace weft::launcher {

namespace {

/// The text that begins there and ends with a zero byte within the table.
std::string_view text_at(std::span<const unsigned char> table, std::uint64_t at) noexcept {
    if (at >= table.size()) return {};
    const auto* begin = reinterpret_cast<const char*>(table.data() + at);
    return {begin, ::strnlen(begin, table.size() - at)};
}

template <class T>
T record(std::span<const unsigned char> table, std::size_t i) noexcept {
    T r;
    std::memcpy(&r, table.data() + i * sizeof(T), sizeof(T));
    return r;
}

} // namespace

elf_file::elf_file(std::span<const unsigned char> bytes) : bytes_(bytes) {
    is_elf_ = bytes_.size() >= EI_NIDENT && std::memcmp(bytes_.data(), ELFMAG, SELFMAG) == 0;
    if (!is_elf_) return;
    if (!is_64_bit() || !is_little_endian()) {
        // e_type and e_machine lie at the same place in every class.
        if (is_little_endian() && bytes_.size() >= 20) {
            header_.e_type = record<std::uint16_t>(bytes_.subspan(16), 0);
            header_.e_machine = record<std::uint16_t>(bytes_.subspan(18), 0);
        }
        return;
    }
    if (!read(0, header_)) {
        header_ = {};
        return;
    }
    read_segments();
    read_sections();
    read_dynamic();
}

std::span<const unsigned char> elf_file::part(std::uint64_t offset, std::uint64_t size) const noexcept {
    if (offset > bytes_.size() || size > bytes_.size() - offset) return {};
    return bytes_.subspan(offset, size);
}

template <class T>
bool elf_file::read(std::uint64_t offset, T& into) const noexcept {
    const auto bytes = part(offset, sizeof(T));
    if (bytes.empty()) return false;
    std::memcpy(&into, bytes.data(), sizeof(T));
    return true;
}

void elf_file::read_segments() {
    if (header_.e_phentsize != sizeof(Elf64_Phdr)) return;
    for (unsigned i = 0; i < header_.e_phnum; ++i) {
        Elf64_Phdr p;
        if (!read(header_.e_phoff + i * sizeof p, p)) return;
        segments_.push_back(p);
        if (p.p_type == PT_INTERP) interpreter_ = text_at(part(p.p_offset, p.p_filesz), 0);
        if (p.p_type != PT_DYNAMIC) continue;
        for (std::uint64_t at = 0; at + sizeof(Elf64_Dyn) <= p.p_filesz; at += sizeof(Elf64_Dyn)) {
            Elf64_Dyn d;
            if (!read(p.p_offset + at, d) || d.d_tag == DT_NULL) break;
            dynamic_.push_back(d);
        }
    }
}

void elf_file::read_sections() {
    if (header_.e_shentsize != sizeof(Elf64_Shdr)) return;
    std::vector<Elf64_Shdr> all;
    for (unsigned i = 0; i < header_.e_shnum; ++i) {
        Elf64_Shdr s;
        if (!read(header_.e_shoff + i * sizeof s, s)) return;
        all.push_back(s);
    }
    if (header_.e_shstrndx >= all.size()) return;
    const auto names = part(all[header_.e_shstrndx].sh_offset, all[header_.e_shstrndx].sh_size);
    for (const Elf64_Shdr& s : all)
        sections_.push_back({text_at(names, s.sh_name), s.sh_type, s.sh_flags, s.sh_addr,
                             s.sh_type == SHT_NOBITS ? std::span<const unsigned char>{} : part(s.sh_offset, s.sh_size), s.sh_link});
}

std::uint64_t elf_file::offset_of(std::uint64_t address) const noexcept {
    for (const Elf64_Phdr& p : segments_)
        if (p.p_type == PT_LOAD && address >= p.p_vaddr && address - p.p_vaddr < p.p_filesz) return p.p_offset + (address - p.p_vaddr);
    return bytes_.size();
}

void elf_file::read_dynamic() {
    std::uint64_t names_at = bytes_.size();
    std::uint64_t names_size = 0;
    for (const Elf64_Dyn& d : dynamic_) {
        switch (d.d_tag) {
        case DT_STRTAB: names_at = offset_of(d.d_un.d_ptr); break;
        case DT_STRSZ: names_size = d.d_un.d_val; break;
        case DT_SYMTAB: symbols_at_ = offset_of(d.d_un.d_ptr); break;
        case DT_FLAGS_1: pie_ = (d.d_un.d_val & DF_1_PIE) != 0; break;
        default: break;
        }
    }
    dynamic_names_ = part(names_at, names_size);
    for (const Elf64_Dyn& d : dynamic_)
        if (d.d_tag == DT_NEEDED) needed_.push_back(text_at(dynamic_names_, d.d_un.d_val));
}

bool elf_file::has_section(std::string_view name) const noexcept {
    return std::any_of(sections_.begin(), sections_.end(), [&](const section& s) { return s.name == name; });
}

bool elf_file::has_note(std::string_view owner) const noexcept {
    for (const Elf64_Phdr& p : segments_) {
        if (p.p_type != PT_NOTE) continue;
        const auto notes = part(p.p_offset, p.p_filesz);
        for (std::size_t at = 0; at + sizeof(Elf64_Nhdr) <= notes.size();) {
            const auto n = record<Elf64_Nhdr>(notes.subspan(at), 0);
            const auto padded = [](std::uint64_t size) { return (size + 3) & ~std::uint64_t{3}; };
            if (n.n_namesz > notes.size() || n.n_descsz > notes.size()) break;
            at += sizeof n;
            if (at + n.n_namesz > notes.size()) break;
            if (text_at(notes.subspan(at, n.n_namesz), 0) == owner) return true;
            at += padded(n.n_namesz) + padded(n.n_descsz);
        }
    }
    return false;
}

std::vector<std::string_view> elf_file::imports() const {
    // Without section headers the end of the symbols is not told: by custom their names follow.
    std::span<const unsigned char> symbols;
    for (const section& s : sections_)
        if (s.type == SHT_DYNSYM) symbols = s.bytes;
    if (symbols.empty() && symbols_at_ != 0 && !dynamic_names_.empty()) {
        const auto names_at = static_cast<std::uint64_t>(dynamic_names_.data() - bytes_.data());
        if (names_at > symbols_at_) symbols = part(symbols_at_, names_at - symbols_at_);
    }
    std::vector<std::string_view> names;
    for (std::size_t i = 1; i < symbols.size() / sizeof(Elf64_Sym); ++i) {
        const auto s = record<Elf64_Sym>(symbols, i);
        if (s.st_shndx != SHN_UNDEF) continue;
        const std::string_view name = text_at(dynamic_names_, s.st_name);
        if (!name.empty()) names.push_back(name);
    }
    return names;
}

std::vector<elf_file::function> elf_file::functions() const {
    std::vector<function> all;
    for (const section& table : sections_) {
        if ((table.type != SHT_SYMTAB && table.type != SHT_DYNSYM) || table.link >= sections_.size()) continue;
        for (std::size_t i = 1; i < table.bytes.size() / sizeof(Elf64_Sym); ++i) {
            const auto s = record<Elf64_Sym>(table.bytes, i);
            if (s.st_shndx == SHN_UNDEF || ELF64_ST_TYPE(s.st_info) != STT_FUNC) continue;
            all.push_back({s.st_value, s.st_size, text_at(sections_[table.link].bytes, s.st_name)});
        }
    }
    std::sort(all.begin(), all.end(), [](const function& a, const function& b) { return a.address < b.address; });
    return all;
}

} // namespace weft::launcher
