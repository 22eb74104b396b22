// SPDX-License-Identifier: Apache-2.0
#include "threads/loader.hpp"

#include "core/serve.hpp"
#include "threads/futex.hpp"
#include "threads/green.hpp"
#include "threads/tid.hpp"

#include "core/options.hpp"
#include "core/thread_pointer.hpp"
#include "core/tls_frame.hpp"
#include <weft/export.hpp>

#include <atomic>
#include <cerrno>
#include <climits>
#include <cstring>

extern "C" {
// For loader_entry.S.
[[gnu::visibility("hidden")]] void* weft_call_from(void* function, long a, long b, long c, const void* ret);
[[gnu::visibility("hidden")]] extern bool weft_loader_serves;
[[gnu::visibility("hidden")]] extern decltype(&::dlopen) weft_real_dlopen;
[[gnu::visibility("hidden")]] extern decltype(&::dlmopen) weft_real_dlmopen;
[[gnu::visibility("hidden")]] extern decltype(&::dlclose) weft_real_dlclose;
[[gnu::visibility("hidden")]] extern decltype(&::dl_iterate_phdr) weft_real_dl_iterate_phdr;
constinit bool weft_loader_serves = false;
constinit decltype(&::dlopen) weft_real_dlopen = nullptr;
constinit decltype(&::dlmopen) weft_real_dlmopen = nullptr;
constinit decltype(&::dlclose) weft_real_dlclose = nullptr;
constinit decltype(&::dl_iterate_phdr) weft_real_dl_iterate_phdr = nullptr;
}

namespace weft::shim::loader {

namespace {

/// A green thread or a kernel thread by its frame; a fiber without one by itself.
const void* me() noexcept {
    const rt::fiber_core* const f = rt::this_thread_state.running;
    if (f != nullptr && f->frame == nullptr && !f->is_on_thread_stack()) return f;
    return rt::thread_pointer();
}

/// What libc is to take the calling thread for while it has a lock; the main thread has no number of its own that the kernel would give to nobody.
int number() noexcept {
    const green_thread* const t = green::self();
    return t == nullptr ? 0 : tid::is_green(t->tid) ? t->tid : tid::first - 1;
}

/// Stands before one of libc's, and as that may be taken again by its owner.
class fiber_lock {
public:
    constexpr explicit fiber_lock(const char* what) noexcept : what_(what) {}

