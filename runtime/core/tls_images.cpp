// SPDX-License-Identifier: Apache-2.0
#include "core/tls_images.hpp"

#include "core/hub.hpp"
#include "core/thread_pointer.hpp"
#include "core/tls_layout.hpp"

#include <weft/detail/spinlock.hpp>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <mutex>

#include <link.h>
#include <pthread.h>

namespace weft::rt::tls_images {

namespace {

constinit std::atomic<int> readers{0};

constexpr std::size_t most = 256; // modules with static TLS; its room for late ones is small

struct known {
    spinlock lock;
    bool any = false;
    unsigned long long loads = 0, unloads = 0; // of modules, when we looked
    std::int64_t unsettled_until = 0;          // 0: where the last ones' variables lie will not change
    std::size_t count = 0;
    image at[most];
};
constinit known all;

constinit const tls_layout* libc = nullptr;
constinit pthread_mutex_t* list_mutex = nullptr; // libc's own of its list of modules; null: not found

// libc counts a module before it knows whether its variables are to lie in static TLS. It is looked at again for so long.
constexpr std::int64_t settling_ns = 1'000'000'000;

struct block {
    std::uintptr_t value; // where it is
    void* memory;         // to be freed
};
constexpr std::uintptr_t not_made = ~std::uintptr_t{0};

/// libc's array of a frame's blocks, by the numbers of their modules; how many: in the one before.
block* blocks_of(char* thread_pointer) noexcept { return *reinterpret_cast<block**>(thread_pointer + sizeof(void*)); }

enum class place : std::uint8_t { none, unknown, fixed };

/// Where a module's variables lie in every frame. `fresh` is one in which nobody has used any: libc has noted the blocks in static TLS only.
place describe(const dl_phdr_info& module, char* fresh, image& out) noexcept {
    const std::size_t number = module.dlpi_tls_modid;
    const block* const blocks = blocks_of(fresh);
    if (number == 0) return place::none;
    if (number > blocks[-1].value) return place::unknown;
    const std::uintptr_t value = blocks[number].value;
    if (value == 0 || value == not_made) return place::unknown; // to be made on demand
    for (int i = 0; i < module.dlpi_phnum; ++i) {
        const ElfW(Phdr)& part = module.dlpi_phdr[i];
        if (part.p_type != PT_TLS) continue;
        const std::ptrdiff_t offset = reinterpret_cast<char*>(value) - fresh;
        out = {number, offset, reinterpret_cast<const void*>(module.dlpi_addr + part.p_vaddr), part.p_filesz, part.p_memsz};
        const std::ptrdiff_t own = reinterpret_cast<char*>(&errno) - thread_pointer();
        const bool is_libcs = own >= offset && own < offset + static_cast<std::ptrdiff_t>(out.size); // it holds errno
        return is_libcs ? place::none : place::fixed;
    }
    return place::none;
}

/// Whether modules came or went since they were read. The lock is held.
bool is_stale() noexcept {
    if (!all.any) return true;
    if (readers.load(std::memory_order_relaxed) > 0) return false;
    bool stale = all.unsettled_until != 0;
    ::dl_iterate_phdr(
        [](dl_phdr_info* module, std::size_t, void* out) -> int {
            *static_cast<bool*>(out) |= module->dlpi_adds != all.loads || module->dlpi_subs != all.unloads;
            return 1;
        },
        &stale);
    return stale;
}

/// Reads the modules anew. The lock is held.
void read(char* fresh) noexcept {
    struct reading {
        char* fresh;
        bool all_known = true, same = true;
    } now{fresh};
    all.count = 0;
    ::dl_iterate_phdr(
        [](dl_phdr_info* module, std::size_t, void* argument) -> int {
            auto& in = *static_cast<reading*>(argument);
            in.same &= all.any && all.loads == module->dlpi_adds && all.unloads == module->dlpi_subs;
            all.any = true;
            all.loads = module->dlpi_adds;
            all.unloads = module->dlpi_subs;
            image i;
            const place where = describe(*module, in.fresh, i);
            in.all_known &= where != place::unknown;
            if (where == place::fixed && all.count < most) all.at[all.count++] = i;
            return 0;
        },
        &now);
    const std::int64_t time = now_ns();
    if (now.all_known || (now.same && time >= all.unsettled_until)) all.unsettled_until = 0;
    else if (!now.same) all.unsettled_until = time + settling_ns;
}

/// The mutex among libc's own that the calling thread has in a callback of dl_iterate_phdr, once. Null: none, or several look like it.
pthread_mutex_t* find_list_mutex() noexcept {
    struct search {
        int tid;
        pthread_mutex_t* found = nullptr;
        int count = 0;
    } s{libc->tid_of(thread_pointer())};
    ::dl_iterate_phdr(
        [](dl_phdr_info*, std::size_t, void* argument) -> int {
            auto& in = *static_cast<search*>(argument);
            for (char* at = libc->loader; at + sizeof(pthread_mutex_t) <= libc->loader_end; at += alignof(pthread_mutex_t)) {
                auto* const m = reinterpret_cast<pthread_mutex_t*>(at);
                if (m->__data.__lock == 0 || m->__data.__count != 1 || m->__data.__owner != in.tid || m->__data.__kind != PTHREAD_MUTEX_RECURSIVE_NP) continue;
                in.found = m;
                ++in.count;
            }
            return 1;
        },
        &s);
    return s.count == 1 ? s.found : nullptr;
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

/// Nothing if modules came or went since they were read: those that went are no longer there to be read. The lock is held.
bool write_known(char* thread_pointer, bool if_settled) noexcept {
    struct writing {
        char* thread_pointer;
        bool done;
        void operator()() noexcept {
            for (std::size_t n = 0; n < all.count; ++n) all.at[n].write(thread_pointer);
            done = true;
        }
    } w{thread_pointer, false};
    if (!all.any || (if_settled && all.unsettled_until != 0 && readers.load(std::memory_order_relaxed) == 0)) return false;
    if (readers.load(std::memory_order_relaxed) > 0) {
        w();
        return true;
    }
    ::dl_iterate_phdr( // in its callback none goes
        [](dl_phdr_info* module, std::size_t, void* argument) -> int {
            if (module->dlpi_adds == all.loads && module->dlpi_subs == all.unloads) (*static_cast<writing*>(argument))();
            return 1;
        },
        &w);
    return w.done;
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

bool write_all(char* thread_pointer) noexcept {
    constexpr int most_tries = 100;
    const inside_weft inside; // a shim's dl_iterate_phdr would come back here
    free_blocks(thread_pointer);
    std::unique_lock hold(all.lock);
    for (int tries = 0; !write_known(thread_pointer, tries == 0); ++tries) {
        if (tries == most_tries) return false;
        look(hold);
    }
    return true;
}

void begin(const tls_layout& layout) noexcept {
    libc = &layout;
    list_mutex = find_list_mutex();
    std::unique_lock hold(all.lock);
    look(hold);
}

void stay(int change) noexcept {
    std::unique_lock hold(all.lock); // nobody looks at the modules, which would have to wait for who reads them
    if (change > 0 && libc != nullptr && readers.load(std::memory_order_relaxed) == 0) look(hold); // for the last time
    readers.fetch_add(change, std::memory_order_relaxed);
}

void only_stay(int times) noexcept { readers.store(times, std::memory_order_relaxed); }

/// libc's fork leaves this one as it was.
void after_fork(int tid) noexcept {
    if (all.lock.reset()) all.any = false; // somebody was about to change it
    if (list_mutex == nullptr || list_mutex->__data.__owner == tid) return;
    list_mutex->__data.__lock = list_mutex->__data.__owner = 0;
    list_mutex->__data.__count = list_mutex->__data.__nusers = 0;
}

} // namespace weft::rt::tls_images
