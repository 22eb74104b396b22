// SPDX-License-Identifier: Apache-2.0
#pragma once

// The signals of one kernel thread that have come and whose handlers have not run yet: first in, first out. Written by handlers, which
// may interrupt each other and the reader, never by another thread.

#include "core/sys.hpp"

#include <atomic>
#include <csignal>
#include <cstdint>
#include <cstring>

#include <sys/mman.h>

namespace weft::shim::signals {

class signal_record {
public:
    /// Async-signal-safe. A standard signal is kept a few times only: the kernel, too, makes one of many that nobody has looked at yet.
    /// Queued ones are all kept.
    void add(const siginfo_t& info) noexcept {
        const int number = info.si_signo;
        if (number < first_queued && unread_[number].fetch_add(1, std::memory_order_relaxed) >= most_standard) {
            unread_[number].fetch_sub(1, std::memory_order_relaxed);
            return;
        }
        slot* const to = place(written_.fetch_add(1, std::memory_order_relaxed));
        if (to != nullptr) std::memcpy(to->info, &info, sizeof to->info);
    }
    /// The oldest. False: there is none.
    bool take(siginfo_t& info) noexcept {
        while (read_ != written_.load(std::memory_order_relaxed)) {
            slot* const from = place(read_++);
            if (from == nullptr) continue; // there was no memory to keep it
            std::memset(&info, 0, sizeof info);
            std::memcpy(&info, from->info, sizeof from->info);
            *from = {};
            drop_read();
            if (info.si_signo == 0) continue;
            if (info.si_signo < first_queued) unread_[info.si_signo].fetch_sub(1, std::memory_order_relaxed);
            return true;
        }
        return false;
    }
    /// In the child of a fork: what came was its parent's.
    void forget() noexcept {
        siginfo_t info;
        while (take(info)) {}
    }

private:
    static constexpr int first_queued = 32;
    static constexpr std::uint8_t most_standard = 8;
    struct slot {
        alignas(siginfo_t) char info[48] = {}; // all of siginfo that is used
    };
    template <std::uint32_t Size>
    struct block_of {
        std::atomic<block_of<84>*> next{nullptr};
        std::uint32_t base = 0; // the number of its first slot
        slot at[Size] = {};
    };
    using block = block_of<84>; // a page
    static_assert(sizeof(block) <= 4096);
    static constexpr std::uint32_t few = 8;

    /// The slot of that number, with memory of its own; null if there is none.
    slot* place(std::uint32_t number) noexcept {
        if (number - first_.base < few) return &first_.at[number - first_.base];
        std::uint32_t end = first_.base + few;
        for (std::atomic<block*>* link = &first_.next;; ) {
            block* b = link->load(std::memory_order_relaxed);
            if (b == nullptr && (b = make(end, *link)) == nullptr) return nullptr;
            if (number - b->base < 84) return &b->at[number - b->base];
            end = b->base + 84;
            link = &b->next;
        }
    }
    static block* make(std::uint32_t base, std::atomic<block*>& link) noexcept {
        const long p = rt::sys::call(SYS_mmap, 0, sizeof(block), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p < 0 && p > -4096) return nullptr;
        auto* const b = reinterpret_cast<block*>(p); // zero is what every member but one starts with
        b->base = base;
        block* other = nullptr;
        if (link.compare_exchange_strong(other, b, std::memory_order_relaxed)) return b;
        rt::sys::call(SYS_munmap, p, sizeof(block)); // a handler that interrupted us was faster
        return other;
    }
    /// When all is read, it begins anew with the slots of its own.
    void drop_read() noexcept {
        const bool more = first_.next.load(std::memory_order_relaxed) != nullptr;
        if (more ? read_ != written_.load(std::memory_order_relaxed) : read_ - first_.base < few) return;
        std::uint64_t before = 0;
        const std::uint64_t all = ~(std::uint64_t{1} << (SIGSYS - 1)); // which may stand for a system call
        rt::sys::call(SYS_rt_sigprocmask, SIG_SETMASK, rt::sys::arg(&all), rt::sys::arg(&before), sizeof all);
        if (read_ == written_.load(std::memory_order_relaxed)) {
            first_.base = read_;
            for (block* b = first_.next.exchange(nullptr, std::memory_order_relaxed); b != nullptr;) {
                block* const next = b->next.load(std::memory_order_relaxed);
                rt::sys::call(SYS_munmap, rt::sys::arg(b), sizeof *b);
                b = next;
            }
        }
        rt::sys::call(SYS_rt_sigprocmask, SIG_SETMASK, rt::sys::arg(&before), 0, sizeof before);
    }

    std::atomic<std::uint32_t> written_{0};
    std::uint32_t read_ = 0;
    std::atomic<std::uint8_t> unread_[first_queued] = {};
    block_of<few> first_{};
};

} // namespace weft::shim::signals
