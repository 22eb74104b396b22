// SPDX-License-Identifier: Apache-2.0
#include "core/tls_images.hpp"

#include "core/thread_pointer.hpp"

#include <weft/detail/spinlock.hpp>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <utility>

#include <dlfcn.h>
#include <link.h>

namespace weft::rt::tls_images {

namespace {

constexpr std::size_t most = 256; // modules with static TLS; its room for late ones is small

struct known {
    spinlock lock;
    bool any = false;
    unsigned long long loads = 0, unloads = 0; // of modules, when we looked
    std::size_t count = 0;
    image at[most];
    std::size_t told_count = 0; // those that find_new has told of
    image told[most];
};
constinit known all;

/// One module's block, if it has one in the calling thread's static TLS.
bool describe(const dl_phdr_info& module, image& out) noexcept {
    if (module.dlpi_tls_modid == 0 || module.dlpi_tls_data == nullptr) return false;
    static std::size_t static_size = [] {
        std::size_t size = 0, alignment = 0;
        using info = void (*)(std::size_t*, std::size_t*);
        if (const auto f = reinterpret_cast<info>(::dlsym(RTLD_DEFAULT, "_dl_get_tls_static_info")); f != nullptr) f(&size, &alignment);
        return size;
    }();
    const std::ptrdiff_t offset = static_cast<char*>(module.dlpi_tls_data) - thread_pointer();
    if (offset >= 0 || static_cast<std::size_t>(-offset) > static_size) return false; // made on demand
    for (int i = 0; i < module.dlpi_phnum; ++i) {
        const ElfW(Phdr)& part = module.dlpi_phdr[i];
        if (part.p_type != PT_TLS) continue;
        out = {module.dlpi_tls_modid, offset, reinterpret_cast<const void*>(module.dlpi_addr + part.p_vaddr), part.p_filesz, part.p_memsz};
        const std::ptrdiff_t own = reinterpret_cast<char*>(&errno) - thread_pointer();
        return own < offset || own >= offset + static_cast<std::ptrdiff_t>(out.size); // libc's holds errno
    }
    return false;
}

/// Reads the modules anew if any came or went. The lock is held.
void look() noexcept {
    struct asked {
        bool first = true;
    } a;
    ::dl_iterate_phdr(
        [](dl_phdr_info* module, std::size_t, void* argument) -> int {
            if (auto& in = *static_cast<asked*>(argument); std::exchange(in.first, false)) {
                if (all.any && module->dlpi_adds == all.loads && module->dlpi_subs == all.unloads) return 1;
                all.any = true;
                all.loads = module->dlpi_adds;
                all.unloads = module->dlpi_subs;
                all.count = 0;
            }
            if (image i; all.count < most && describe(*module, i)) all.at[all.count++] = i;
            return 0;
        },
        &a);
}

/// Blocks that were made when they were first used; libc's array of blocks says which these are.
void free_blocks(char* thread_pointer) noexcept {
    struct entry {
        std::uintptr_t value;
        void* memory;
    };
    constexpr std::uintptr_t not_made = ~std::uintptr_t{0};
    constexpr std::size_t unlikely = 1U << 16;
    entry* const blocks = *reinterpret_cast<entry**>(thread_pointer + sizeof(void*));
    const std::size_t count = blocks[-1].value;
    if (count > unlikely) return;
    for (std::size_t n = 1; n <= count; ++n) {
        if (blocks[n].memory == nullptr || blocks[n].value == not_made) continue;
        std::free(blocks[n].memory);
        blocks[n] = {not_made, nullptr};
    }
}

} // namespace

void image::write(char* thread_pointer) const noexcept {
    char* const to = thread_pointer + offset;
    std::memcpy(to, values, filled);
    std::memset(to + filled, 0, size - filled);
}

void write_all(char* thread_pointer) noexcept {
    free_blocks(thread_pointer);
    const std::lock_guard hold(all.lock);
    look();
    for (std::size_t n = 0; n < all.count; ++n) all.at[n].write(thread_pointer);
}

void find_new(void (*tell)(const image&)) {
    const std::lock_guard hold(all.lock);
    look();
    for (std::size_t n = 0; n < all.count; ++n) {
        const image& i = all.at[n];
        bool is_new = true;
        for (std::size_t t = 0; t < all.told_count && is_new; ++t) is_new = !(all.told[t] == i);
        if (is_new && tell != nullptr) tell(i);
    }
    std::copy(all.at, all.at + all.count, all.told);
    all.told_count = all.count;
}

void after_fork() noexcept { all.lock.reset(); }

} // namespace weft::rt::tls_images
