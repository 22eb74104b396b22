// SPDX-License-Identifier: Apache-2.0
// Names of addresses: from the symbols that a module's file still has, else from those that it exports.
#include "inspect/backtrace.hpp"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <cxxabi.h>
#include <memory>
#include <string_view>

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace weft::rt {

namespace {

struct named {
    std::string name;
    std::uint64_t offset = 0;
};

/// A file in memory; all of it is checked before it is believed.
class mapped_file {
public:
    explicit mapped_file(const char* path) noexcept {
        const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0) return;
        struct stat s{};
        if (::fstat(fd, &s) == 0 && s.st_size > 0) {
            size_ = static_cast<std::size_t>(s.st_size);
            void* p = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, fd, 0);
            base_ = p == MAP_FAILED ? nullptr : static_cast<const char*>(p);
        }
        ::close(fd);
    }
    mapped_file(const mapped_file&) = delete;
    mapped_file& operator=(const mapped_file&) = delete;
    ~mapped_file() {
        if (base_ != nullptr) ::munmap(const_cast<char*>(base_), size_);
    }
    /// `count` objects at `offset`, or nullptr where the file is too short.
    template <class T>
    [[nodiscard]] const T* at(std::uint64_t offset, std::uint64_t count) const noexcept {
        if (base_ == nullptr || offset > size_ || count > (size_ - offset) / sizeof(T) || offset % alignof(T) != 0) return nullptr;
        return reinterpret_cast<const T*>(base_ + offset);
    }

private:
    const char* base_ = nullptr;
    std::size_t size_ = 0;
};

/// The function of the symbol table in which `address` (as linked) lies.
named in_symbol_table(const char* path, std::uint64_t address) {
    const mapped_file file(path);
    const auto* head = file.at<ElfW(Ehdr)>(0, 1);
    if (head == nullptr || std::memcmp(head->e_ident, ELFMAG, SELFMAG) != 0 || head->e_shentsize != sizeof(ElfW(Shdr))) return {};
    const auto* sections = file.at<ElfW(Shdr)>(head->e_shoff, head->e_shnum);
    for (unsigned i = 0; sections != nullptr && i < head->e_shnum; ++i) {
        const ElfW(Shdr)& table = sections[i];
        if (table.sh_type != SHT_SYMTAB || table.sh_link >= head->e_shnum) continue;
        const ElfW(Shdr)& names = sections[table.sh_link];
        const std::uint64_t count = table.sh_size / sizeof(ElfW(Sym));
        const auto* symbols = file.at<ElfW(Sym)>(table.sh_offset, count);
        const char* text = file.at<char>(names.sh_offset, names.sh_size);
        for (std::uint64_t n = 0; symbols != nullptr && text != nullptr && n < count; ++n) {
            const ElfW(Sym)& s = symbols[n];
            if (ELF64_ST_TYPE(s.st_info) != STT_FUNC || address < s.st_value || address >= s.st_value + s.st_size || s.st_name >= names.sh_size) continue;
            return {std::string(text + s.st_name, ::strnlen(text + s.st_name, names.sh_size - s.st_name)), address - s.st_value};
        }
    }
    return {};
}

std::string demangled(const std::string& name) {
    int status = 0;
    const std::unique_ptr<char, decltype(&std::free)> text(abi::__cxa_demangle(name.c_str(), nullptr, nullptr, &status), &std::free);
    return text == nullptr ? name : std::string(text.get());
}

} // namespace

std::string describe(const void* return_address) {
    char number[64];
    const auto address = reinterpret_cast<std::uint64_t>(return_address);
    const std::uint64_t call = address - 1; // within the call, not behind a function that ends with one
    Dl_info info{};
    link_map* module = nullptr;
    if (::dladdr1(reinterpret_cast<const void*>(call), &info, reinterpret_cast<void**>(&module), RTLD_DL_LINKMAP) == 0 || module == nullptr) {
        std::snprintf(number, sizeof number, "%p", return_address);
        return number;
    }
    const char* path = module->l_name != nullptr && *module->l_name != 0 ? module->l_name : "/proc/self/exe";
    named found = in_symbol_table(path, call - module->l_addr);
    if (found.name.empty() && info.dli_sname != nullptr) found = {info.dli_sname, call - reinterpret_cast<std::uint64_t>(info.dli_saddr)};
    std::string_view shown = info.dli_fname == nullptr ? path : info.dli_fname;
    shown.remove_prefix(shown.rfind('/') + 1);
    if (found.name.empty()) {
        std::snprintf(number, sizeof number, "+0x%llx", static_cast<unsigned long long>(address - module->l_addr));
        return std::string(shown) + number;
    }
    std::snprintf(number, sizeof number, "+0x%llx (", static_cast<unsigned long long>(found.offset + 1));
    return demangled(found.name) + number + std::string(shown) + ")";
}

std::string describe(const frames& f, const char* indent) {
    std::string text;
    for (int i = 0; i < f.count; ++i) {
        char number[16];
        std::snprintf(number, sizeof number, "#%-2d ", i);
        text += indent;
        text += number;
        text += describe(f.at[i]);
        text += '\n';
    }
    return text;
}

} // namespace weft::rt
