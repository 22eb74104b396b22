// SPDX-License-Identifier: Apache-2.0
#include "core/tls_frame.hpp"

#include "core/carrier_thread.hpp"
#include "core/hub.hpp"
#include "core/leak_roots.hpp"
#include "core/sanitizer.hpp"
#include "core/setxid.hpp"
#include "core/sys.hpp"
#include "core/thread_end.hpp"
#include "core/thread_pointer.hpp"
#include "core/tls_images.hpp"
#include "core/tls_layout.hpp"

#include <weft/detail/spinlock.hpp>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>
#include <utility>

#include <dlfcn.h>
#include <locale.h>
#include <sys/mman.h>

namespace weft::rt {

constinit bool can_write_thread_pointer = false;

namespace {

constinit tls_layout layout;
constinit std::atomic<bool> looked{false};
constinit const char* wrong = nullptr;

constexpr std::size_t cache_line = 64;
constexpr std::size_t frames_a_slab = 64;
constexpr std::size_t largest_slab = std::size_t{4} << 20;
constexpr std::size_t page = 4096, huge_page = std::size_t{2} << 20;

constexpr std::size_t round_up(std::size_t n, std::size_t to) noexcept { return (n + to - 1) / to * to; }

template <class T>
T& at(char* base, std::ptrdiff_t offset) noexcept {
    return *reinterpret_cast<T*>(base + offset);
}

// libc's list of threads. Every frame is in it, as every thread of libc's own is, so that libc gives it the initial values of modules that are loaded
// later, and waits for it before it lets go of what a look-up of symbols uses. Its readers go forwards, with a lock that we cannot have, so
// an entry comes in by one store, and still leads on when it has been taken out.
constinit spinlock list_lock; // of our own changes

/// In the list. Entries that are in none point at themselves, or at who knows of them no more.
bool is_in_list(char* entry) noexcept {
    char *const next = at<char*>(entry, 0), *const previous = at<char*>(entry, sizeof(void*));
    if (next == entry || next == nullptr || previous == nullptr) return false;
    return at<char*>(next, sizeof(void*)) == entry && at<char*>(previous, 0) == entry;
}

void take_out(char* entry) noexcept {
    const std::lock_guard hold(list_lock);
    if (!is_in_list(entry)) return;
    char *const next = at<char*>(entry, 0), *const previous = at<char*>(entry, sizeof(void*));
    at<char*>(next, sizeof(void*)) = previous;
    at<char*>(previous, 0) = next;
}

void put_in(char* entry) noexcept {
    const std::lock_guard hold(list_lock);
    char *const head = layout.threads_by_hand, *const next = at<char*>(head, 0);
    at<char*>(entry, 0) = next;
    at<char*>(entry, sizeof(void*)) = head;
    at<char*>(next, sizeof(void*)) = entry;
    std::atomic_ref(at<char*>(head, 0)).store(entry, std::memory_order_release);
}

// Frames whose libc tid stays as it is, wherever they are carried: libc's own locks know their owners by it.
struct pinned_tid {
    std::atomic<thread_state*> of{nullptr};
    int number = 0; // meanwhile
    int latest = 0; // that of the kernel thread
    int depth = 0;
};
constinit pinned_tid pins[8];

pinned_tid* pin_of(const thread_state& s) noexcept {
    for (pinned_tid& p : pins)
        if (p.of.load(std::memory_order_relaxed) == &s) return &p;
    return nullptr;
}

} // namespace

/// All frames: those that wait for use, and memory for new ones.
class frame_pool {
public:
    tls_frame* take() noexcept {
        tls_frame* f = nullptr;
        {
            const std::lock_guard hold(lock_);
            if (f = free_; f != nullptr) {
                free_ = f->next_;
                return f;
            }
            void* const room = carve();
            if (room == nullptr) return nullptr;
            f = ::new (room) tls_frame();
        }
        if (f->make()) return f;
        const std::lock_guard hold(lock_);
        f->next_ = unmade_;
        unmade_ = f;
        return nullptr;
    }
    void put(tls_frame& f) noexcept {
        const std::lock_guard hold(lock_);
        f.next_ = free_;
        free_ = &f;
    }
    /// Where another thread was changing it, what is free is left alone.
    void after_fork() noexcept {
        if (!lock_.reset()) return;
        free_ = unmade_ = nullptr;
        next_ = nullptr;
        room_ = 0;
    }

private:
    /// Room for one more. The lock is held.
    void* carve() noexcept {
        if (unmade_ != nullptr) {
            tls_frame* f = unmade_;
            unmade_ = f->next_;
            return f;
        }
        const std::size_t alignment = layout.alignment < cache_line ? cache_line : layout.alignment;
        const std::size_t stride = round_up(round_up(sizeof(tls_frame), alignment) + layout.size + tls_frame::room_size, alignment);
        if (room_ < stride && !make_slab(stride, alignment)) return nullptr;
        void* const place = next_;
        next_ += stride;
        room_ -= stride;
        return place;
    }

