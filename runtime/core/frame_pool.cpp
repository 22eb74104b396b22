// SPDX-License-Identifier: Apache-2.0
#include "core/frame_pool.hpp"

#include "core/carrier.hpp"
#include "core/fork.hpp"
#include "core/frame_state.hpp"
#include "core/leak_roots.hpp"
#include "core/thread_list.hpp"
#include "core/tls_frame.hpp"

#include <mutex>
#include <new>

#include <sys/mman.h>

namespace weft::rt {

namespace {

constexpr std::size_t cache_line = 64;
constexpr std::size_t frames_a_slab = 64;
constexpr std::size_t largest_slab = std::size_t{4} << 20;
constexpr std::size_t page = 4096, huge_page = std::size_t{2} << 20;
constexpr std::size_t kept_free = 2048; // frames that keep their memory while nobody uses them

constexpr std::size_t round_up(std::size_t n, std::size_t to) noexcept { return (n + to - 1) / to * to; }

char* map(std::size_t bytes) noexcept {
    void* const p = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? nullptr : static_cast<char*>(p);
}

} // namespace

struct frame_slab {
    frame_slab *previous = nullptr, *next = nullptr;
    bool listed = false;
    char* memory = nullptr;      // whole pages
    std::size_t bytes = 0;
    char* first = nullptr;       // the first frame
    std::size_t stride = 0;
    std::size_t count = 0;       // of frames that it has room for
    std::size_t begun = 0;       // the others have no memory
    std::size_t aside = 0;       // of all, so many were begun once: `states` has what those of them that are not begun kept
    std::size_t free_count = 0;
    tls_frame* free = nullptr;
    tls_frame* unmade = nullptr; // begun, but there was no memory for the rest of them
    frame_states states;

