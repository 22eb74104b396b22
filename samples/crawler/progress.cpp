// SPDX-License-Identifier: Apache-2.0
#include "progress.hpp"

#include <unistd.h>

#include <array>
#include <cstdio>
#include <iostream>

namespace crawl {
namespace {

using namespace std::chrono_literals;

constexpr auto terminal_pause = 200ms;
constexpr auto line_pause = 10s;

std::string clock_text(std::uint64_t seconds) {
    std::array<char, 32> text{};
    if (seconds < 3600) std::snprintf(text.data(), text.size(), "%lu:%02lu", seconds / 60, seconds % 60);
    else std::snprintf(text.data(), text.size(), "%lu:%02lu:%02lu", seconds / 3600, seconds / 60 % 60, seconds % 60);
    return text.data();
}

} // namespace

std::string progress_text(const progress_numbers& now) {
    const auto seconds = std::chrono::duration<double>(now.elapsed).count();
    const double rate = seconds > 0 ? static_cast<double>(now.fetched_now) / seconds : 0;
    std::string out = std::to_string(now.done) + " done, " + std::to_string(now.queued + now.running) + " queued, " +
                      std::to_string(now.failed) + " failed, ";
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), rate < 10 ? "%.1f/s, " : "%.0f/s, ", rate);
    out += text.data() + clock_text(static_cast<std::uint64_t>(seconds)) + " elapsed";
    if (rate > 0)
        out += ", ETA " +
               clock_text(static_cast<std::uint64_t>(static_cast<double>(now.queued + now.running) / rate + 0.5));
    return out;
}

progress::progress(bool quiet)
    : quiet_(quiet), terminal_(::isatty(STDERR_FILENO) == 1), next_(terminal_ ? 0ms : 2000ms) {}

void progress::update(const progress_numbers& now) {
    if (quiet_ || now.elapsed < next_) return;
    next_ =
        now.elapsed + (terminal_ ? std::chrono::milliseconds(terminal_pause) : std::chrono::milliseconds(line_pause));
    const auto text = progress_text(now);
    if (terminal_) std::cerr << '\r' << text << "\x1b[K" << std::flush;
    else std::cerr << "crawler: " << text << '\n';
    drawn_ = terminal_;
}

void progress::clear() {
    if (drawn_) std::cerr << "\r\x1b[K" << std::flush;
    drawn_ = false;
}

} // namespace crawl