    /// The first is small. Those of a program with many threads are huge pages, as far as the kernel has some: each switch touches a frame.
    bool make_slab(std::size_t stride, std::size_t alignment) noexcept {
        const std::size_t some = stride * frames_a_slab;
        const bool huge = next_ != nullptr && some <= huge_page;
        const std::size_t bytes = huge ? huge_page : round_up((some < largest_slab ? some : stride) + alignment, page);
        const std::size_t aligned = huge ? huge_page : alignment;
        const std::size_t mapped = huge ? bytes + huge_page : bytes;
        void* p = ::mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (p == MAP_FAILED) return false;
        auto* const from = static_cast<char*>(p);
        next_ = reinterpret_cast<char*>(round_up(reinterpret_cast<std::uintptr_t>(p), aligned));
        const auto before = static_cast<std::size_t>(next_ - from);
        room_ = bytes;
        leak_roots::add(next_, bytes - (huge ? 0 : before));
        if (!huge) {
            room_ -= before;
            return true;
        }
        if (before != 0) ::munmap(from, before);
        if (before != huge_page) ::munmap(next_ + bytes, huge_page - before);
        ::madvise(next_, bytes, MADV_HUGEPAGE);
        return true;
    }

    spinlock lock_;
    tls_frame* free_ = nullptr;
    tls_frame* unmade_ = nullptr; // room for a frame whose making failed
    char* next_ = nullptr;
    std::size_t room_ = 0;
};

namespace {
constinit frame_pool pool;
} // namespace

namespace {
constinit spinlock looking;
} // namespace

const char* tls_frame::unavailable() noexcept {
    if (looked.load(std::memory_order_acquire)) return wrong;
    const std::lock_guard hold(looking);
    if (!looked.load(std::memory_order_relaxed)) {
        const inside_weft inside;
        wrong = find_tls_layout(layout);
        if (wrong == nullptr) {
            tls_images::begin(layout);
            setxid::watch(layout);
        }
        looked.store(true, std::memory_order_release);
    }
    return wrong;
}

bool tls_frame::make() noexcept {
    const std::size_t alignment = layout.alignment < cache_line ? cache_line : layout.alignment;
    char* const memory = reinterpret_cast<char*>(this) + round_up(sizeof *this, alignment);
    pointer_ = memory + (layout.size - layout.descriptor) / alignment * alignment;
    room_ = memory + layout.size;
    const inside_weft inside;
    if (layout.allocate(pointer_) == nullptr) return false;
    fill();
    return true;
}

/// The descriptor, as libc's own pthread_create leaves it.
void tls_frame::fill() noexcept {
    char* const self = pointer_;
    const char* const other = rt::thread_pointer();
    at<char*>(self, 0) = self;
    at<char*>(self, 0x10) = self;
    at<int>(self, 0x18) = layout.multiple_threads;
    std::memcpy(self + 0x28, other + 0x28, 2 * sizeof(std::uintptr_t)); // stack and pointer guard
    char* const robust = self + layout.robust;
    at<char*>(robust, 0) = robust;                                                          // the list is empty
    at<char*>(robust, -static_cast<std::ptrdiff_t>(sizeof(void*))) = robust;                // robust_prev
    std::memcpy(robust + sizeof(void*), other + layout.robust + sizeof(void*), sizeof(long)); // where a futex lies in an entry
    at<char*>(self, layout.specific) = self + layout.first_keys;
    at<char*>(self, layout.resolver_pointer) = self + layout.resolver;
    if (layout.rseq_cpu != 0) at<std::uint32_t>(self, layout.rseq_cpu) = static_cast<std::uint32_t>(-1); // not registered
    put_in(self + layout.list);
}

/// What the one before left: all modules' variables but libc's, and what libc says of the thread itself.
void tls_frame::refresh() noexcept {
    tls_images::write_all(pointer_);
    at<int>(pointer_, layout.errno_at) = 0;
    at<std::uint32_t>(pointer_, layout.cancel) = 0;
    used_ = false;
}

/// It was free when this process was forked off. libc has forgotten it since, and has loaded modules without it.
void tls_frame::join_child() noexcept {
    put_in(pointer_ + layout.list);
    state().descriptor = nullptr;
    used_ = true;
    generation_ = fork_generation();
}

tls_frame* tls_frame::take(hub& h) noexcept {
    if (unavailable() != nullptr) return nullptr;
    tls_frame* const f = pool.take();
    if (f == nullptr) return nullptr;
    if (__builtin_expect(f->generation_ != fork_generation(), 0)) f->join_child();
    if (f->used_) f->refresh();
    thread_state& mine = f->state();
    thread_state& carrier = carrier_state();
    mine.current_hub = &h;
    mine.stacks = h.stacks();
    mine.fiber_selector = this_thread_state.fiber_selector;
    mine.errno_address = &at<int>(f->pointer_, layout.errno_at);
    mine.exception_globals = &at<__cxxabiv1::__cxa_eh_globals>(f->pointer_, layout.exceptions);
    mine.thread_pointer = f->pointer_;
    mine.carrier = &carrier;
    set_tid(mine, sys::gettid());
    return f;
}

void tls_frame::put(tls_frame& f) noexcept {
    f.state().thread = nullptr;
    f.state().carrier = nullptr;
    set_tid(f.state(), -1); // as libc has it of no thread: who joins it once more is told so (ESRCH)
    pool.put(f);
}

void tls_frame::set_tid(thread_state& s, int tid) noexcept {
    if (!looked.load(std::memory_order_relaxed) || wrong != nullptr) return;
    if (pinned_tid* const p = pin_of(s); __builtin_expect(p != nullptr, 0)) p->latest = tid;
    else at<int>(reinterpret_cast<char*>(&s) - layout.state, layout.tid) = tid;
}

void tls_frame::pin_tid(int number) noexcept {
    if (!looked.load(std::memory_order_relaxed) || wrong != nullptr) return;
    thread_state& s = this_thread_state;
    if (pinned_tid* const p = pin_of(s); p != nullptr) {
        ++p->depth;
        return;
    }
    int& tid = at<int>(rt::thread_pointer(), layout.tid);
    for (pinned_tid& p : pins) {
        thread_state* nobody = nullptr;
        if (!p.of.compare_exchange_strong(nobody, &s)) continue;
        p.latest = tid;
        p.number = number == 0 ? tid : number;
        p.depth = 1;
        tid = p.number;
        return;
    }
}

void tls_frame::unpin_tid() noexcept {
    pinned_tid* const p = pin_of(this_thread_state);
    if (p == nullptr || --p->depth != 0) return;
    at<int>(rt::thread_pointer(), layout.tid) = p->latest;
    p->of.store(nullptr, std::memory_order_release);
}

void tls_frame::begin_shared() noexcept { layout.ctype_init(); }

void tls_frame::begin() noexcept {
    if (used_) ::uselocale(LC_GLOBAL_LOCALE);
    used_ = true;
    layout.ctype_init();
}

namespace {

/// Values of keys, as POSIX has it: again while destructors set new ones, up to four times.
void destroy_values() {
    char* const self = rt::thread_pointer();
    using block = tls_layout::key_data;
    constexpr int blocks = 32, rounds = 4;
    auto* const table = &at<block*>(self, layout.specific);
    auto* const own = reinterpret_cast<block*>(self + layout.first_keys);
    bool again = true;
    for (int round = 0; again && round < rounds; ++round) {
        again = false;
        for (int b = 0; b < blocks; ++b) {
            if (table[b] == nullptr) continue;
            for (int i = 0; i < tls_layout::keys_a_block; ++i) {
                block& value = table[b][i];
                if (value.data == nullptr) continue;
                void* const data = std::exchange(value.data, nullptr);
                const tls_layout::key& key = layout.keys[b * tls_layout::keys_a_block + i];
                if (value.sequence != key.sequence || key.destructor == nullptr) continue;
                again = true;
                key.destructor(data);
            }
        }
    }
    for (int b = 0; b < blocks; ++b) {
        if (table[b] == nullptr) continue;
        if (table[b] == own) {
            std::memset(static_cast<void*>(own), 0, sizeof(block) * tls_layout::keys_a_block);
        } else {
            std::free(table[b]);
            table[b] = nullptr;
        }
    }
}

} // namespace

void tls_frame::end() {
    layout.call_destructors();
    destroy_values();
    if (::dlerror() != nullptr) ::dlerror(); // a message that nobody has asked for; the second call lets go of it
}

void tls_frame::end_keys() { destroy_values(); }

std::uint32_t& tls_frame::cancel_word(char* pointer) noexcept { return at<std::uint32_t>(pointer, layout.cancel); }

bool tls_frame::heeds_end() noexcept {
    if (this_thread_state.end_wanted.load(std::memory_order_relaxed) == end_begun) return true;
    const std::uint32_t word = std::atomic_ref(cancel_word(rt::thread_pointer())).load(std::memory_order_relaxed);
    if (this_thread_state.may_end != ends && (word & cancel_asynchronous) == 0) return false;
    return (word & (cancel_disabled | thread_exiting)) == 0;
}

void tls_frame::modules_stay(int change) noexcept {
    const inside_weft inside;
    tls_images::stay(change);
}

void tls_frame::only_reads_modules(int times) noexcept { tls_images::only_stay(times); }

void tls_frame::stand_for(tls_frame& f, thread_state& kernel_thread, int tid) noexcept {
    f.state().carrier = &kernel_thread;
    at<int>(f.pointer_, layout.tid) = tid;
    kernel_thread.descriptor = f.state().descriptor = f.pointer_;
}

// libc's fork has made the calling frame's descriptor that of the process's one thread: it alone is in the list of threads, and the kernel knows its
// robust list and its tid. But a frame comes and goes; the thread is the carrier, with its own.
// The frames of those that do not exist here are left alone, so that their pages stay the parent's.
void tls_frame::after_fork(hub* survivor) noexcept {
    pool.after_fork();
    list_lock.reset();
    looking.reset();
    const int tid = sys::gettid();
    if (!looked.load(std::memory_order_relaxed) || wrong != nullptr) {
        tls_images::after_fork(tid);
        return;
    }
    char* const self = rt::thread_pointer();
    thread_state& kernel_thread = carrier_state();
    char* const carrier = reinterpret_cast<char*>(&kernel_thread) - layout.state;
    const auto pointer_of = [](thread_state& s) noexcept { return reinterpret_cast<char*>(&s) - layout.state; };
    char* living[4] = {self, carrier};
    int count = self == carrier ? 1 : 2;
    const auto also = [&](char* pointer) noexcept {
        if (std::find(living, living + count, pointer) == living + count) living[count++] = pointer;
    };
    if (survivor != nullptr) also(pointer_of(survivor->home_frame()));
    if (kernel_thread.self != nullptr) also(pointer_of(kernel_thread.self->idle().frame()));
    std::for_each(living, living + count, [](char* pointer) noexcept { take_out(pointer + layout.list); });
    std::for_each(living, living + count, [&](char* pointer) noexcept {
        thread_state& s = *reinterpret_cast<thread_state*>(pointer + layout.state);
        at<int>(pointer, layout.tid) = tid;
        s.descriptor = nullptr;
        if (s.carrier != nullptr) s.carrier = &kernel_thread;
        put_in(pointer + layout.list);
    });
    for (pinned_tid& p : pins) {
        if (p.of.load(std::memory_order_relaxed) != &this_thread_state) {
            p.of.store(nullptr, std::memory_order_relaxed);
        } else { // it has locked something in libc by that number
            p.latest = tid;
            at<int>(self, layout.tid) = p.number;
        }
    }
    tls_images::after_fork(at<int>(self, layout.tid));
    if (rt::thread_pointer() == carrier) return;
    char* const robust = carrier + layout.robust;
    at<char*>(robust, 0) = robust; // of the parent's
    at<char*>(robust, -static_cast<std::ptrdiff_t>(sizeof(void*))) = robust;
    at<char*>(robust, 2 * sizeof(void*)) = nullptr;
    sys::call(SYS_set_robust_list, sys::arg(robust), 3 * sizeof(void*));
    sys::call(SYS_set_tid_address, sys::arg(carrier + layout.tid));
}

} // namespace weft::rt