    void take() noexcept {
        if (owner_.load(std::memory_order_relaxed) == me()) {
            ++depth_;
            return;
        }
        std::atomic_ref state(word_);
        std::uint32_t free = 0;
        if (!state.compare_exchange_strong(free, 1, std::memory_order_acquire))
            while (state.exchange(2, std::memory_order_acquire) != 0) futex::wait(&word_, 2, false, {}, what_, endless);
        owner_.store(me(), std::memory_order_relaxed);
        depth_ = 1;
    }
    void give_back() noexcept {
        if (--depth_ != 0) return;
        owner_.store(nullptr, std::memory_order_relaxed);
        if (std::atomic_ref(word_).exchange(0, std::memory_order_seq_cst) == 2) futex::wake(&word_, 1, false);
    }
    [[nodiscard]] bool is_outermost() const noexcept { return depth_ == 1; } // for its owner
    [[nodiscard]] bool is_anothers() const noexcept {
        const void* const owner = owner_.load(std::memory_order_relaxed);
        return owner != nullptr && owner != me();
    }
    [[nodiscard]] bool is_mine() const noexcept { return owner_.load(std::memory_order_relaxed) == me(); }
    /// In the child of fork, where nobody else has it. How often the calling thread has taken it.
    int reset() noexcept {
        if (is_mine()) return depth_;
        owner_.store(nullptr, std::memory_order_relaxed);
        word_ = 0;
        depth_ = 0;
        return 0;
    }

private:
    std::uint32_t word_ = 0; // a futex: 0 free, 1 taken, 2 taken and somebody waits
    std::atomic<const void*> owner_{nullptr};
    int depth_ = 0;
    const char* const what_;
};
constinit fiber_lock modules("the dynamic loader"), names("the list of modules");

/// Loading begins when no callback of dl_iterate_phdr waits: libc would wait for it with a lock that is needed to make threads, so that none could
/// be made to go on with the callback. Neither lock is held while the other is waited for.
void take_to_load() noexcept {
    modules.take();
    while (names.is_anothers() && modules.is_outermost()) {
        modules.give_back();
        names.take();
        names.give_back();
        modules.take();
    }
}

/// While it lives, the calling thread is the only one that loads, or reads the list.
class owning {
public:
    explicit owning(fiber_lock& lock) noexcept : lock_(lock) {
        const int saved_errno = errno;
        {
            const trap::untrapped weft;
            if (&lock == &modules) take_to_load();
            else lock_.take();
            rt::tls_frame::pin_tid(number());
        }
        errno = saved_errno;
    }
    owning(const owning&) = delete;
    owning& operator=(const owning&) = delete;
    ~owning() {
        const int saved_errno = errno;
        {
            const trap::untrapped weft;
            rt::tls_frame::unpin_tid();
            lock_.give_back();
        }
        errno = saved_errno;
    }

private:
    fiber_lock& lock_;
};

/// Not for weft itself, nor where locks of libc's are as good: on kernel threads that have no fibers, if there are no green threads.
bool is_served() noexcept {
    return weft_loader_serves && rt::this_thread_state.inside == 0 && gate::is_on(family::threads);
}

template <call c, class F>
auto counted(F make) {
    if (__builtin_expect(!stats::counting, 1)) return make();
    const stats::one_call here(static_cast<std::size_t>(c), is_served() ? stats::way::served : stats::way::family_off);
    return make();
}

/// An instruction `ret` in the code of the object that this address lies in, best where the frame is plain, for unwinders; null: none.
const void* find_return(const void* caller) noexcept {
    struct search {
        std::uintptr_t address;
        const void* found = nullptr;
    } s{reinterpret_cast<std::uintptr_t>(caller)};
    real().dl_iterate_phdr(
        [](dl_phdr_info* module, std::size_t, void* argument) -> int {
            auto& in = *static_cast<search*>(argument);
            for (int i = 0; i < module->dlpi_phnum; ++i) {
                const ElfW(Phdr)& part = module->dlpi_phdr[i];
                const std::uintptr_t begin = module->dlpi_addr + part.p_vaddr;
                if (part.p_type != PT_LOAD || (part.p_flags & PF_X) == 0 || in.address < begin || in.address >= begin + part.p_memsz) continue;
                const auto* const code = reinterpret_cast<const char*>(begin);
                constexpr unsigned char zero_and_ret[] = {0x31, 0xc0, 0xc3};
                constexpr int ret = 0xc3;
                if (const void* plain = ::memmem(code, part.p_filesz, zero_and_ret, sizeof zero_and_ret); plain != nullptr)
                    in.found = static_cast<const char*>(plain) + 2;
                else in.found = std::memchr(code, ret, part.p_filesz);
                return 1;
            }
            return 0;
        },
        &s);
    return s.found;
}

/// Whether it matters who asks: by whose search path the name is found.
bool asks_caller(const char* file) noexcept {
    return file != nullptr && (std::strchr(file, '/') == nullptr || std::strchr(file, '$') != nullptr);
}

void* open_from(const char* file, int mode, const void* caller) {
    const auto function = real().dlopen;
    const void* const ret = asks_caller(file) ? find_return(caller) : nullptr;
    if (ret == nullptr) return function(file, mode);
    return weft_call_from(reinterpret_cast<void*>(function), reinterpret_cast<long>(file), mode, 0, ret);
}

void* open(const char* file, int mode, const void* caller) {
    if (!is_served()) return open_from(file, mode, caller);
    const owning here(modules);
    return open_from(file, mode, caller);
}

void* open_in_from(Lmid_t space, const char* file, int mode, const void* caller) {
    const auto function = real().dlmopen;
    const void* const ret = asks_caller(file) ? find_return(caller) : nullptr;
    if (ret == nullptr) return function(space, file, mode);
    return weft_call_from(reinterpret_cast<void*>(function), space, reinterpret_cast<long>(file), mode, ret);
}

void* open_in(Lmid_t space, const char* file, int mode, const void* caller) {
    if (!is_served()) return open_in_from(space, file, mode, caller);
    const owning here(modules);
    return open_in_from(space, file, mode, caller);
}

int close(void* handle) {
    if (!is_served()) return real().dlclose(handle);
    const owning here(modules);
    return real().dlclose(handle);
}

class reading {
public:
    reading() noexcept { rt::tls_frame::modules_stay(1); }
    reading(const reading&) = delete;
    reading& operator=(const reading&) = delete;
    ~reading() { rt::tls_frame::modules_stay(-1); }

private:
    owning first_{names};
};

using each_module = int (*)(dl_phdr_info*, std::size_t, void*);
int for_each(each_module f, void* argument) {
    if (!is_served()) return real().dl_iterate_phdr(f, argument);
    const reading here;
    return real().dl_iterate_phdr(f, argument);
}

} // namespace

void initialise() noexcept {
    weft_real_dlopen = real().dlopen;
    weft_real_dlmopen = real().dlmopen;
    weft_real_dlclose = real().dlclose;
    weft_real_dl_iterate_phdr = real().dl_iterate_phdr;
    weft_loader_serves = rt::process_options().preloaded && gate::is_on(family::threads);
}

void threads_begin() noexcept {
    weft_loader_serves = true;
    if (modules.is_mine()) rt::tls_frame::pin_tid(0);
    if (names.is_mine()) rt::tls_frame::pin_tid(0);
}

void after_fork() noexcept {
    modules.reset();
    rt::tls_frame::only_reads_modules(names.reset());
}

} // namespace weft::shim::loader

using weft::shim::call;
namespace loader = weft::shim::loader;

extern "C" {

[[gnu::visibility("hidden")]] void* weft_dlopen(const char* file, int mode, const void* caller) {
    return loader::counted<call::dlopen>([=] { return loader::open(file, mode, caller); });
}
[[gnu::visibility("hidden")]] void* weft_dlmopen(Lmid_t space, const char* file, int mode, const void* caller) {
    return loader::counted<call::dlmopen>([=] { return loader::open_in(space, file, mode, caller); });
}
[[gnu::visibility("hidden")]] int weft_dlclose(void* handle) {
    return loader::counted<call::dlclose>([=] { return loader::close(handle); });
}
[[gnu::visibility("hidden")]] int weft_dl_iterate_phdr(loader::each_module f, void* argument) {
    return loader::counted<call::dl_iterate_phdr>([=] { return loader::for_each(f, argument); });
}

} // extern "C"
