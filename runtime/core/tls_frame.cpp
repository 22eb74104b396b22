// SPDX-License-Identifier: Apache-2.0
#include "core/tls_frame.hpp"

#include "core/carrier_thread.hpp"
#include "core/frame_pool.hpp"
#include "core/frame_state.hpp"
#include "core/hub.hpp"
#include "core/sanitizer.hpp"
#include "core/setxid.hpp"
#include "core/sys.hpp"
#include "core/thread_end.hpp"
#include "core/thread_list.hpp"
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

constexpr std::size_t round_up(std::size_t n, std::size_t to) noexcept { return (n + to - 1) / to * to; }

template <class T>
T& at(char* base, std::ptrdiff_t offset) noexcept {
    return *reinterpret_cast<T*>(base + offset);
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

constinit frame_pool pool;
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

tls_frame::tls_frame(frame_slab& s) noexcept : slab_(&s) {
    const std::size_t alignment = layout.alignment < cache_line ? cache_line : layout.alignment;
    char* const memory = reinterpret_cast<char*>(this) + round_up(sizeof *this, alignment);
    pointer_ = memory + (layout.size - layout.descriptor) / alignment * alignment;
    room_ = memory + layout.size;
}

bool tls_frame::make() noexcept {
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
    thread_list::put_in(layout, self + layout.list);
}

/// Of the states, the next is its own.
void tls_frame::remake(frame_states& states) noexcept {
    states.take(pointer_);
    thread_list::put_in(layout, pointer_ + layout.list);
    used_ = true;
}

/// What the one before left: all modules' variables but libc's, and what libc says of the thread itself.
bool tls_frame::refresh() noexcept {
    if (!tls_images::write_all(pointer_)) return false;
    at<int>(pointer_, layout.errno_at) = 0;
    at<std::uint32_t>(pointer_, layout.cancel) = 0;
    used_ = false;
    return true;
}

/// It was free when this process was forked off. libc has forgotten it since, and has loaded modules without it.
void tls_frame::join_child() noexcept {
    thread_list::put_in(layout, pointer_ + layout.list);
    state().descriptor = nullptr;
    used_ = true;
    generation_ = fork_generation();
}

tls_frame* tls_frame::take(hub& h) noexcept {
    if (unavailable() != nullptr) return nullptr;
    tls_frame* const f = pool.take(layout);
    if (f == nullptr) return nullptr;
    if (__builtin_expect(f->generation_ != fork_generation(), 0)) f->join_child();
    if (f->used_ && !f->refresh()) {
        pool.put(*f);
        return nullptr;
    }
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

bool tls_frame::has_surplus() noexcept { return pool.has_surplus(); }
void tls_frame::give_back() noexcept { pool.give_back(layout); }

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
    thread_list::after_fork();
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
    std::for_each(living, living + count, [](char* pointer) noexcept { thread_list::take_out(pointer + layout.list); });
    std::for_each(living, living + count, [&](char* pointer) noexcept {
        thread_state& s = *reinterpret_cast<thread_state*>(pointer + layout.state);
        at<int>(pointer, layout.tid) = tid;
        s.descriptor = nullptr;
        if (s.carrier != nullptr) s.carrier = &kernel_thread;
        thread_list::put_in(layout, pointer + layout.list);
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
