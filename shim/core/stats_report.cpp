// SPDX-License-Identifier: Apache-2.0
#include "core/stats_report.hpp"

#include "core/serve.hpp"

#include "core/stack.hpp"
#include "core/sys.hpp"

#include <algorithm>
#include <cerrno>
#include <string_view>

#include <sys/resource.h>

namespace weft::shim::stats {

namespace {

constexpr std::string_view names[] = {
#define WEFT_CALL(name, family) #name,
#include "core/calls.def"
#undef WEFT_CALL
    "(no call)",
};

/// Text on its way out, a page at a time, so that what several processes print mixes by lines at the worst.
class page {
public:
    explicit page(int fd) noexcept : fd_(fd) {}
    page(const page&) = delete;
    page& operator=(const page&) = delete;
    ~page() { flush(); }

    page& operator<<(std::string_view text) noexcept {
        const std::size_t n = std::min(text.size(), sizeof text_ - size_);
        std::copy_n(text.data(), n, text_ + size_);
        size_ += n;
        if (text.ends_with('\n') && size_ > sizeof text_ - longest_line) flush();
        return *this;
    }
    page& operator<<(std::uint64_t n) noexcept {
        char digits[20];
        return *this << decimal(n, digits);
    }
    page& left(std::string_view text, std::size_t width) noexcept {
        *this << text;
        return pad(text.size(), width);
    }
    page& right(std::uint64_t n, std::size_t width) noexcept {
        char digits[20];
        return right(decimal(n, digits), width);
    }
    page& right(std::string_view text, std::size_t width) noexcept { return pad(text.size(), width) << text; }
    /// Milliseconds and microseconds.
    page& time(std::uint64_t ns, std::size_t width) noexcept {
        char text[32];
        char* end = text + sizeof text;
        char* p = end;
        std::uint64_t us = ns / 1000;
        for (int i = 0; us != 0 || i < 4; ++i, us /= 10) {
            if (i == 3) *--p = '.';
            *--p = static_cast<char>('0' + us % 10);
        }
        return right({p, static_cast<std::size_t>(end - p)}, width);
    }

private:
    static constexpr std::size_t longest_line = 512;

    static std::string_view decimal(std::uint64_t n, char (&digits)[20]) noexcept {
        char* const end = digits + sizeof digits;
        char* p = end;
        do *--p = static_cast<char>('0' + n % 10);
        while ((n /= 10) != 0);
        return {p, static_cast<std::size_t>(end - p)};
    }
    page& pad(std::size_t size, std::size_t width) noexcept {
        for (; size < width; ++size) *this << " ";
        return *this;
    }
    void flush() noexcept {
        const char* p = text_;
        while (size_ > 0) {
            const long n = rt::sys::call(SYS_write, fd_, rt::sys::arg(p), static_cast<long>(size_));
            if (n == -EINTR) continue;
            if (n <= 0) break;
            p += n;
            size_ -= static_cast<std::size_t>(n);
        }
        size_ = 0;
    }

    const int fd_;
    std::size_t size_ = 0;
    char text_[4096];
};

std::uint64_t made(const call_numbers& n) noexcept {
    std::uint64_t sum = 0;
    for (const std::uint64_t w : n.ways) sum += w;
    return sum;
}

void write_calls(page& out, std::span<const call_numbers> calls) noexcept {
    out << "weft: call                calls    served | passed through: no fiber     alone       off    inside no waiting |     waits"
           "   waited ms\n";
    std::uint16_t order[call_count + 1];
    std::uint16_t count = 0;
    for (std::uint16_t i = 0; i < calls.size(); ++i)
        if (made(calls[i]) != 0 || calls[i].waits != 0) order[count++] = i;
    std::sort(order, order + count, [&](std::uint16_t a, std::uint16_t b) {
        const std::uint64_t x = made(calls[a]);
        const std::uint64_t y = made(calls[b]);
        return x != y ? x > y : a < b;
    });
    for (std::uint16_t k = 0; k < count; ++k) {
        const call_numbers& n = calls[order[k]];
        auto w = [&](way which) { return n.ways[static_cast<std::size_t>(which)]; };
        out << "weft: ";
        out.left(names[order[k]], 16).right(made(n), 9).right(w(way::served), 10) << " |";
        out.right(w(way::off_fiber), 25).right(w(way::alone), 10).right(w(way::family_off), 10).right(w(way::inside), 10);
        out.right(w(way::never_waits), 11) << " |";
        out.right(n.waits, 10).time(n.waited_ns, 12) << "\n";
    }
}

void write_hold(page& out, std::string_view what, const longest_hold& h) noexcept {
    if (h.ns == 0) return;
    out << "weft: hub held longest " << what;
    if (h.call != 0) out << " (" << names[h.call - 1] << ")";
    out << ": ";
    out.time(static_cast<std::uint64_t>(h.ns), 0) << " ms, by fiber " << h.fiber;
    if (h.name[0] != 0) out << " \"" << h.name << "\"";
    out << "\n";
}

} // namespace

void report(int fd, std::span<const call_numbers> calls, const longest_hold (&held)[2], const rt::hub_counters& hubs) noexcept {
    page out(fd);
    out << "weft: statistics of process " << static_cast<std::uint64_t>(rt::sys::getpid()) << ": " << program_invocation_name << "\n";
    write_calls(out, calls);
    write_hold(out, "in a call", held[0]);
    write_hold(out, "without a call", held[1]);
    out << "weft: fibers: " << hubs.spawned << " spawned, " << hubs.finished << " finished, " << hubs.peak << " at most at once; switches: "
        << hubs.switches << "; polls: " << hubs.polls << "; timers: " << hubs.timers << "\n";
    const rt::stack_totals stacks = rt::totals_of_stacks();
    rusage used{};
    rt::sys::call(SYS_getrusage, RUSAGE_SELF, rt::sys::arg(&used));
    out << "weft: stacks: " << stacks.in_use << " in use (" << stacks.in_use_bytes / 1024 << " KiB), " << stacks.warm + stacks.cold
        << " free; peak resident size: " << static_cast<std::uint64_t>(used.ru_maxrss) << " KiB\n";
}

} // namespace weft::shim::stats