    [[nodiscard]] bool is_unused() const noexcept { return begun != 0 && free_count == begun; }
    [[nodiscard]] bool has_any() const noexcept { return free != nullptr || unmade != nullptr || begun < count; }
};

void frame_pool::slab_list::push_back(frame_slab& s) noexcept {
    s.listed = true;
    s.previous = last;
    s.next = nullptr;
    (last == nullptr ? first : last->next) = &s;
    last = &s;
}

void frame_pool::slab_list::remove(frame_slab& s) noexcept {
    s.listed = false;
    (s.previous == nullptr ? first : s.previous->next) = s.next;
    (s.next == nullptr ? last : s.next->previous) = s.previous;
}

tls_frame* frame_pool::take(const tls_layout& layout) noexcept {
    frame_slab* s = nullptr;
    tls_frame* f = nullptr;
    {
        const std::lock_guard hold(lock_);
        s = usable_.first;
        if (s == nullptr) {
            s = make_slab(layout, !any_);
            if (s == nullptr) return nullptr;
            any_ = true;
            usable_.push_back(*s);
        }
        const bool is_free = s->free != nullptr;
        tls_frame*& list = is_free ? s->free : s->unmade;
        bool kept = false;
        if (list != nullptr) {
            f = list;
            list = f->next_;
        } else {
            kept = s->begun < s->aside;
            f = ::new (s->first + s->begun++ * s->stride) tls_frame(*s);
            if (kept) f->remake(s->states);
        }
        if (!s->has_any()) usable_.remove(*s);
        if (is_free) {
            --s->free_count;
            --free_;
        }
        if (is_free || kept) return f;
    }
    if (f->make()) return f;
    const std::lock_guard hold(lock_);
    f->next_ = s->unmade;
    s->unmade = f;
    if (!s->listed) usable_.push_back(*s);
    return nullptr;
}

void frame_pool::put(tls_frame& f) noexcept {
    {
        const std::lock_guard hold(lock_);
        frame_slab& s = *f.slab_;
        f.next_ = s.free;
        s.free = &f;
        ++free_;
        ++s.free_count;
        if (!s.listed) usable_.push_back(s);
        if (__builtin_expect(!s.is_unused() || !has_too_many(s.begun) || has_surplus(), 1)) return;
        surplus_.store(true, std::memory_order_relaxed);
    }
    watchdog::rouse();
}

/// More are free than are kept beside so many.
bool frame_pool::has_too_many(std::size_t beside) const noexcept { return !never_ && free_ > kept_free + beside; }

/// The one that would be used last. The lock is held.
frame_slab* frame_pool::unused_slab() const noexcept {
    frame_slab* s = usable_.last;
    while (s != nullptr && !(s->is_unused() && has_too_many(s->begun))) s = s->previous;
    return s;
}

void frame_pool::give_back(const tls_layout& layout) noexcept {
    frame_slab* s = nullptr;
    {
        const std::lock_guard hold(lock_);
        s = unused_slab();
        if (s == nullptr) {
            surplus_.store(false, std::memory_order_relaxed);
            return;
        }
        usable_.remove(*s); // nobody else has it now
        free_ -= s->free_count;
    }
    const auto frame = [s](std::size_t n) -> tls_frame& { return *reinterpret_cast<tls_frame*>(s->first + n * s->stride); };
    frame_states states;
    bool done = states.begin(layout, s->begun, s->states);
    if (done && (done = thread_list::lock_libcs(layout))) {
        for (std::size_t n = 0; n < s->begun; ++n) {
            states.add(layout, frame(n).pointer_);
            if (frame(n).generation_ == fork_generation()) thread_list::take_out(frame(n).pointer_ + layout.list);
        }
        thread_list::unlock_libcs();
        states.finish(s->states);
        ::madvise(s->memory, s->bytes, MADV_DONTNEED);
    }
    const std::lock_guard hold(lock_);
    if (done) {
        s->states = states;
        s->aside = s->aside > s->begun ? s->aside : s->begun;
        s->begun = s->free_count = 0;
        s->free = nullptr;
    } else {
        never_ = true;
        free_ += s->free_count;
    }
    usable_.push_back(*s);
}

void frame_pool::after_fork() noexcept {
    if (!lock_.reset()) return;
    usable_ = {};
    free_ = 0;
}

/// The first is small. Those of a program with many threads are huge pages, as far as the kernel has some: each switch touches a frame.
frame_slab* frame_pool::make_slab(const tls_layout& layout, bool is_first) noexcept {
    const std::size_t alignment = layout.alignment < cache_line ? cache_line : layout.alignment;
    const std::size_t stride = round_up(round_up(sizeof(tls_frame), alignment) + layout.size + tls_frame::room_size, alignment);
    const std::size_t some = stride * frames_a_slab;
    const bool huge = !is_first && some <= huge_page;
    const std::size_t bytes = huge ? huge_page : round_up((some < largest_slab ? some : stride) + alignment, page);
    char* const record = map(page);
    char* memory = record == nullptr ? nullptr : map(huge ? bytes + huge_page : bytes);
    if (memory == nullptr) {
        if (record != nullptr) ::munmap(record, page);
        return nullptr;
    }
    if (huge) {
        const std::size_t before = round_up(reinterpret_cast<std::uintptr_t>(memory), huge_page) - reinterpret_cast<std::uintptr_t>(memory);
        if (before != 0) ::munmap(memory, before);
        memory += before;
        if (before != huge_page) ::munmap(memory + bytes, huge_page - before);
        ::madvise(memory, bytes, MADV_HUGEPAGE);
    }
    auto* const s = ::new (record) frame_slab();
    s->memory = memory;
    s->bytes = bytes;
    s->first = reinterpret_cast<char*>(round_up(reinterpret_cast<std::uintptr_t>(memory), alignment));
    s->stride = stride;
    s->count = (bytes - static_cast<std::size_t>(s->first - memory)) / stride;
    leak_roots::add(memory, bytes);
    return s;
}

} // namespace weft::rt
