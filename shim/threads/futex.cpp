// SPDX-License-Identifier: Apache-2.0
#include "threads/futex.hpp"

#include "calls/blocking.hpp"
#include "core/gate.hpp"

#include "core/interruption.hpp"
#include "core/sys.hpp"

#include <atomic>
#include <cerrno>
#include <climits>
#include <mutex>
#include <optional>

#include <fcntl.h>
#include <linux/futex.h>

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

namespace weft::shim::futex {

namespace {

using rt::sys::arg;

constexpr int option_bits = FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME;

int flags_of(bool shared) noexcept { return shared ? 0 : FUTEX_PRIVATE_FLAG; }

std::uint32_t read(std::uint32_t* word) noexcept { return std::atomic_ref(*word).load(std::memory_order_acquire); }

long kernel(std::uint32_t* word, int operation, std::uint32_t value, const timespec* timeout, std::uint32_t* other,
            std::uint32_t value3) noexcept {
    return rt::sys::call(SYS_futex, arg(word), operation, static_cast<long>(value), arg(timeout), arg(other), static_cast<long>(value3));
}

long block(std::uint32_t* word, std::uint32_t expected, bool shared, const limit& until, std::uint32_t bitset) noexcept {
    const int clock = until.clock == CLOCK_REALTIME ? FUTEX_CLOCK_REALTIME : 0;
    return kernel(word, FUTEX_WAIT_BITSET | clock | flags_of(shared), expected, until.at, nullptr, bitset);
}

/// A thread of ours waits in the kernel for the fiber. 0 or an errno.
int wait_by_helper(std::uint32_t* word, std::uint32_t expected, const limit& until, patience p, std::uint32_t bitset) noexcept {
    const bool enduring = p.on_kill == patience::kill::endures && p.on_signal == patience::signal::endures;
    auto call = [=]() noexcept {
        const long result = block(word, expected, true, until, bitset);
        if (result < 0) errno = static_cast<int>(-result);
        return result < 0 ? -1 : 0;
    };
    const int saved_errno = errno;
    int error = 0;
    if (enduring) {
        if (rt::on_kernel_thread(call, rt::unbroken) != 0) error = errno;
    } else if (blocking_call(p.on_signal != patience::signal::ends, call) != 0) {
        error = errno;
        if (error == ECANCELED || (error == ETIMEDOUT && until.at == nullptr)) error = EINTR; // who waits for a word is never failed
    }
    errno = saved_errno;
    return error;
}

constinit std::atomic<bool> others{false};

/// Whether others than our threads may wake it, as other processes: its page is no anonymous page of our own. Where that cannot be told: yes.
bool may_be_shared(const void* word) noexcept {
    if (others.load(std::memory_order_relaxed)) return true;
    const long fd = rt::sys::call(SYS_open, arg("/proc/self/pagemap"), O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0) return true;
    constexpr std::uint64_t present = std::uint64_t{1} << 63, swapped = std::uint64_t{1} << 62, file_or_shared = std::uint64_t{1} << 61;
    std::uint64_t page = 0;
    const long n = rt::sys::call(SYS_pread64, fd, arg(&page), sizeof page, static_cast<long>(reinterpret_cast<std::uintptr_t>(word) / 4096 * 8));
    rt::sys::close(static_cast<int>(fd));
    return n != sizeof page || (page & (present | swapped)) == 0 || (page & file_or_shared) != 0;
}

/// In the table, by the calling fiber. 0, EAGAIN (the word is another already) or how it ended.
int wait_in_table(std::uint32_t* word, std::uint32_t expected, const limit& until, const char* what, patience p,
                  std::uint32_t bitset) noexcept {
    bucket& b = bucket_of(word);
    sleeper s(word, bitset);
    {
        const holding hold(b);
        enqueue(b, s);
        if (read(word) != expected) {
            withdraw(b, s);
            return EAGAIN;
        }
    }
    switch (sleep(s, what, until, p)) {
    case ended::woken: return 0;
    case ended::timeout: return ETIMEDOUT;
    case ended::signal:
    case ended::interrupted: break;
    }
    return EINTR;
}

// --- The system call ---

long serve_wait(std::uint32_t* word, bool shared, std::uint32_t expected, const limit& until, std::uint32_t bitset) noexcept {
    if (!may_suspend()) return wait_in_kernel(word, expected, shared, until, bitset);
    if (bitset == 0 || reinterpret_cast<std::uintptr_t>(word) % 4 != 0) return -EINVAL;
    std::uint32_t now = 0;
    const errno_of_success keep_errno;
    if (!copy_from_caller(&now, word, sizeof now)) return keep_errno(-EFAULT);
    keep_errno(0);
    if (now != expected) return -EAGAIN;
    const patience p{patience::kill::looks_up, until.at == nullptr ? patience::signal::restarts : patience::signal::ends};
    if (shared && may_be_shared(word)) return -wait_by_helper(word, expected, until, p, bitset);
    return -wait_in_table(word, expected, until, "a futex", p, bitset);
}

/// What a futex call's time limit says: none, or how it fails.
struct given_limit {
    timespec at{};
    limit until;
    long error = 0;

