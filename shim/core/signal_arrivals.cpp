// SPDX-License-Identifier: Apache-2.0
// Pending signals. Their memory is a pool of the process, guarded as they are.
#include "core/signal_receiver.hpp"

#include <sys/mman.h>

namespace weft::shim::signals {

namespace {

constexpr int first_queued = 32;
constexpr std::size_t few = 16;
constexpr std::size_t most_pages = 4096;
constexpr std::size_t page = 4096;

constinit arrival first_ones[few] = {};
constinit arrival* unused = nullptr;
constinit bool begun = false;
constinit std::size_t pages = 0;

void give(arrival* a) noexcept {
    a->next = unused;
    unused = a;
}

arrival* get() noexcept {
    if (!begun) {
        begun = true;
        for (arrival& a : first_ones) give(&a);
    }
    if (unused == nullptr && pages < most_pages) {
        const long p = rt::sys::call(SYS_mmap, 0, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p < 0 && p > -4096) return nullptr;
        ++pages;
        auto* const more = reinterpret_cast<arrival*>(p);
        for (std::size_t i = 0; i < page / sizeof(arrival); ++i) give(more + i);
    }
    arrival* const a = unused;
    if (a != nullptr) unused = a->next;
    return a;
}

} // namespace

void forget_arrivals() noexcept {
    unused = nullptr;
    begun = false;
    pages = 0;
}

bool arrivals::add(const siginfo_t& info, bool to_process, int most) noexcept {
    const int number = info.si_signo;
    if (number < first_queued && (numbers_ & bit(number)) != 0) {
        int have = 0;
        for (const arrival* a = first_; a != nullptr; a = a->next)
            if (a->info.si_signo == number && a->to_process == to_process) ++have;
        if (have >= most) return true;
    }
    arrival* const a = get();
    if (a == nullptr) return false;
    a->next = nullptr;
    a->to_process = to_process;
    a->info = info;
    (first_ == nullptr ? first_ : last_->next) = a;
    last_ = a;
    numbers_ |= bit(number);
    return true;
}

bool arrivals::take(bits wanted, siginfo_t& info) noexcept {
    wanted &= numbers_;
    return wanted != 0 && take_oldest(wanted & -wanted, info);
}

bool arrivals::take_oldest(bits wanted, siginfo_t& info) noexcept {
    if ((wanted & numbers_) == 0) return false;
    arrival* before = nullptr;
    for (arrival* a = first_; a != nullptr; before = a, a = a->next) {
        if ((wanted & bit(a->info.si_signo)) == 0) continue;
        (before == nullptr ? first_ : before->next) = a->next;
        if (last_ == a) last_ = before;
        info = a->info;
        give(a);
        recount();
        return true;
    }
    return false;
}

bool arrivals::has_shared(bits wanted) const noexcept {
    for (const arrival* a = first_; a != nullptr; a = a->next)
        if (a->to_process && (wanted & bit(a->info.si_signo)) != 0) return true;
    return false;
}

void arrivals::move_shared(bits wanted, arrivals& other) noexcept {
    arrival* left = first_;
    first_ = last_ = nullptr;
    while (left != nullptr) {
        arrival* const a = left;
        left = a->next;
        a->next = nullptr;
        arrivals& to = a->to_process && (wanted & bit(a->info.si_signo)) != 0 ? other : *this;
        (to.first_ == nullptr ? to.first_ : to.last_->next) = a;
        to.last_ = a;
        to.numbers_ |= bit(a->info.si_signo);
    }
    recount();
}

void arrivals::forget(bits unwanted) noexcept {
    siginfo_t info;
    while (take(unwanted, info)) {}
}

void arrivals::recount() noexcept {
    numbers_ = 0;
    for (const arrival* a = first_; a != nullptr; a = a->next) numbers_ |= bit(a->info.si_signo);
}

} // namespace weft::shim::signals
