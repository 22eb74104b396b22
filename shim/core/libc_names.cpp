// SPDX-License-Identifier: Apache-2.0
#include "core/libc_names.hpp"

#include <cstdint>
#include <string_view>

#include <elf.h>
#include <link.h>

namespace weft::shim {

namespace {

struct tables {
    const ElfW(Sym) * symbols = nullptr;
    const char* strings = nullptr;
    const ElfW(Half) * versions = nullptr;
    const std::uint32_t* hashes = nullptr;
};

tables tables_of(const link_map& module) noexcept {
    tables t;
    for (const ElfW(Dyn)* d = module.l_ld; d->d_tag != DT_NULL; ++d) {
        // ld.so has made these addresses absolute.
        if (d->d_tag == DT_SYMTAB) t.symbols = reinterpret_cast<const ElfW(Sym)*>(d->d_un.d_ptr);
        if (d->d_tag == DT_STRTAB) t.strings = reinterpret_cast<const char*>(d->d_un.d_ptr);
        if (d->d_tag == DT_VERSYM) t.versions = reinterpret_cast<const ElfW(Half)*>(d->d_un.d_ptr);
        if (d->d_tag == DT_GNU_HASH) t.hashes = reinterpret_cast<const std::uint32_t*>(d->d_un.d_ptr);
    }
    return t;
}

libc_name look_up(const tables& t, std::string_view name) noexcept {
    if (t.symbols == nullptr || t.strings == nullptr || t.versions == nullptr || t.hashes == nullptr) return libc_name::unknown;
    std::uint32_t hash = 5381;
    for (const char c : name) hash = hash * 33 + static_cast<unsigned char>(c);
    // DT_GNU_HASH: how many buckets, the first symbol in them, words of the Bloom filter, its shift; the filter, the buckets, the chains.
    const std::uint32_t buckets = t.hashes[0], first = t.hashes[1], filter_words = t.hashes[2];
    const std::uint32_t* bucket = t.hashes + 4 + filter_words * (sizeof(ElfW(Addr)) / sizeof(std::uint32_t));
    const std::uint32_t* chain = bucket + buckets;
    constexpr ElfW(Half) hidden = 0x8000; // no default version
    libc_name found = libc_name::unknown;
    for (std::uint32_t i = buckets == 0 ? 0 : bucket[hash % buckets]; i >= first && i != 0; ++i) {
        const std::uint32_t h = chain[i - first];
        if ((h | 1) == (hash | 1) && t.symbols[i].st_shndx != SHN_UNDEF && name == t.strings + t.symbols[i].st_name) {
            if ((t.versions[i] & hidden) == 0) return libc_name::current;
            found = libc_name::old;
        }
        if ((h & 1) != 0) break; // the last of its chain
    }
    return found;
}

/// Not by dl_iterate_phdr, whose own address may be what is asked for.
tables find_libc() noexcept {
    for (const link_map* m = _r_debug.r_map; m != nullptr; m = m->l_next)
        if (m->l_name != nullptr && std::string_view(m->l_name).ends_with("/libc.so.6")) return tables_of(*m);
    return {};
}

} // namespace

libc_name look_up_in_libc(const char* name) noexcept {
    // Found once: every process asks for hundreds of names when it starts. Another thread that looks at the same time finds the same.
    static constinit tables libc;
    static constinit bool found = false;
    if (!__atomic_load_n(&found, __ATOMIC_ACQUIRE)) {
        libc = find_libc();
        __atomic_store_n(&found, true, __ATOMIC_RELEASE);
    }
    return look_up(libc, name);
}

} // namespace weft::shim