    given_limit(const timespec* timeout, clockid_t clock, bool absolute) noexcept {
        if (timeout == nullptr) return;
        const errno_of_success keep_errno;
        if (!copy_from_caller(&at, timeout, sizeof at)) error = -EFAULT;
        else if (at.tv_sec < 0 || at.tv_nsec < 0 || at.tv_nsec >= 1'000'000'000) error = -EINVAL;
        keep_errno(0);
        until = {clock, &at};
        if (absolute || error != 0) return;
        timespec now{};
        ::clock_gettime(clock, &now);
        if (__builtin_add_overflow(at.tv_sec, now.tv_sec, &at.tv_sec)) at.tv_sec = INT64_MAX;
        at.tv_nsec += now.tv_nsec;
        if (at.tv_nsec < 1'000'000'000) return;
        at.tv_nsec -= 1'000'000'000;
        if (at.tv_sec < INT64_MAX) ++at.tv_sec;
    }
    given_limit(const given_limit&) = delete;
    given_limit& operator=(const given_limit&) = delete;
};

/// Wakes `count` of those at `from` and moves up to `most` of the others to `to`; in the table. How many of each.
struct moved {
    int woken = 0, requeued = 0;
};

moved requeue_sleepers(std::uint32_t* from, int count, std::uint32_t* to, int most, const std::uint32_t* expected, bool& differs) noexcept {
    moved result;
    bucket &b = bucket_of(from), &c = bucket_of(to);
    const holding first(&b < &c ? b : c);
    std::optional<holding> second;
    if (&b != &c) second.emplace(&b < &c ? c : b);
    if (expected != nullptr && read(from) != *expected) {
        differs = true;
        return result;
    }
    for (sleeper* s = first_sleeper(b, from); s != nullptr;) {
        sleeper* const next = next_sleeper(b, *s);
        if (result.woken < count) {
            rouse(b, *s);
            ++result.woken;
        } else if (result.requeued < most) {
            if (from != to) {
                // The sleeper looks for its bucket again if it finds itself in none of those it knew; it is never in none.
                rt::wait_list::remove(s->node);
                b.sleepers.fetch_sub(1, std::memory_order_relaxed);
                s->key = to;
                c.sleepers.fetch_add(1, std::memory_order_seq_cst);
                c.list.push(s->node);
                s->where.store(&c, std::memory_order_release);
            }
            ++result.requeued;
        } else {
            break;
        }
        s = next;
    }
    return result;
}

long requeue(std::uint32_t* word, int operation, int count, int most, std::uint32_t* other, std::uint32_t value3) noexcept {
    const bool compares = (operation & ~option_bits) == FUTEX_CMP_REQUEUE;
    std::atomic_thread_fence(std::memory_order_seq_cst);
    moved ours;
    if (count >= 0 && most >= 0 && bucket_of(word).sleepers.load(std::memory_order_seq_cst) != 0 && !holding::any()) {
        bool differs = false;
        ours = requeue_sleepers(word, count, other, most, compares ? &value3 : nullptr, differs);
        if (differs) return -EAGAIN;
    }
    const int done = ours.woken + ours.requeued;
    if (done > 0 && ours.woken == count && ours.requeued == most) return compares ? done : ours.woken;
    const long theirs = kernel(word, operation, static_cast<std::uint32_t>(count - ours.woken),
                               reinterpret_cast<const timespec*>(static_cast<std::intptr_t>(most - ours.requeued)), other, value3);
    if (theirs < 0) return done > 0 ? (compares ? done : ours.woken) : theirs;
    return theirs + (compares ? done : ours.woken);
}

/// FUTEX_WAKE_OP's operation on the second word, as <linux/futex.h> has it: what was there.
std::uint32_t operate(std::uint32_t* word, std::uint32_t encoded) noexcept {
    std::uint32_t operand = encoded >> 12 & 0xfff;
    if ((operand & 0x800) != 0) operand |= 0xfffff000;
    const std::uint32_t what = encoded >> 28;
    if ((what & FUTEX_OP_OPARG_SHIFT) != 0) operand = 1U << (operand & 31);
    const std::atomic_ref<std::uint32_t> there(*word);
    switch (what & 7) {
    case FUTEX_OP_SET: return there.exchange(operand);
    case FUTEX_OP_ADD: return there.fetch_add(operand);
    case FUTEX_OP_OR: return there.fetch_or(operand);
    case FUTEX_OP_ANDN: return there.fetch_and(~operand);
    default: return there.fetch_xor(operand);
    }
}

bool compare(std::uint32_t before, std::uint32_t encoded) noexcept {
    std::uint32_t operand = encoded & 0xfff;
    if ((operand & 0x800) != 0) operand |= 0xfffff000;
    const auto a = static_cast<std::int32_t>(before), b = static_cast<std::int32_t>(operand);
    switch (encoded >> 24 & 15) {
    case FUTEX_OP_CMP_EQ: return a == b;
    case FUTEX_OP_CMP_NE: return a != b;
    case FUTEX_OP_CMP_LT: return a < b;
    case FUTEX_OP_CMP_LE: return a <= b;
    case FUTEX_OP_CMP_GT: return a > b;
    default: return a >= b;
    }
}

/// Whether somebody who may wait for it sleeps in the table.
bool has_sleepers(std::uint32_t* word) noexcept { return bucket_of(word).sleepers.load(std::memory_order_seq_cst) != 0; }

} // namespace

void others_begin() noexcept { others.store(true, std::memory_order_relaxed); }

long wait_in_kernel(std::uint32_t* word, std::uint32_t expected, bool shared, const limit& until, std::uint32_t bitset) noexcept {
    if (shared) return block(word, expected, shared, until, bitset);
    bucket& b = bucket_of(word);
    b.in_kernel.fetch_add(1, std::memory_order_seq_cst);
    const long result = block(word, expected, shared, until, bitset);
    b.in_kernel.fetch_sub(1, std::memory_order_relaxed);
    return result;
}

long wake_in_kernel(std::uint32_t* word, int count, bool shared, std::uint32_t bitset) noexcept {
    return kernel(word, FUTEX_WAKE_BITSET | flags_of(shared), static_cast<std::uint32_t>(count), nullptr, nullptr, bitset);
}

int wait(std::uint32_t* word, std::uint32_t expected, bool shared, const limit& until, const char* what, patience p) noexcept {
    int error = 0;
    if (!may_suspend()) error = static_cast<int>(-wait_in_kernel(word, expected, shared, until));
    else if (shared) error = wait_by_helper(word, expected, until, p, ~std::uint32_t{0});
    else error = wait_in_table(word, expected, until, what, p, ~std::uint32_t{0});
    return error == EAGAIN || (error == EINTR && p.on_signal == patience::signal::endures) ? 0 : error;
}

int wake(std::uint32_t* word, int count, bool shared, std::uint32_t bitset) noexcept {
    bucket& b = bucket_of(word);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    int woken = 0;
    auto wake_kernel = [&]() noexcept {
        const long n = woken < count ? wake_in_kernel(word, count - woken, shared, bitset) : 0;
        if (n > 0) woken += static_cast<int>(n);
    };
    const bool sleepers = b.sleepers.load(std::memory_order_seq_cst) != 0;
    bool kernel_first = !sleepers;
    if (sleepers && b.in_kernel.load(std::memory_order_relaxed) != 0) {
        kernel_first = b.kernel_next.load(std::memory_order_relaxed);
        b.kernel_next.store(!kernel_first, std::memory_order_relaxed);
    }
    if (kernel_first) wake_kernel();
    if (sleepers && woken < count) woken += wake_sleepers(word, count - woken, bitset);
    if (!kernel_first) wake_kernel();
    return woken;
}

long serve(std::uint32_t* word, int operation, std::uint32_t value, const timespec* timeout, std::uint32_t* other,
           std::uint32_t value3) noexcept {
    const int command = operation & ~option_bits;
    const bool shared = (operation & FUTEX_PRIVATE_FLAG) == 0;
    const clockid_t clock = (operation & FUTEX_CLOCK_REALTIME) != 0 ? CLOCK_REALTIME : CLOCK_MONOTONIC;
    const bool known = reinterpret_cast<std::uintptr_t>(word) % 4 == 0 && gate::open_everywhere(family::locks);
    const auto value2 = static_cast<std::uint32_t>(reinterpret_cast<std::uintptr_t>(timeout));
    switch (known ? command : -1) {
    case FUTEX_WAIT:
    case FUTEX_WAIT_BITSET: {
        if (command == FUTEX_WAIT && clock == CLOCK_REALTIME) break; // there is no such thing
        if (!may_suspend()) {
            if (shared) break;
            bucket& b = bucket_of(word);
            b.in_kernel.fetch_add(1, std::memory_order_seq_cst);
            const long result = kernel(word, operation, value, timeout, other, value3);
            b.in_kernel.fetch_sub(1, std::memory_order_relaxed);
            return result;
        }
        const given_limit given(timeout, clock, command == FUTEX_WAIT_BITSET);
        if (given.error != 0) return given.error;
        return serve_wait(word, shared, value, given.until, command == FUTEX_WAIT ? ~std::uint32_t{0} : value3);
    }
    case FUTEX_WAKE:
    case FUTEX_WAKE_BITSET: {
        std::atomic_thread_fence(std::memory_order_seq_cst);
        if (clock == CLOCK_REALTIME || (command == FUTEX_WAKE_BITSET && value3 == 0) || !has_sleepers(word)) break;
        const int count = static_cast<int>(value) > 0 ? static_cast<int>(value) : 1; // the kernel wakes one where none is asked for
        const int woken = wake(word, count, shared, command == FUTEX_WAKE ? ~std::uint32_t{0} : value3);
        // Who unlocks and locks again at once would never let another fiber of its hub have the lock.
        if (woken > 0 && may_suspend()) rt::yield_quietly();
        return woken;
    }
    case FUTEX_REQUEUE:
    case FUTEX_CMP_REQUEUE:
        if (clock == CLOCK_REALTIME || reinterpret_cast<std::uintptr_t>(other) % 4 != 0) break;
        return requeue(word, operation, static_cast<int>(value), static_cast<int>(value2), other, value3);
    case FUTEX_WAKE_OP: {
        const bool any = has_sleepers(word) || has_sleepers(other);
        const bool valid = (value3 >> 28 & 7) <= FUTEX_OP_XOR && (value3 >> 24 & 15) <= FUTEX_OP_CMP_GE;
        if (clock == CLOCK_REALTIME || !any || !valid || reinterpret_cast<std::uintptr_t>(other) % 4 != 0) break;
        const std::uint32_t before = operate(other, value3);
        int woken = wake(word, static_cast<int>(value) > 0 ? static_cast<int>(value) : 1, shared);
        if (compare(before, value3)) woken += wake(other, static_cast<int>(value2) > 0 ? static_cast<int>(value2) : 1, shared);
        return woken;
    }
    case FUTEX_LOCK_PI:
    case FUTEX_LOCK_PI2:
    case FUTEX_WAIT_REQUEUE_PI: break; // they are about the kernel thread itself: it waits
    default: break;
    }
    return kernel(word, operation, value, timeout, other, value3);
}

long serve_waitv(const void* waiters, unsigned count, unsigned flags, const timespec* timeout, clockid_t clock) noexcept {
    auto call = [=]() noexcept -> long { return rt::sys::call(SYS_futex_waitv, arg(waiters), count, flags, arg(timeout), clock); };
    if (!may_suspend()) return call();
    const int saved_errno = errno;
    const long result = blocking_call(true, [=]() noexcept -> long {
        const long r = call();
        if (r < 0) errno = static_cast<int>(-r);
        return r < 0 ? -1 : r;
    });
    const int error = errno;
    errno = saved_errno;
    if (result >= 0) return result;
    return error == ECANCELED || (error == ETIMEDOUT && timeout == nullptr) ? -EINTR : -error;
}

} // namespace weft::shim::futex
