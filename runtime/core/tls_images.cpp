// SPDX-License-Identifier: Apache-2.0
#include "core/tls_images.hpp"

#include "core/thread_pointer.hpp"
#include "core/tls_layout.hpp"

#include <weft/detail/spinlock.hpp>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <mutex>

#include <link.h>

namespace weft::rt::tls_images {

constinit std::atomic<int> readers{0};

namespace {

constexpr std::size_t most = 256; // modules with static TLS; its room for late ones is small

struct known {
    spinlock lock;
    bool any = false;
    unsigned long long loads = 0, unloads = 0; // of modules, when we looked
    std::size_t count = 0;
    image at[most];
};
constinit known all;

constinit const tls_layout* libc = nullptr;

struct block {
    std::uintptr_t value; // where it is
    void* memory;         // to be freed
};
constexpr std::uintptr_t not_made = ~std::uintptr_t{0};

/// libc's array of a frame's blocks, by the numbers of their modules; how many: in the one before.
block* blocks_of(char* thread_pointer) noexcept { return *reinterpret_cast<block**>(thread_pointer + sizeof(void*)); }

/// Where a module's variables lie in every frame. `fresh` is one in which nobody has used any: libc has noted the blocks in static TLS only.
bool describe(const dl_phdr_info& module, char* fresh, image& out) noexcept {
    const std::size_t number = module.dlpi_tls_modid;
    const block* const blocks = blocks_of(fresh);
    if (number == 0 || number > blocks[-1].value) return false;
    const std::uintptr_t value = blocks[number].value;
    if (value == 0 || value == not_made) return false; // to be made on demand
    for (int i = 0; i < module.dlpi_phnum; ++i) {
        const ElfW(Phdr)& part = module.dlpi_phdr[i];
        if (part.p_type != PT_TLS) continue;
        const std::ptrdiff_t offset = reinterpret_cast<char*>(value) - fresh;
        out = {number, offset, reinterpret_cast<const void*>(module.dlpi_addr + part.p_vaddr), part.p_filesz, part.p_memsz};
        const std::ptrdiff_t own = reinterpret_cast<char*>(&errno) - thread_pointer();
        return own < offset || own >= offset + static_cast<std::ptrdiff_t>(out.size); // libc's holds errno
    }
    return false;
}

/// Whether modules came or went since they were read. The lock is held.
bool is_stale() noexcept {
    if (!all.any) return true;
    if (readers.load(std::memory_order_relaxed) > 0) return false;
    bool stale = false;
    ::dl_iterate_phdr(
        [](dl_phdr_info* module, std::size_t, void* out) -> int {
            *static_cast<bool*>(out) = module->dlpi_adds != all.loads || module->dlpi_subs != all.unloads;
            return 1;
        },
        &stale);
    return stale;
}

/// Reads the modules anew. The lock is held.
void read(char* fresh) noexcept {
    all.count = 0;
    ::dl_iterate_phdr(
        [](dl_phdr_info* module, std::size_t, void* argument) -> int {
            all.any = true;
            all.loads = module->dlpi_adds;
            all.unloads = module->dlpi_subs;
            if (image i; all.count < most && describe(*module, static_cast<char*>(argument), i)) all.at[all.count++] = i;
            return 0;
        },
        fresh);
}

/// With the lock held all that is known is as it should be. Takes it, and may let go of it meanwhile.
void look(std::unique_lock<spinlock>& hold) noexcept {
    if (!is_stale()) return;
    hold.unlock(); // malloc may be the program's own
    auto* const fresh = static_cast<char*>(libc->allocate(nullptr));
    hold.lock();
    if (fresh == nullptr) return;
    read(fresh);
    hold.unlock();
    libc->deallocate(fresh, true);
    hold.lock();
}

/// Blocks that were made when they were first used; libc's array of blocks says which these are.
void free_blocks(char* thread_pointer) noexcept {
    constexpr std::size_t unlikely = 1U << 16;
    block* const blocks = blocks_of(thread_pointer);
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
    std::unique_lock hold(all.lock);
    look(hold);
    for (std::size_t n = 0; n < all.count; ++n) all.at[n].write(thread_pointer);
}

void begin(const tls_layout& layout) noexcept {
    libc = &layout;
    std::unique_lock hold(all.lock);
    look(hold);
}

void after_fork() noexcept {
    if (!all.lock.try_lock()) all.any = false; // somebody was about to change it
    all.lock.reset();
}

} // namespace weft::rt::tls_images
